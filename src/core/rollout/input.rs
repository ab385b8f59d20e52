//! What a rollout is told.

use crate::model::fact::Batch;
use crate::model::release::Release;

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Published(Release),
    /// The digest is what already serves. (`Published` with the stable release means the same.)
    AlreadyLive(Release),
    PublishFailed(CallFailure),
    /// Each instance's cold start, in microseconds.
    Prewarmed {
        cold_start_us: Vec<u64>,
    },
    PrewarmFailed(CallFailure),
    /// The split that was asked for is in force.
    Shifted {
        revision: u64,
    },
    ShiftFailed(CallFailure),
    Observed(Batch),
    ObserveFailed(CallFailure),
    /// The time that `WakeAt` named has come. Harmless at any other time.
    Tick,
    /// A person gives the new release everything now.
    Promote,
    /// A person puts back what was there.
    Abort {
        reason: String,
    },
    /// After a crash and `replay`: go on where the facts end, asking again for what was in the air.
    Resume,
    /// After a crash and `replay`: the safe way, back to the stable release.
    TakeBack {
        reason: String,
    },
}

impl Input {
    fn word(&self) -> &'static str {
        match self {
            Self::Published(_) => "published",
            Self::AlreadyLive(_) => "already live",
            Self::PublishFailed(_) => "publishing failed",
            Self::Prewarmed { .. } => "prewarmed",
            Self::PrewarmFailed(_) => "prewarming failed",
            Self::Shifted { .. } => "shifted",
            Self::ShiftFailed(_) => "shifting failed",
            Self::Observed(_) => "observed",
            Self::ObserveFailed(_) => "observing failed",
            Self::Tick => "tick",
            Self::Promote => "promote",
            Self::Abort { .. } => "abort",
            Self::Resume => "resume",
            Self::TakeBack { .. } => "take back",
        }
    }
}

/// Why a call did not do what was asked, by what happens next. The same cases as the provider's errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallFailure {
    /// The user's to mend.
    Rejected { reason: String },
    /// Somebody else changed the split.
    Conflict { reason: String },
    /// The new release never came up.
    InitFailed { reason: String },
    /// Not now; the same call may work later.
    Unavailable { reason: String },
}

impl CallFailure {
    pub fn reason(&self) -> &str {
        match self {
            Self::Rejected { reason } | Self::Conflict { reason } | Self::InitFailed { reason } | Self::Unavailable { reason } => reason,
        }
    }
}

/// The input does not fit the state. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalInput {
    #[error("the rollout has ended ({outcome}): start a new one")]
    Ended { outcome: &'static str },
    #[error("the rollout is going back already")]
    GoingBack,
    #[error("the rollout is promoting already")]
    Promoting,
    #[error("all traffic has moved already: `tidegate rollout rollback` takes it back")]
    Moved,
    #[error("{input:?} is no answer to anything that was asked: the rollout is {state}")]
    NotAsked { input: &'static str, state: &'static str },
    /// The machine said something that it does not accept itself: a bug.
    #[error("internal: {0}")]
    Internal(#[from] super::IllegalFact),
}

impl IllegalInput {
    pub(super) fn not_asked(input: &Input, state: &super::State) -> Self {
        Self::NotAsked { input: input.word(), state: state.word() }
    }
}
