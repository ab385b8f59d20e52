//! A run once more: which of its nodes keep what they left.

use std::collections::BTreeSet;

use crate::core::plan::{Node, Plan};
use crate::model::id::{NodeId, RunId};
use crate::model::outcome::Outcome;

use super::state::{NodeState, Run};

/// What of a run is done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    All,
    /// What did not succeed, and what needs it.
    Failed,
    /// One step, and what needs it.
    Step(String),
}

/// Why it is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRepeated {
    #[error("run {0} has not ended: cancel it first, or wait")]
    Going(RunId),
    #[error("run {run} has no step {given:?}; it has {known}")]
    NoStep { run: RunId, given: String, known: String },
    #[error("it needs {0}, which did not succeed: run what failed again instead")]
    Missing(NodeId),
}

impl Run {
    /// The nodes that are not run again.
    pub fn keeps(&self, what: &Repeat) -> Result<Vec<NodeId>, NotRepeated> {
        if self.outcome().is_none() {
            return Err(NotRepeated::Going(self.id().clone()));
        }
        let plan: &Plan = self.plan();
        let good = |node: &Node| matches!(self.state(&node.id), Some(NodeState::Ended(Outcome::Succeeded | Outcome::Memoised { .. })));
        let mut again: BTreeSet<&NodeId> = match what {
            Repeat::All => return Ok(Vec::new()),
            Repeat::Failed => plan.nodes.iter().filter(|node| !good(node)).map(|node| &node.id).collect(),
            Repeat::Step(step) => self.meant(step)?,
        };
        // Every node stands behind all that it needs.
        for node in &plan.nodes {
            if node.needs.iter().any(|need| again.contains(need)) || !good(node) && *what == Repeat::Failed {
                again.insert(&node.id);
            }
        }
        let needed = plan.nodes.iter().filter(|node| again.contains(&node.id)).flat_map(|node| &node.needs);
        let mut bad = needed.filter(|need| !again.contains(need) && plan.node(need).is_some_and(|node| !good(node)));
        match bad.next() {
            Some(first) => Err(NotRepeated::Missing(first.clone())),
            None => Ok(plan.nodes.iter().filter(|node| !again.contains(&node.id) && good(node)).map(|node| node.id.clone()).collect()),
        }
    }

    fn meant(&self, step: &str) -> Result<BTreeSet<&NodeId>, NotRepeated> {
        let nodes = &self.plan().nodes;
        let meant: BTreeSet<&NodeId> = nodes.iter().filter(|node| node.step == *step || node.id.as_str() == step).map(|node| &node.id).collect();
        if meant.is_empty() {
            let known: BTreeSet<&str> = nodes.iter().map(|node| node.step.as_str()).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(NotRepeated::NoStep { run: self.id().clone(), given: step.to_owned(), known });
        }
        Ok(meant)
    }
}
