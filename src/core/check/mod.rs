//! Looks for what is allowed but probably not meant, or not safe. Errors of meaning are found when the file is read; what is found here does not stop a run.
//!
//! A new check is a file beside this one, a line in [`all`], and a good and a bad file in `fixtures/specs/check/NAME/`.

mod discarded_failure;
mod endless_retry;
mod learning_network;
mod open_network;
mod plain_secret;
mod undeployed_function;
mod unused_output;

use crate::core::spec::Pipeline;
use crate::model::diagnostic::Diagnostic;

/// One thing to look for.
pub trait Check {
    /// Kebab-case: the code of its diagnostics, and the name of its fixtures' folder.
    fn name(&self) -> &'static str;
    /// One sentence for the list of checks.
    fn about(&self) -> &'static str;
    fn look(&self, pipeline: &Pipeline) -> Vec<Diagnostic>;
}

pub fn all() -> Vec<Box<dyn Check>> {
    vec![
        Box::new(plain_secret::PlainSecret),
        Box::new(open_network::OpenNetwork),
        Box::new(learning_network::LearningNetwork),
        Box::new(undeployed_function::UndeployedFunction),
        Box::new(unused_output::UnusedOutput),
        Box::new(discarded_failure::DiscardedFailure),
        Box::new(endless_retry::EndlessRetry),
    ]
}

/// All findings, in the order of the file.
pub fn run_all(pipeline: &Pipeline) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = all().iter().flat_map(|check| check.look(pipeline)).collect();
    found.sort_by_key(|diagnostic| diagnostic.span);
    found
}

fn warning(pipeline: &Pipeline, code: &str, route: &crate::core::spec::Route, message: String, label: &str, hint: &str) -> Diagnostic {
    use crate::core::spec::Part;
    use crate::model::diagnostic::Level;
    let mut diagnostic = pipeline.diagnostic(Level::Warning, code, route, &Part::Key, message);
    diagnostic.label = label.to_owned();
    diagnostic.hints.push(hint.to_owned());
    diagnostic
}
