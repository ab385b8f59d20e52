//! Reads a value that [`super::super::validate`] has already looked at: what does not fit was reported there and is simply not there here.

use serde_yaml::Value;

use super::super::places::Places;
use super::super::route::Route;
use super::super::validate::{key_text, scalar_text};

#[derive(Clone)]
pub struct Cursor<'a> {
    value: &'a Value,
    places: &'a Places,
    pub route: Route,
}

impl<'a> Cursor<'a> {
    pub fn root(value: &'a Value, places: &'a Places) -> Self {
        Self { value, places, route: Route::root() }
    }

    pub fn key(&self, name: &str) -> Option<Self> {
        let value = self.value.as_mapping()?.get(name)?;
        Some(Self { value, places: self.places, route: self.route.key(name) })
    }

    pub fn text(&self) -> Option<String> {
        scalar_text(self.value, self.places, &self.route)
    }

    pub fn text_at(&self, name: &str) -> Option<String> {
        self.key(name)?.text()
    }

    /// What stands behind a key, read by a field's parser.
    pub fn parse<T, E>(&self, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        parse(&self.text_at(name)?).ok()
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        self.key(name)?.value.as_bool()
    }

    pub fn is_list(&self) -> bool {
        self.value.is_sequence()
    }

    pub fn is_map(&self) -> bool {
        self.value.is_mapping()
    }

    /// The items of a list; of anything else that is there, only itself.
    pub fn items(&self) -> Vec<Self> {
        match self.value {
            Value::Sequence(items) => {
                items.iter().enumerate().map(|(index, value)| Self { value, places: self.places, route: self.route.index(index) }).collect()
            }
            Value::Null => Vec::new(),
            _ => vec![self.clone()],
        }
    }

    pub fn texts(&self) -> Vec<String> {
        self.items().iter().filter_map(Self::text).collect()
    }

    pub fn texts_at(&self, name: &str) -> Option<Vec<String>> {
        self.key(name).map(|list| list.texts())
    }

    /// Names and what stands behind them, in the order of the file.
    pub fn entries(&self) -> Vec<(String, Self)> {
        let Some(map) = self.value.as_mapping() else { return Vec::new() };
        let entry = |(key, value)| {
            let name = key_text(key)?;
            let route = self.route.key(&name);
            Some((name, Self { value, places: self.places, route }))
        };
        map.iter().filter_map(entry).collect()
    }

    pub fn entries_at(&self, name: &str) -> Vec<(String, Self)> {
        self.key(name).map(|map| map.entries()).unwrap_or_default()
    }
}
