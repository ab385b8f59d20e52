//! The `Run` machine: one execution of a plan, as a synchronous and total function of what happens to it.
//!
//! ```text
//!             ┌───────────── decide: which facts follow from this input? (reads the state) ──────────────┐
//!  Input ──▶ handle                                                                                       ▼
//!             └────────── apply(fact): the only place that changes the state ◀── replay(facts) ◀── journal
//!                                      │
//!                                      ▼
//!                             Turn { facts, effects }
//!
//!  a node with an environment:  Waiting ─▶ Held ─▶ Queued …          Held ─▶ Ended (rejected, cancelled, nobody approved)
//!
//!  a node:  Waiting ─▶ Queued ─▶ Running ─▶ Tried ─▶ Ended          a deploy:  Waiting ─▶ Queued ─▶ Deploying ─▶ Ended
//!              │         ▲                    │                                  │
//!              │         └──── BackingOff ◀───┘                                  │
//!              └──────────────────────────────────▶ Ended (skipped, cancelled) ◀─┘
//! ```
//!
//! Invariants: no node starts before all that it needs has ended; no attempt starts twice; there is no transition that only recovery or only the live
//! way knows; an input that does not fit the state changes nothing. Every input costs what it changes (with a logarithm for the queue and the timers),
//! never a look at the whole graph: cancelling and interrupting are the two that touch every node.
//!
//! Knows nothing of clocks, journals, executors, providers, or of how a condition is written: `now` is an argument and conditions are asked for
//! through [`Rules`].

mod apply;
mod decide;
mod effect;
mod index;
mod input;
mod needs;
mod queue;
mod repeat;
mod retry;
mod state;

#[cfg(test)]
mod tests;

pub use apply::ReplayError;
pub use effect::Effect;
pub use input::{IllegalInput, Input};
pub use needs::{Need, NeedsView};
pub use repeat::{NotRepeated, Repeat};
pub use state::{Kept, NodeState, PlanError, Run};

use std::num::NonZeroUsize;

use crate::model::id::NodeId;

/// Answers whether a CEL condition holds, given the names that the plan knew; the error is a sentence for the person who wrote it.
pub type Evaluate<'a> = &'a dyn Fn(&str, &serde_json::Value, &NeedsView<'_>) -> Result<bool, String>;

/// Answers whether there is room outside for this attempt of a node.
pub type Room<'a> = &'a dyn Fn(&NodeId, u32) -> bool;

/// The room of somebody whom nobody shares it with.
pub fn always(_: &NodeId, _: u32) -> bool {
    true
}

/// What the machine is told about its surroundings. Not part of its state: a run can go on elsewhere with another `parallel`.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// Invocations at once over the whole run. Deploys do not count: a rollout mostly waits.
    pub parallel: NonZeroUsize,
    pub condition: Evaluate<'a>,
    /// Asked only of what would start now, one node of each step, and each deploy with an environment; a yes is taken at once. When the answer changes, a `Tick` follows.
    pub room: Room<'a>,
}

impl std::fmt::Debug for Rules<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("parallel", &self.parallel).finish_non_exhaustive()
    }
}
