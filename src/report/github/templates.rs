//! Handlebars templates, which a house can have of its own. What they are given is Markdown already, and does nothing, so that no template can let anything in.

use std::fmt;
use std::sync::Arc;

use handlebars::Handlebars;
use serde_json::Value;

/// Bytes of one text at GitHub.
const MOST_BYTES: usize = 65_535;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Run,
    Step,
    Comment,
}

impl Name {
    pub const ALL: [Self; 3] = [Self::Run, Self::Step, Self::Comment];

    /// In the folder of templates.
    pub fn file(self) -> &'static str {
        match self {
            Self::Run => "run.md.hbs",
            Self::Step => "step.md.hbs",
            Self::Comment => "comment.md.hbs",
        }
    }

    fn built_in(self) -> &'static str {
        match self {
            Self::Run => include_str!("templates/run.md.hbs"),
            Self::Step => include_str!("templates/step.md.hbs"),
            Self::Comment => include_str!("templates/comment.md.hbs"),
        }
    }
}

#[derive(Clone)]
pub struct Templates {
    own: Arc<Handlebars<'static>>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Templates")
    }
}

impl Default for Templates {
    fn default() -> Self {
        Self { own: Arc::new(engine()) }
    }
}

impl Templates {
    /// With these instead of those that are built in. Says which one is wrong, and where.
    pub fn with(own: &[(Name, String)]) -> Result<Self, String> {
        let mut engine = engine();
        for (name, text) in own {
            engine.register_template_string(name.file(), text).map_err(|error| format!("the template {} is not good: {error}", name.file()))?;
        }
        Ok(Self { own: Arc::new(engine) })
    }

    /// One that fails over what it is given is not worth a report: the built-in one speaks instead.
    pub(super) fn render(&self, name: Name, data: &Value) -> String {
        let text = self.own.render(name.file(), data).unwrap_or_else(|error| match Handlebars::new().render_template(name.built_in(), data) {
            Ok(text) => format!("{text}\n\n(the template {} could not be used: {})", name.file(), super::text::code(&error.to_string())),
            Err(_) => String::new(),
        });
        let text = text.trim();
        text[..text.floor_char_boundary(MOST_BYTES)].to_owned()
    }
}

fn engine() -> Handlebars<'static> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(false);
    // What it is given is Markdown already.
    engine.register_escape_fn(handlebars::no_escape);
    for name in Name::ALL {
        // They are tested: `the_built_in_ones_are_good`.
        let _ = engine.register_template_string(name.file(), name.built_in());
    }
    engine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_ones_are_good() {
        for name in Name::ALL {
            assert!(Templates::default().own.has_template(name.file()), "{}", name.file());
        }
    }

    #[test]
    fn a_house_can_have_its_own_and_hears_what_is_wrong_with_them() {
        let own = Templates::with(&[(Name::Comment, "# Ours\n{{#each rows}}{{{this}}};{{/each}}".to_owned())]).unwrap();
        assert_eq!(own.render(Name::Comment, &serde_json::json!({ "rows": ["a", "b"] })), "# Ours\na;b;");
        let error = Templates::with(&[(Name::Run, "a\n{{#if x}} never closed".to_owned())]).unwrap_err();
        assert!(error.starts_with("the template run.md.hbs is not good: "), "{error}");
        let failing = Templates::with(&[(Name::Comment, "{{nonsense 1 2}}".to_owned())]).unwrap();
        let said = failing.render(Name::Comment, &serde_json::json!({ "rows": ["| a |"] }));
        assert!(said.starts_with("### Tidegate") && said.contains("comment.md.hbs could not be used"), "{said}");
    }
}
