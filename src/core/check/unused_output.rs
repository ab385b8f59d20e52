//! An output of a step that nothing needs.

use std::collections::HashSet;

use super::{Check, warning};
use crate::core::spec::{Pipeline, Route};
use crate::model::diagnostic::Diagnostic;

pub struct UnusedOutput;

impl Check for UnusedOutput {
    fn name(&self) -> &'static str {
        "unused-output"
    }

    fn about(&self) -> &'static str {
        "Outputs of a step that another step depends on in words only: it is not in anyone's needs, while others come after it in the file."
    }

    fn look(&self, pipeline: &Pipeline) -> Vec<Diagnostic> {
        let needed: HashSet<&str> = pipeline.steps.iter().flat_map(|step| step.needs.iter().map(String::as_str)).collect();
        // Outputs at the end of a pipeline are what it was run for.
        let last_need = pipeline.steps.iter().rposition(|step| !step.needs.is_empty());
        let concerned = pipeline
            .steps
            .iter()
            .enumerate()
            .filter(|(at, step)| !step.outputs.is_empty() && !needed.contains(step.name.as_str()) && last_need.is_some_and(|last| *at < last));
        concerned
            .map(|(_, step)| {
                let route = Route::root().key("steps").key(&step.name).key("outputs");
                let message = format!("no step needs {:?}, so nothing sees its outputs", step.name);
                warning(
                    pipeline,
                    self.name(),
                    &route,
                    message,
                    "kept, but not handed on",
                    &format!("add {} to the needs of the step that uses them", step.name),
                )
            })
            .collect()
    }
}
