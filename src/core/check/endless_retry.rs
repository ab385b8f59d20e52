//! Trying again after every failure hides a test that fails sometimes.

use super::{Check, warning};
use crate::core::spec::{Pipeline, Route};
use crate::model::diagnostic::Diagnostic;
use crate::model::limits::RetryOn;

pub struct EndlessRetry;

impl Check for EndlessRetry {
    fn name(&self) -> &'static str {
        "retried-failure"
    }

    fn about(&self) -> &'static str {
        "A step that is tried again, more than twice, whatever made it fail."
    }

    fn look(&self, pipeline: &Pipeline) -> Vec<Diagnostic> {
        let concerned = pipeline.steps.iter().filter(|step| step.retry.attempts > 3 && step.retry.on.contains(&RetryOn::Failed));
        concerned
            .map(|step| {
                let route = Route::root().key("steps").key(&step.name).key("retry").key("on");
                let message = format!("{:?} is tried up to {} times whatever made it fail", step.name, step.retry.attempts);
                warning(
                    pipeline,
                    self.name(),
                    &route,
                    message,
                    "hides what fails only sometimes",
                    "retry infrastructure and timeout; mend what fails by itself",
                )
            })
            .collect()
    }
}
