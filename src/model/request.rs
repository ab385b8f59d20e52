//! A run that has been asked for and has not begun: what is journaled of it.

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::id::RunId;
use super::trust::{Approval, Trust};

/// What happens to a request, in the order it can happen. Its id is that of the run that it becomes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case", rename_all_fields = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one of it in every request")]
pub enum RequestFact {
    /// With the plan whole, as it will run: what was restricted is restricted in it.
    Asked {
        run: RunId,
        pipeline: String,
        event: Box<Event>,
        plan: serde_json::Value,
        trust: Trust,
        /// Where the commit is fetched from.
        url: String,
        group: Option<Group>,
        /// Higher goes first.
        priority: i32,
        /// Why somebody has to look at it first; `None` if nobody has to.
        approval: Option<String>,
        /// The run that it repeats.
        again: Option<Again>,
    },
    Approved {
        approval: Approval,
    },
    /// From here the run's own stream speaks.
    Begun,
    /// It will never begin.
    Dropped {
        why: Dropped,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "dropped", rename_all = "kebab-case")]
pub enum Dropped {
    /// A newer one of its group has come.
    Superseded {
        by: RunId,
    },
    Cancelled {
        by: String,
    },
    /// Somebody who might have approved it has said no.
    Rejected {
        by: String,
    },
    /// What it was asked for is not so any more: the branch is gone, the pull request has another head.
    Void {
        because: String,
    },
    /// It can not begin.
    Failed {
        why: String,
    },
}

/// `concurrency:` of the pipeline, filled in. Of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    /// A newer one cancels the one that runs.
    pub supersede: bool,
    pub queue: Waiting,
}

/// Who of a group may wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waiting {
    /// Everybody, in the order of arrival.
    All,
    /// Only the newest: it drops who waits.
    #[default]
    Latest,
}

/// What a run repeats, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    pub run: RunId,
    /// Nodes that are not run again: what they left then is what they leave now.
    pub keep: Vec<super::id::NodeId>,
}
