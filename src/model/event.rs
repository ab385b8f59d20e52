//! What happened, in Tidegate's own terms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::{CommitId, DeliveryId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Push,
    PullRequest,
    Release,
    MergeGroup,
    Deployment,
    RepositoryDispatch,
    Schedule,
    Manual,
}

impl EventKind {
    pub const ALL: [Self; 8] =
        [Self::Push, Self::PullRequest, Self::Release, Self::MergeGroup, Self::Deployment, Self::RepositoryDispatch, Self::Schedule, Self::Manual];

    pub fn word(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::PullRequest => "pull_request",
            Self::Release => "release",
            Self::MergeGroup => "merge_group",
            Self::Deployment => "deployment",
            Self::RepositoryDispatch => "repository_dispatch",
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
    /// What only a forge tells.
    #[serde(default, skip_serializing_if = "Context::is_empty")]
    pub context: Context,
}

/// What is known of an event that a forge told of. Of one from a terminal, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// What exactly happened: `opened`, `published`; of a dispatch, its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// Who asked for the run once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullRequest>,
    /// The commit before a push; the base of a merge group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<CommitId>,
    /// Of a deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// What told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryId>,
    /// The App's installation that the forge is spoken to as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installation: Option<u64>,
}

impl Context {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Everybody who has started the run: who did what it runs for, and who asked for it once more.
    pub fn starters(&self) -> impl Iterator<Item = &Actor> {
        self.actor.iter().chain(&self.again)
    }
}

/// Somebody at a forge. The name can be changed and given to another; the number can not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub login: String,
    pub id: u64,
    /// A program's account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bot: bool,
}

/// How the forge says that somebody belongs to a repository. Says nothing of what they may do: see [`super::trust::Permission`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Association {
    Owner,
    Member,
    Collaborator,
    /// Has had a change merged before.
    Contributor,
    FirstTimeContributor,
    /// Has never contributed anywhere.
    FirstTimer,
    None,
}

/// A pull request, as it was at the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequest {
    pub number: u64,
    pub title: String,
    pub author: Actor,
    pub association: Association,
    pub head: Side,
    pub base: Side,
    /// The head is in another repository, or in none that is there any more.
    pub fork: bool,
    pub draft: bool,
    pub labels: Vec<String>,
}

/// One side of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// `owner/name`; empty if it is gone.
    pub repository: String,
    pub branch: String,
    pub commit: CommitId,
}
