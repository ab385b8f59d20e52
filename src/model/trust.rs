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
    pub const ALL: [Self; 6] = [Self::None, Self::Read, Self::Triage, Self::Write, Self::Maintain, Self::Admin];

    /// The permission of this name.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.word() == word)
    }

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

impl Trust {
    pub fn is_trusted(&self) -> bool {
        *self == Self::Trusted
    }
}

/// A word of a person about exactly one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub by: String,
    pub commit: CommitId,
}
