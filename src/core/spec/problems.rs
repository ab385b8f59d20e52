//! Collects what is wrong with one file, so that all of it can be said at once.

use super::places::{Part, Places};
use super::route::Route;
use crate::model::diagnostic::{Diagnostic, Level};

#[derive(Debug)]
pub struct Problems<'p> {
    places: &'p Places,
    pub list: Vec<Diagnostic>,
    pub unsupported: Vec<Diagnostic>,
}

impl<'p> Problems<'p> {
    pub fn new(places: &'p Places) -> Self {
        Self { places, list: Vec::new(), unsupported: Vec::new() }
    }

    /// Something is wrong at a place: what, and beside the place what was expected.
    pub fn error(&mut self, code: &str, route: &Route, part: Part, message: impl Into<String>, label: impl Into<String>) -> &mut Self {
        let diagnostic = self.make(Level::Error, code, route, &part, message.into(), label.into());
        self.list.push(diagnostic);
        self
    }

    /// What to do about the error that was given last.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        if let Some(last) = self.list.last_mut() {
            last.hints.push(hint.into());
        }
        self
    }

    /// "Did you mean", where something known is near enough.
    pub fn suggest<'a>(&mut self, found: &str, known: impl IntoIterator<Item = &'a str>) -> &mut Self {
        let known: Vec<&str> = known.into_iter().collect();
        match nearest(found, known.iter().copied()) {
            Some(name) => self.hint(format!("did you mean {name:?}?")),
            None if known.is_empty() => self,
            None if known.len() <= 12 => self.hint(format!("known here: {}", known.join(", "))),
            None => self,
        }
    }

    /// The format has it, but this version can not do it.
    pub fn later(&mut self, route: &Route, part: Part, what: &str) {
        let message = format!("not supported yet: {what}");
        let diagnostic = self.make(Level::Note, "not-supported-yet", route, &part, message, "checked, but `tidegate run` refuses it".into());
        self.unsupported.push(diagnostic);
    }

    fn make(&self, level: Level, code: &str, route: &Route, part: &Part, message: String, label: String) -> Diagnostic {
        let span = self.places.span(route, part);
        Diagnostic { level, code: code.to_owned(), message, route: route.to_string(), span, label, hints: Vec::new() }
    }
}

/// The known name that was probably meant.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = found.to_lowercase();
    let rate = |name: &str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let limit = (found.chars().count() / 3).clamp(1, 3);
    known.into_iter().map(|name| (rate(name), name)).filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["needs", "network", "run", "timeout"];
        for (found, expected) in
            [("need", Some("needs")), ("Timeout", Some("timeout")), ("timeuot", Some("timeout")), ("rnu", Some("run")), ("zebra", None), ("", None)]
        {
            assert_eq!(nearest(found, known), expected, "{found}");
        }
    }
}
