//! `network: learn` left in the file: it lets a step reach everything public, and is only meant to find out what the list must hold.

use super::{Check, warning};
use crate::core::spec::{Pipeline, Route};
use crate::model::diagnostic::Diagnostic;
use crate::model::limits::Network;

pub struct LearningNetwork;

impl Check for LearningNetwork {
    fn name(&self) -> &'static str {
        "learning-network"
    }

    fn about(&self) -> &'static str {
        "A network that is still being learned."
    }

    fn look(&self, pipeline: &Pipeline) -> Vec<Diagnostic> {
        let own = |name: &str| Route::root().key("steps").key(name).key("network");
        let shared = Route::root().key("defaults").key("network");
        let mut found: Vec<Diagnostic> = Vec::new();
        for step in pipeline.steps.iter().filter(|step| step.network == Network::Learn) {
            let route = if pipeline.span(&own(&step.name), &crate::core::spec::Part::Key).is_some() { own(&step.name) } else { shared.clone() };
            if found.iter().any(|one| one.route == route.to_string()) {
                continue;
            }
            let message = format!("{:?} learns what it reaches, and may reach everything public until then", step.name);
            let hint = "run it once and paste the list that the summary prints: network: [\"host:port\", …]";
            found.push(warning(pipeline, self.name(), &route, message, "must not stay", hint));
        }
        found
    }
}
