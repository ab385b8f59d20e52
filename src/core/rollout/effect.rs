//! What a rollout asks of the outside.

use std::time::Duration;

use crate::model::fact::RolloutOutcome;
use crate::model::function::Function;
use crate::model::id::Digest;
use crate::model::release::Release;
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, TrafficSplit};

/// Each is answered by one input, named at it. Asking twice does no harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// → `Published`, `AlreadyLive` or `PublishFailed`
    Publish { function: Box<Function>, artifact: Digest },
    /// → `Prewarmed` or `PrewarmFailed`
    Prewarm { release: Release, stage: usize, instances: u32 },
    /// → `Shifted` or `ShiftFailed`
    ///
    /// `expected`: compare-and-set by this revision. Without it, read the traffic first: when `split` is in force, it is done (`Shifted` with the revision
    /// read); when one of `from` is, set it by the revision read; anything else is somebody else's doing (`Conflict`).
    Shift { stage: Option<usize>, split: TrafficSplit, from: Vec<TrafficSplit>, expected: Option<u64> },
    /// → `Observed` or `ObserveFailed`, not before `at`
    Observe { at: Timestamp, stable: Destination, canary: Destination, slow_over: Option<Duration> },
    /// → `Tick`, then. Replaces an earlier one.
    WakeAt(Timestamp),
    /// There is nothing more to do.
    Finished(RolloutOutcome),
}
