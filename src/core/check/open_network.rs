//! A reusable step with the whole network: it sees the commit, and could send it anywhere.

use super::{Check, warning};
use crate::core::spec::{Pipeline, Route, StepWork};
use crate::model::diagnostic::Diagnostic;
use crate::model::limits::Network;

pub struct OpenNetwork;

impl Check for OpenNetwork {
    fn name(&self) -> &'static str {
        "open-network"
    }

    fn about(&self) -> &'static str {
        "A scanner that could send what it sees to anyone."
    }

    fn look(&self, pipeline: &Pipeline) -> Vec<Diagnostic> {
        let concerned = pipeline.steps.iter().filter(|step| matches!(step.work, StepWork::Use(_)) && step.network == Network::Open);
        concerned
            .map(|step| {
                let route = Route::root().key("steps").key(&step.name).key("network");
                let message = format!("{:?} runs a reusable step with the whole network", step.name);
                warning(pipeline, self.name(), &route, message, "could reach anything", "write network: none; most reusable steps need no network")
            })
            .collect()
    }
}
