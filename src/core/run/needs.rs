//! What a node may know about what it needs: for its condition, its templates and its layers.

use std::collections::BTreeMap;

use crate::core::plan::Node;
use crate::model::event::Event;
use crate::model::id::NodeId;
use crate::model::outcome::Outcome;

use super::state::{Kept, NodeState, Run};

/// A node's view of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct NeedsView<'a> {
    pub event: &'a Event,
    /// In the order of `Node::needs`.
    pub needs: Vec<Need<'a>>,
}

/// One ended need.
#[derive(Debug, Clone, PartialEq)]
pub struct Need<'a> {
    pub node: &'a NodeId,
    pub step: &'a str,
    pub matrix: &'a BTreeMap<String, String>,
    pub outcome: &'a Outcome,
    /// It, or something before it, ended other than well or skipped by its own condition: what `failed()` asks.
    pub failed: bool,
    /// What its last attempt left; `None` if it never ran.
    pub kept: Option<&'a Kept>,
}

impl NeedsView<'_> {
    /// Whether all went well, or what to say about the first that did not.
    pub(super) fn succeeded(&self) -> Result<(), String> {
        match self.needs.iter().find(|need| !need.outcome.is_success()) {
            None => Ok(()),
            Some(need) => Err(format!("it needs {}, which {}", need.node, how_it_ended(need.outcome))),
        }
    }
}

fn how_it_ended(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded | Outcome::Memoised { .. } => "succeeded",
        Outcome::Failed { .. } => "failed",
        Outcome::TimedOut { .. } => "timed out",
        Outcome::Cancelled { .. } => "was cancelled",
        Outcome::Skipped { .. } => "was skipped",
        Outcome::Infrastructure { .. } => "could not be run",
    }
}

impl Run {
    pub(super) fn view(&self, at: usize) -> NeedsView<'_> {
        NeedsView { event: &self.plan.event, needs: self.nodes[at].needs.iter().filter_map(|need| self.need(*need)).collect() }
    }

    fn need(&self, at: usize) -> Option<Need<'_>> {
        let Node { id, step, matrix, .. } = &self.plan.nodes[at];
        let node = &self.nodes[at];
        match &node.state {
            NodeState::Ended(outcome) => Some(Need { node: id, step, matrix, outcome, failed: node.failed, kept: node.kept.as_deref() }),
            _ => None,
        }
    }
}
