//! The pipeline file: from text to a checked [`Pipeline`].
//!
//! ```text
//! text ─places─▶ limits, duplicate keys, spans
//!      ─serde_yaml─▶ values ─validate─▶ held against format's table ─lower─▶ Pipeline
//!                                   all errors of the file at once, each with its place
//! ```
//! Knows nothing of files: text comes in, and so do the texts of actions. The shape of the YAML stays in here; everyone else sees the pipeline.

mod action;
pub mod condition;
pub mod fields;
mod format;
mod lower;
mod pipeline;
mod places;
mod policy;
mod problems;
mod route;
mod schema;
mod settings;
mod shape;
mod validate;

use serde_yaml::Value;

pub use action::{Action, load as load_action};
pub use lower::MAX_MATRIX;
pub use pipeline::*;
pub use places::{MAX_BYTES, MAX_DEPTH, MAX_EXPANSION, Part};
pub use policy::load as load_policy;
pub use problems::nearest;
pub use route::{Route, Segment};
pub use schema::{json_schema, policy_schema};
pub use settings::load as load_settings;

use crate::model::diagnostic::{Diagnostic, Level, Span};
use places::Places;
use problems::Problems;
use shape::Shape;

/// Reads a pipeline, or says all that is wrong with it. `actions` answers the text of an action's file by what stands behind `uses`.
pub fn load(file: &str, text: &str, actions: &dyn Fn(&str) -> Option<String>) -> Result<Pipeline, Vec<Diagnostic>> {
    let (value, places) = read(text)?;
    let root = match &value {
        Value::Mapping(map) => map,
        other => {
            let message = format!("a pipeline is a map with keys such as name, on and steps; this file holds {}", validate::kind(other));
            return Err(vec![whole_file("not-a-pipeline", message, places.span(&Route::root(), &Part::Value))]);
        }
    };
    if !["steps", "functions", "routes"].iter().any(|key| root.contains_key(key)) {
        let jobs = root.contains_key("jobs") || root.contains_key("runs");
        let hint = if jobs {
            "this looks like a workflow of GitHub Actions: a pipeline has steps where that has jobs"
        } else {
            "add steps: { NAME: { run: COMMAND } }"
        };
        let mut diagnostic = whole_file(
            "not-a-pipeline",
            "this is not a pipeline: it has no steps, functions or routes".into(),
            places.span(&Route::root(), &Part::Value),
        );
        diagnostic.hints.push(hint.to_owned());
        return Err(vec![diagnostic]);
    }
    let mut problems = Problems::new(&places);
    validate::validate(&Shape::Keys(&format::PIPELINE), &value, &places, &mut problems);
    let mut pipeline = lower::lower(file, &value, &places, actions, &mut problems);
    let Problems { mut list, mut unsupported, .. } = problems;
    if list.is_empty() {
        unsupported.sort_by_key(|note| note.span);
        pipeline.unsupported = unsupported;
        return Ok(pipeline);
    }
    list.sort_by_key(|diagnostic| diagnostic.span);
    Err(list)
}

/// What the file asks for that this version can not do yet; `run` refuses it, `check` and `plan` mention it.
pub fn unsupported(pipeline: &Pipeline) -> Vec<Diagnostic> {
    pipeline.unsupported.clone()
}

/// Limits first, then values.
fn read(text: &str) -> Result<(Value, Places), Vec<Diagnostic>> {
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        let mut diagnostic = whole_file("empty-file", "this file is empty".into(), None);
        diagnostic.hints.push("a pipeline starts with name: and steps:".to_owned());
        return Err(vec![diagnostic]);
    }
    let places = Places::scan(text)?;
    let value: Value = serde_yaml::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        let span = error.location().map(|at| {
            let (line, column) = (u32::try_from(at.line()).unwrap_or(1), u32::try_from(at.column()).unwrap_or(1));
            Span { line, column, end_line: line, end_column: column + 1 }
        });
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        vec![whole_file("syntax", format!("this is not YAML: {message}"), span)]
    })?;
    if value.is_null() {
        let mut diagnostic = whole_file("empty-file", "this file holds nothing but comments".into(), None);
        diagnostic.hints.push("a pipeline starts with name: and steps:".to_owned());
        return Err(vec![diagnostic]);
    }
    Ok((value, places))
}

fn whole_file(code: &str, message: String, span: Option<Span>) -> Diagnostic {
    // Of a file as a whole, its first line is enough to show.
    let span = span.map(|span| if span.end_line > span.line { Span { end_line: span.line, end_column: span.column + 1, ..span } } else { span });
    Diagnostic { level: Level::Error, code: code.to_owned(), message, route: String::new(), span, label: String::new(), hints: Vec::new() }
}

#[cfg(test)]
mod tests;
