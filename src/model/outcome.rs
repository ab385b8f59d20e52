//! How things end.

use serde::{Deserialize, Serialize};

/// How a step ended. Who is to blame is part of it: `Failed` is the step's own doing, `Infrastructure` is Tidegate's or the machine's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    Succeeded,
    Failed { exit: Exit, reason: String },
    TimedOut { after_ms: u64 },
    Cancelled { reason: String },
    Skipped { reason: String },
    Memoised { from: String },
    Infrastructure { reason: String },
}

impl Outcome {
    /// Whether what needs this may go on as if it had run well.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Memoised { .. })
    }

    /// The word for it in YAML, CLI, JSON and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timed-out",
            Self::Cancelled { .. } => "cancelled",
            Self::Skipped { .. } => "skipped",
            Self::Memoised { .. } => "memoised",
            Self::Infrastructure { .. } => "infrastructure",
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// There was no process: a check of ours failed after it (a missing output, say), or it could not be started.
    None,
}

/// How a whole run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunOutcome {
    Succeeded,
    Failed,
    Cancelled,
    /// Tidegate itself died while it ran.
    Interrupted,
    /// Only infrastructure failures stood in the way.
    Infrastructure,
}

impl RunOutcome {
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Infrastructure => "infrastructure",
        }
    }
}
