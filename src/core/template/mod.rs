//! Text with `${{ … }}` in it.
//!
//! ```text
//! text ─parse─▶ [Text | Expression]… ─fill(what is known at plan time)─▶ [Text | Expression]… ─render(what the run knows)─▶ String
//! ```
//! A literal and an expression are different things, not places in one string: what was filled in is a literal from then on, and is never read
//! for expressions again, whatever a branch name or a step's output may say. Each expression is rendered by Handlebars in strict mode with the escape of
//! the place that it stands in; `{{` without the `$` is text.

mod expression;
mod shell;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub use expression::{HELPERS, Path};
pub use shell::quotes;

/// Bytes of one expression.
const MAX_EXPRESSION: usize = 1024;

/// How values are made fit for the place that they are put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// One shell word, whatever the value holds.
    Shell,
    /// A JSON string, quotes included.
    Json,
    Plain,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    Text(String),
    /// What stands between `${{` and `}}`. `at` is its offset in the text that it was parsed from.
    Expression {
        source: String,
        at: usize,
    },
}

/// What is wrong with a text, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    pub message: String,
    /// Bytes of the text.
    pub range: std::ops::Range<usize>,
    pub hint: Option<String>,
}

/// What could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`${{{{ {expression} }}}}` can not be filled in: {why}")]
pub struct TemplateError {
    pub expression: String,
    pub why: String,
}

impl Template {
    /// Text that is only text, whatever it looks like.
    pub fn literal(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::Text(text.into())] }
    }

    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parts = Vec::new();
        let mut rest = 0;
        while let Some(found) = text[rest..].find("${{") {
            let open = rest + found;
            let start = open + 3;
            let Some(length) = text[start..].find("}}") else {
                let line_end = text[open..].find('\n').map_or(text.len(), |end| open + end);
                let hint = Some("write `}}` behind the expression".to_owned());
                return Err(ParseError { message: "this expression is not closed".into(), range: open..line_end, hint });
            };
            let source = text[start..start + length].trim();
            let range = open..start + length + 2;
            if source.len() > MAX_EXPRESSION {
                let message = format!("an expression has at most {MAX_EXPRESSION} bytes, this one has {}", source.len());
                return Err(ParseError { message, range, hint: None });
            }
            expression::paths(source).map_err(|error| ParseError { message: error.message, range: range.clone(), hint: error.hint })?;
            if open > rest {
                parts.push(Part::Text(text[rest..open].to_owned()));
            }
            parts.push(Part::Expression { source: source.to_owned(), at: open });
            rest = range.end;
        }
        if rest < text.len() {
            parts.push(Part::Text(text[rest..].to_owned()));
        }
        Ok(Self { parts })
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The text, where nothing is left to fill in.
    pub fn as_text(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Expression { .. } => None,
            })
            .collect()
    }

    /// Every name that an expression refers to, with the bytes of the expression in the text.
    pub fn references(&self) -> Vec<(Path, std::ops::Range<usize>)> {
        let mut found = Vec::new();
        for part in &self.parts {
            if let Part::Expression { source, at } = part {
                // The end is not kept: what is marked is the inner text, found again behind the opening.
                let range = *at..at + source.len() + 3;
                found.extend(expression::paths(source).unwrap_or_default().into_iter().map(|path| (path, range.clone())));
            }
        }
        found
    }

    /// Fills in what is known; expressions with a name that `deferred` says is not, are kept as they are.
    /// `inputs` are templates themselves: what they leave open stays open, what they fill in is quoted for this place.
    pub fn fill(
        &self,
        escape: Escape,
        known: &Json,
        deferred: &dyn Fn(&[String]) -> bool,
        inputs: &dyn Fn(&str) -> Option<Template>,
    ) -> Result<Self, TemplateError> {
        let mut filled = Self::default();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_text(text),
                Part::Expression { source, at } => {
                    let paths = expression::paths(source).map_err(|error| TemplateError { expression: source.clone(), why: error.message })?;
                    let input = match paths.as_slice() {
                        [path] if path.len() == 2 && path.first().is_some_and(|root| root == "inputs") && source == &path.join(".") => {
                            path.get(1).and_then(|name| inputs(name))
                        }
                        _ => None,
                    };
                    match input {
                        Some(input) => filled.splice(&input, escape)?,
                        None if paths.iter().any(|path| deferred(path)) => filled.parts.push(Part::Expression { source: source.clone(), at: *at }),
                        None => filled.push_text(&expression::render(source, escape, known)?),
                    }
                }
            }
        }
        Ok(filled)
    }

    /// Puts another template in place of an expression: pieces of one shell word stand side by side.
    fn splice(&mut self, input: &Self, escape: Escape) -> Result<(), TemplateError> {
        if input.parts.is_empty() {
            self.push_text(&expression::escape(escape, ""));
        }
        match (escape, input.as_text()) {
            (_, Some(text)) if !input.parts.is_empty() => self.push_text(&expression::escape(escape, &text)),
            (Escape::Json, None) => {
                let why = "an input that only the run knows can not become JSON".to_owned();
                return Err(TemplateError { expression: "inputs".into(), why });
            }
            _ => {
                for part in &input.parts {
                    match part {
                        Part::Text(text) => self.push_text(&expression::escape(escape, text)),
                        expression @ Part::Expression { .. } => self.parts.push(expression.clone()),
                    }
                }
            }
        }
        Ok(())
    }

    fn push_text(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    /// The whole text. An unknown name is an error, never an empty text.
    pub fn render(&self, escape: Escape, context: &Json) -> Result<String, TemplateError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Expression { source, .. } => text.push_str(&expression::render(source, escape, context)?),
            }
        }
        Ok(text)
    }
}

impl std::fmt::Display for Template {
    /// As the file has it. Only for people to read: filled-in text may look like an expression here.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Expression { source, .. } => write!(f, "${{{{ {source} }}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
