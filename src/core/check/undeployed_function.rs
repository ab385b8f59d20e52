//! A function that no step deploys.

use super::{Check, warning};
use crate::core::spec::{Pipeline, Route, StepWork};
use crate::model::diagnostic::Diagnostic;

pub struct UndeployedFunction;

impl Check for UndeployedFunction {
    fn name(&self) -> &'static str {
        "undeployed-function"
    }

    fn about(&self) -> &'static str {
        "A function that no step of a pipeline with deploys publishes."
    }

    fn look(&self, pipeline: &Pipeline) -> Vec<Diagnostic> {
        let deployed: Vec<&str> = pipeline
            .steps
            .iter()
            .filter_map(|step| match &step.work {
                StepWork::Deploy { function, .. } => Some(function.as_str()),
                _ => None,
            })
            .collect();
        // A file of functions alone is for `tidegate deploy`.
        if pipeline.steps.is_empty() {
            return Vec::new();
        }
        let forgotten = pipeline.functions.iter().filter(|function| !deployed.contains(&function.name.as_str()));
        forgotten
            .map(|function| {
                let route = Route::root().key("functions").key(&function.name);
                let hint = format!("add a step with deploy: {{ function: {}, artifact: STEP.OUTPUT }}", function.name);
                warning(pipeline, self.name(), &route, format!("no step deploys the function {:?}", function.name), "never published", &hint)
            })
            .collect()
    }
}
