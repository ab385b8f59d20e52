//! What can happen to a run.

use crate::model::fact::RolloutOutcome;
use crate::model::id::{NodeId, RolloutId};
use crate::model::invocation::InvocationResult;
use crate::model::policy::Voice;

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The answer to [`super::Effect::Invoke`].
    InvocationEnded { node: NodeId, attempt: u32, result: Box<InvocationResult> },
    /// The first answer to [`super::Effect::Deploy`]: a rollout has been started for the node.
    RolloutAttached { node: NodeId, rollout: RolloutId },
    /// The last answer to [`super::Effect::Deploy`]. Without an attachment before it: the rollout could not even be started.
    RolloutEnded { node: NodeId, outcome: RolloutOutcome },
    /// Somebody lets a node into its environment. Illegal from those whose word does not count there.
    Approved { node: NodeId, by: Voice },
    /// Somebody does not.
    Rejected { node: NodeId, by: Voice, reason: String },
    /// Time has passed. Never illegal: a tick too many does no harm.
    Tick,
    /// Somebody wants it to stop. Said again while it is stopping, the killing is asked for again.
    Cancel { reason: String },
    /// Recovery only: the process that performed this run's effects is dead. Ends the run.
    Interrupted,
}

impl Input {
    pub fn word(&self) -> &'static str {
        match self {
            Self::InvocationEnded { .. } => "the end of an invocation",
            Self::RolloutAttached { .. } => "a rollout's start",
            Self::RolloutEnded { .. } => "a rollout's end",
            Self::Approved { .. } => "an approval",
            Self::Rejected { .. } => "a rejection",
            Self::Tick => "a tick",
            Self::Cancel { .. } => "a cancellation",
            Self::Interrupted => "an interruption",
        }
    }
}

/// The input does not fit the state. Nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{} does not fit: {state}", input.word())]
pub struct IllegalInput {
    /// A sentence: what the state is instead.
    pub state: String,
    pub input: Box<Input>,
}
