//! Templates and conditions: every name in them is looked up where it can be known before the run.

use std::collections::BTreeMap;

use super::super::condition::CompiledCondition;
use super::super::pipeline::EnvSource;
use super::super::places::Part;
use super::super::problems::Problems;
use super::super::route::Route;
use super::cursor::Cursor;
use super::scope::{Scope, Unknown};
use crate::core::template::{Template, quotes};

/// A text with expressions. What can not be parsed was reported before.
pub fn template(cursor: &Cursor<'_>, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Template {
    let text = cursor.text().unwrap_or_default();
    let Ok(template) = Template::parse(&text) else { return Template::default() };
    let mut roots = BTreeMap::<usize, (bool, bool)>::new();
    for (path, range) in template.references() {
        let run_only = path.first().is_some_and(|root| root == "steps");
        let seen = roots.entry(range.start).or_default();
        *seen = (seen.0 || run_only, seen.1 || !run_only);
        if let Err(unknown) = scope.check(&path) {
            say(unknown, &cursor.route, Part::Within(whole(&text, range.start)), problems);
        }
    }
    for (at, _) in roots.into_iter().filter(|(_, seen)| *seen == (true, true)) {
        let part = Part::Within(whole(&text, at));
        problems.error(
            "template",
            &cursor.route,
            part,
            "one expression can not hold both a step's result and something else",
            "split it into two expressions",
        );
    }
    template
}

/// A script: as a text, and every expression must stand where the shell reads a word.
pub fn script(cursor: &Cursor<'_>, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Template {
    let text = cursor.text().unwrap_or_default();
    let script = template(cursor, scope, problems);
    for (at, inside) in quotes(&script) {
        let part = Part::Within(whole(&text, at));
        let message = format!("an expression can not stand within {}", inside.word());
        problems.error("expression-in-quotes", &cursor.route, part, message, "the shell would not read this as one word");
        problems.hint("an expression is put in as one quoted word: write it outside of quotes, or assign it first: name=${{ … }}; echo \"$name\"");
    }
    script
}

pub fn env(cursor: Option<&Cursor<'_>>, scope: &Scope<'_>, problems: &mut Problems<'_>) -> BTreeMap<String, EnvSource> {
    let mut env = BTreeMap::new();
    for (name, value) in cursor.map(Cursor::entries).unwrap_or_default() {
        let source = if value.is_map() {
            problems.later(&value.route, Part::Key, "secrets in env");
            EnvSource::Secret(value.text_at("secret").unwrap_or_default())
        } else {
            EnvSource::Text(template(&value, scope, problems))
        };
        env.insert(name, source);
    }
    env
}

pub fn condition(cursor: &Cursor<'_>, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Option<CompiledCondition> {
    // An empty one was reported before.
    let text = cursor.text().filter(|text| !text.trim().is_empty())?;
    match CompiledCondition::compile(&text) {
        Err(errors) => {
            for error in errors {
                problems.error("condition", &cursor.route, Part::Within(error.range), error.message, "in this condition");
                if let Some(hint) = error.hint {
                    problems.hint(hint);
                }
            }
            None
        }
        Ok(condition) => {
            for (path, range) in &condition.names {
                if let Err(unknown) = scope.check(path) {
                    say(unknown, &cursor.route, Part::Within(range.clone()), problems);
                }
            }
            Some(condition)
        }
    }
}

fn say(unknown: Unknown<'_>, route: &Route, part: Part, problems: &mut Problems<'_>) {
    problems.error("unknown-name", route, part, unknown.message, "not known here");
    match unknown.hint {
        Some(hint) => problems.hint(hint),
        None => problems.suggest(&unknown.found, unknown.known),
    };
}

/// The whole of an expression, from `${{` to `}}`.
fn whole(text: &str, at: usize) -> std::ops::Range<usize> {
    let end = text.get(at..).and_then(|rest| rest.find("}}")).map_or(text.len(), |end| at + end + 2);
    at..end
}
