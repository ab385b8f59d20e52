//! Where a rollout stands.

use crate::model::fact::Decision;
use crate::model::fact::RolloutOutcome;
use crate::model::time::Timestamp;

/// Stages count from 0; the number of stages itself stands for "all traffic".
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Nothing is in the air and stage `next` is due. Left within the turn that came here, unless the process died in it.
    Between {
        next: usize,
        warm: bool,
    },
    Publishing(Call),
    /// Instances are started before the stage takes traffic.
    Prewarming {
        stage: usize,
        call: Call,
    },
    Shifting {
        stage: usize,
        call: Call,
    },
    Observing {
        stage: usize,
        /// When the stage's split came into force.
        since: Timestamp,
        /// Requests to the new release in this stage.
        requests: u64,
        /// The next batch still holds what was done before the shift: it counts, but not for this stage.
        leftover: bool,
        /// Observations that failed since the last one that did not.
        misses: u32,
    },
    /// The last shift, to all traffic.
    Promoting(Call),
    /// One shift: everything back to the stable release.
    RollingBack(Call),
    /// Traffic has moved for the last time. One more observation, so that the summary counts every request.
    Closing {
        outcome: RolloutOutcome,
    },
    Ended {
        outcome: RolloutOutcome,
    },
}

/// A call to the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    InTheAir {
        attempt: u32,
    },
    /// It failed, and is made again then.
    Waiting {
        attempt: u32,
        until: Timestamp,
    },
}

impl Call {
    pub fn attempt(self) -> u32 {
        match self {
            Self::InTheAir { attempt } | Self::Waiting { attempt, .. } => attempt,
        }
    }
}

impl State {
    /// The word for it in progress lines and errors.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Between { .. } => "between stages",
            Self::Publishing(_) => "publishing",
            Self::Prewarming { .. } => "prewarming",
            Self::Shifting { .. } => "shifting",
            Self::Observing { .. } => "observing",
            Self::Promoting(_) => "promoting",
            Self::RollingBack(_) => "rolling back",
            Self::Closing { .. } => "closing",
            Self::Ended { .. } => "ended",
        }
    }

    /// The call to the provider that this state is about. Observing is none: it can be repeated at will and nothing waits for it.
    pub fn call(&self) -> Option<Call> {
        match self {
            Self::Publishing(call)
            | Self::Promoting(call)
            | Self::RollingBack(call)
            | Self::Prewarming { call, .. }
            | Self::Shifting { call, .. } => Some(*call),
            Self::Between { .. } | Self::Observing { .. } | Self::Closing { .. } | Self::Ended { .. } => None,
        }
    }
}

/// A decision that has been made, until it has been carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub decision: Decision,
    pub reason: String,
}

impl Standing {
    pub(super) fn is_back(&self) -> bool {
        self.decision != Decision::Promote
    }
}
