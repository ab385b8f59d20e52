//! What a delivery wants, in Tidegate's own terms. Only `adapters::trigger` knows the forge's.

use std::collections::BTreeMap;

use super::event::{Actor, Event};
use super::id::CommitId;

/// One delivery, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// `None` where the forge names none (an installation, a ping of a whole organisation).
    pub repository: Option<Repository>,
    pub actor: Option<Actor>,
    pub wish: Wish,
}

/// A repository at a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub id: u64,
    /// `owner/name`.
    pub name: String,
    /// Where git finds it.
    pub url: String,
    pub default_branch: String,
    pub private: bool,
    pub installation: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Pipelines may want to run for it. What only git knows is still missing: `changed`, and of some kinds `subject`, `author` and `commit`
    /// (empty: what `reference` points to by then).
    Happened(Box<Event>),
    /// A branch or tag is gone: what waits for it is void.
    Deleted {
        reference: String,
    },
    /// A pull request is closed, merged or not: what waits for it is void. Pipelines may want it as well.
    Closed {
        event: Box<Event>,
    },
    /// Somebody has written a command.
    Command {
        about: About,
        comment: u64,
        command: Command,
    },
    /// Somebody wants a check again: that of one run (by the id that was given to it), or all of the commit's.
    Rerun {
        external: Option<String>,
        commit: CommitId,
    },
    /// Somebody has pressed a button of a check.
    Pressed {
        external: String,
        identifier: String,
    },
    /// What the App may see has changed.
    Installation {
        id: u64,
        change: String,
    },
    Ping {
        zen: String,
    },
    /// Nothing that anything is done for.
    Nothing {
        because: String,
    },
}

/// What a comment stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Pull(u64),
    Issue(u64),
    Commit(CommitId),
}

/// `/tidegate VERB …`, the first line of a comment that begins so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// All pipelines of the event, or one.
    Run {
        pipeline: Option<String>,
        params: BTreeMap<String, String>,
    },
    /// Of the commit that the comment names: one can only approve what one has seen.
    Approve {
        commit: Option<String>,
        environment: Option<String>,
    },
    /// The other answer to what can be approved.
    Reject {
        commit: Option<String>,
        environment: Option<String>,
    },
    Cancel,
    Promote {
        rollout: Option<String>,
    },
    Rollback {
        rollout: Option<String>,
    },
    /// Begins like a command and is none: the answer says what there is.
    Unknown {
        said: String,
    },
}
