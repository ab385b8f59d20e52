//! Who may do what: words for it. The decisions are `core::trust`.

use serde::{Deserialize, Serialize};

use super::id::CommitId;

/// What somebody may do in a repository, from the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    None,
    Read,
    Triage,
    Write,
    Maintain,
    Admin,
}

impl Permission {
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }
}

/// What a run is trusted with. Decided when it is asked for, and part of what is journaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// As if its repository's people had started it: they did.
    #[default]
    Trusted,
    /// Somebody else wrote what it runs: no secrets, no deploys, closed network, smaller limits, nothing shared with the trusted.
    Untrusted,
}

/// A word of a person about exactly one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub by: String,
    pub commit: CommitId,
}
