//! What the outside must do next.

use crate::model::id::{InvocationId, NodeId, RolloutId};
use crate::model::outcome::RunOutcome;
use crate::model::time::Timestamp;

/// Performed after the facts of the same turn are on disk, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Run the node's script once. Answered by exactly one `InvocationEnded`.
    Invoke { node: NodeId, attempt: u32, invocation: InvocationId, deadline: Timestamp },
    /// Start a rollout for the node. Answered by `RolloutAttached` and then `RolloutEnded`, or by `RolloutEnded` alone if it can not be started.
    Deploy { node: NodeId },
    /// Kill the invocation. Its `InvocationEnded` still comes. May be asked for more than once.
    Kill { node: NodeId, attempt: u32 },
    /// Put back the traffic that the node's rollout has moved, and end it. Its `RolloutEnded` still comes. May be asked for more than once.
    Abort { node: NodeId, rollout: RolloutId },
    /// Send a `Tick` at this time (or later). Replaces the one asked for before; a turn without it leaves that in place.
    WakeAt(Timestamp),
    /// Nothing more will come.
    Finished { outcome: RunOutcome },
}
