//! `network: learn` left in the file: it lets a step reach everything public, and is only meant to find out what the list must hold.

use super::{Check, warning};
use crate::core::spec::{Part, Pipeline, Route};
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
        let mut found: Vec<Diagnostic> = Vec::new();
        for step in pipeline.steps.iter().filter(|step| step.network == Network::Learn) {
            let whole = Route::root().key("steps").key(&step.name);
            let own = whole.key("network");
            // What the step does not say itself stands in the defaults, and its place is the step's.
            let says = pipeline.span(&own, &Part::Key) != pipeline.span(&whole, &Part::Key);
            let (route, who) = match says {
                true => (own, format!("{:?} learns", step.name)),
                false => (Route::root().key("defaults").key("network"), "every step that says nothing else learns".to_owned()),
            };
            if found.iter().all(|one| one.route != route.to_string()) {
                let message = format!("{who} what it reaches, and may reach everything public until then");
                let hint = "run it once and paste the list that the summary prints: network: [\"host:port\", …]";
                found.push(warning(pipeline, self.name(), &route, message, "must not stay", hint));
            }
        }
        found
    }
}
