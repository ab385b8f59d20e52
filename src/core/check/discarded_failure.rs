//! A deploy that goes on although what it needs has failed.

use super::{Check, warning};
use crate::core::spec::{Pipeline, Route, StepWork};
use crate::model::diagnostic::Diagnostic;

pub struct DiscardedFailure;

impl Check for DiscardedFailure {
    fn name(&self) -> &'static str {
        "deploy-after-failure"
    }

    fn about(&self) -> &'static str {
        "A deploy whose condition lets it run after a failed need."
    }

    fn look(&self, pipeline: &Pipeline) -> Vec<Diagnostic> {
        let concerned = pipeline.steps.iter().filter(|step| {
            let ignores = step.condition.as_ref().is_some_and(|condition| condition.calls("always") || condition.calls("failed"));
            matches!(step.work, StepWork::Deploy { .. }) && ignores
        });
        concerned
            .map(|step| {
                let route = Route::root().key("steps").key(&step.name).key("if");
                let message = format!("{:?} deploys even if a test or a scan that it needs has failed", step.name);
                warning(
                    pipeline,
                    self.name(),
                    &route,
                    message,
                    "does not stop at a failure",
                    "leave always() and failed() out: without them a deploy runs only if all that it needs succeeded",
                )
            })
            .collect()
    }
}
