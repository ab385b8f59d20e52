//! What a workflow is told when a command of ours has ended.

use std::collections::BTreeMap;

use crate::core::spec::{Part, Pipeline, Route};
use crate::model::check::{Annotation, Level, Said};
use crate::model::diagnostic::{Diagnostic, Level as Severity};
use crate::model::outcome::Outcome;
use crate::report::run::view::{NodeView, Status, View, reason};

/// All of it. Text may be anything: it is made harmless where it is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    pub annotations: Vec<Annotation>,
    /// Markdown.
    pub summary: String,
    pub outputs: BTreeMap<&'static str, String>,
}

/// The errors of a file that was not run.
pub fn of_diagnostics(file: &str, diagnostics: &[Diagnostic]) -> Vec<Annotation> {
    let annotation = |diagnostic: &Diagnostic| Annotation {
        path: file.to_owned(),
        line: diagnostic.span.map_or(1, |span| span.line),
        level: match diagnostic.level {
            Severity::Error => Level::Failure,
            Severity::Warning => Level::Warning,
            Severity::Note => Level::Notice,
        },
        title: diagnostic.code.clone(),
        message: std::iter::once(diagnostic.message.as_str()).chain(diagnostic.hints.iter().map(String::as_str)).collect::<Vec<_>>().join("\n"),
    };
    diagnostics.iter().map(annotation).collect()
}

/// What went wrong in a run, at the step's place in the pipeline file where that is known, and what its steps have found.
pub fn of_run(view: &View, said: Option<&Said>, file: &str, pipeline: Option<&Pipeline>) -> Vec<Annotation> {
    let mut annotations: Vec<Annotation> = view.nodes.iter().filter_map(|node| wrong(node, file, pipeline)).collect();
    annotations.extend(view.nodes.iter().filter_map(unread));
    annotations.extend(said.into_iter().flat_map(|said| &said.checks).flat_map(|check| check.annotations.iter().cloned()));
    annotations
}

/// Findings that nobody could read are no clean bill.
fn unread(node: &NodeView) -> Option<Annotation> {
    let message = node.record.as_ref()?.found.problem.clone()?;
    Some(Annotation { path: String::new(), line: 1, level: Level::Warning, title: format!("tidegate / {}", node.id), message })
}

fn wrong(node: &NodeView, file: &str, pipeline: Option<&Pipeline>) -> Option<Annotation> {
    let Status::Ended(outcome @ (Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Infrastructure { .. })) = &node.status else {
        return None;
    };
    let why = reason(outcome).map_or_else(String::new, |why| format!(": {why}"));
    let line = pipeline.and_then(|pipeline| line_of(pipeline, node));
    Some(Annotation {
        path: line.map_or_else(String::new, |_| file.to_owned()),
        line: line.unwrap_or(1),
        level: Level::Failure,
        title: format!("tidegate / {}", node.id),
        message: format!("{} {}{why}", node.id, outcome.word()),
    })
}

/// Where the file has the step: a node is called as its step is, and then what of the matrix it is.
fn line_of(pipeline: &Pipeline, node: &NodeView) -> Option<u32> {
    let step = node.id.as_str().split('[').next().unwrap_or_default();
    let route = Route::root().key("steps").key(step);
    pipeline.diagnostic(Severity::Note, "", &route, &Part::Key, String::new()).span.map(|span| span.line)
}
