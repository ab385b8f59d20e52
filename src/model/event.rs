//! What happened, in Tidegate's own terms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::CommitId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Push,
    PullRequest,
    Schedule,
    Manual,
}

impl EventKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::PullRequest => "pull_request",
            Self::Schedule => "schedule",
            Self::Manual => "manual",
        }
    }
}

/// One event. Everything textual in it may come from outside and is never trusted to be code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub kind: EventKind,
    /// What people call the repository: `owner/name`, or a folder's name.
    pub repository: String,
    /// The full reference (`refs/heads/main`); empty on a detached HEAD.
    pub reference: String,
    /// The branch, where the reference is one; for a pull request the branch that it wants to get into.
    pub branch: Option<String>,
    pub commit: CommitId,
    /// First line of the commit's message.
    pub subject: String,
    pub author: String,
    /// Paths changed since the parent (or base) commit, where known.
    pub changed: Option<Vec<String>>,
    /// `--param` values, as given.
    pub params: BTreeMap<String, String>,
}
