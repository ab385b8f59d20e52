//! Holds a file against the format's table: kinds, keys, words and rich fields. What names mean is looked at later, in [`super::lower`].

use serde_yaml::Value;

use super::fields::Field;
use super::places::{Part, Places};
use super::problems::Problems;
use super::route::Route;
use super::shape::{Key, Shape};
use crate::core::template::Template;

pub fn validate(shape: &Shape, value: &Value, places: &Places, problems: &mut Problems<'_>) {
    Validator { places, problems }.walk(shape, value, &Route::root());
}

struct Validator<'a, 'p> {
    places: &'a Places,
    problems: &'a mut Problems<'p>,
}

impl Validator<'_, '_> {
    fn walk(&mut self, shape: &Shape, value: &Value, route: &Route) {
        match shape {
            Shape::Optional(_) if value.is_null() => {}
            Shape::Optional(inner) => self.walk(inner, value, route),
            Shape::Keys(keys) => self.keys(keys, value, route),
            Shape::Named { names, of } => self.named(names, of, value, route),
            Shape::List(of) => match value {
                Value::Sequence(items) => {
                    for (index, item) in items.iter().enumerate() {
                        self.walk(of, item, &route.index(index));
                    }
                }
                other => self.wrong_type("a list", other, route),
            },
            Shape::Bool => match value {
                Value::Bool(_) => {}
                other => self.wrong_type("true or false", other, route),
            },
            Shape::Choice(words) => self.choice(words, value, route),
            Shape::Scalar(field) => self.scalar(field, value, route),
            Shape::Either { expected, of } => match of.iter().find(|shape| fits(shape, value)) {
                Some(shape) => self.walk(shape, value, route),
                None => self.wrong_type(expected, value, route),
            },
        }
    }

    fn keys(&mut self, keys: &[Key], value: &Value, route: &Route) {
        let Value::Mapping(map) = value else {
            let names: Vec<_> = keys.iter().map(|key| key.name).take(5).collect();
            return self.wrong_type(&format!("a map with keys such as {}", names.join(", ")), value, route);
        };
        for (name, value) in map {
            let Some(name) = key_text(name) else {
                self.problems.error("wrong-type", route, Part::Key, "a key here is not text", "expected text as key");
                continue;
            };
            let route = route.key(&name);
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                self.problems.error("unknown-key", &route, Part::Key, format!("there is no key {name:?} here"), "not part of the format");
                self.unknown_key_hint(&name, keys);
                continue;
            };
            if key.later {
                self.problems.later(&route, Part::Key, key.name);
            }
            self.walk(key.shape, value, &route);
        }
        for key in keys.iter().filter(|key| key.required && !map.contains_key(key.name)) {
            self.problems.error(
                "missing-key",
                route,
                Part::Key,
                format!("the key {:?} is missing here", key.name),
                format!("needs {}: {}", key.name, key.about),
            );
        }
    }

    fn unknown_key_hint(&mut self, name: &str, keys: &[Key]) {
        match name {
            "<<" => self.problems.hint("merge keys are not part of the format: use an alias for a whole value"),
            _ => self.problems.suggest(name, keys.iter().map(|key| key.name)),
        };
    }

    fn named(&mut self, names: &Field, of: &Shape, value: &Value, route: &Route) {
        let Value::Mapping(map) = value else {
            return self.wrong_type("a map of names", value, route);
        };
        for (name, value) in map {
            let Some(name) = key_text(name) else {
                self.problems.error("wrong-type", route, Part::Key, "a name here is not text", format!("expected {}", names.expected));
                continue;
            };
            let route = route.key(&name);
            if let Err(why) = (names.check)(&name) {
                self.problems.error(
                    "invalid-name",
                    &route,
                    Part::Key,
                    format!("{name:?} can not be used as a name: {why}"),
                    format!("expected {}", names.expected),
                );
            }
            self.walk(of, value, &route);
        }
    }

    fn choice(&mut self, words: &[&'static str], value: &Value, route: &Route) {
        let Value::String(text) = value else {
            return self.wrong_type(&format!("one of {}", words.join(", ")), value, route);
        };
        if !words.contains(&text.as_str()) {
            let label = format!("expected one of {}", words.join(", "));
            self.problems.error("invalid-value", route, Part::Value, format!("{text:?} is none of the words that can stand here"), label);
            if let Some(near) = super::problems::nearest(text, words.iter().copied()) {
                self.problems.hint(format!("did you mean {near:?}?"));
            }
        }
    }

    fn scalar(&mut self, field: &Field, value: &Value, route: &Route) {
        let Some(text) = scalar_text(value, self.places, route) else {
            return self.wrong_type(field.expected, value, route);
        };
        if let Err(why) = (field.check)(&text) {
            self.problems.error(
                "invalid-value",
                route,
                Part::Value,
                format!("{text:?} can not be used here: {why}"),
                format!("expected {}", field.expected),
            );
        }
        if field.template
            && let Err(error) = Template::parse(&text)
        {
            self.problems.error("template", route, Part::Within(error.range.clone()), error.message, "in this expression");
            if let Some(hint) = error.hint {
                self.problems.hint(hint);
            }
        }
    }

    fn wrong_type(&mut self, expected: &str, found: &Value, route: &Route) {
        let label = format!("expected {expected}");
        self.problems.error("wrong-type", route, Part::Value, format!("expected {expected}, found {}", kind(found)), label);
        if matches!(found, Value::Null) {
            self.problems.hint("leave the key out, or write a value behind it");
        }
    }
}

fn fits(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::Keys(_) | Shape::Named { .. } => value.is_mapping(),
        Shape::List(_) => value.is_sequence(),
        Shape::Bool => value.is_bool(),
        Shape::Choice(_) => value.is_string(),
        Shape::Scalar(_) => matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)),
        Shape::Optional(inner) => value.is_null() || fits(inner, value),
        Shape::Either { of, .. } => of.iter().any(|shape| fits(shape, value)),
    }
}

/// A key as text: `1` and `true` are taken as they are.
pub fn key_text(key: &Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// A scalar as text, numbers exactly as they are written: `3.10` stays `3.10`.
pub fn scalar_text(value: &Value, places: &Places, route: &Route) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(places.text(route).map_or_else(|| number.to_string(), str::to_owned)),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a map",
        Value::Tagged(_) => "a value with a YAML tag (!…)",
    }
}
