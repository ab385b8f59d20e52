//! What is said about a run where its repository lives: plain data. How a forge is told so is `adapters::forge`; what is said is `report::github`.

use std::fmt;

use super::id::{CommitId, NodeId, RunId};
use super::time::Timestamp;

/// Where it is said.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// `owner/name`.
    pub repository: String,
    /// The App's installation, where it is known.
    pub installation: Option<u64>,
}

/// All that shall be said about one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub commit: CommitId,
    /// Of the pipeline, then of its steps. The first is there in any case.
    pub checks: Vec<Check>,
    pub deployments: Vec<Deployment>,
    /// Its line in the comment of its pull request.
    pub line: Option<Line>,
}

/// What a forge gives back when somebody presses a button of a check, or wants it again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct External {
    pub run: RunId,
    /// `None`: the check is that of the whole run.
    pub node: Option<NodeId>,
}

impl fmt::Display for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "{}/{node}", self.run),
            None => self.run.fmt(f),
        }
    }
}

impl External {
    /// Whatever it is: whether there is such a run is another question.
    pub fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((run, node)) => Self { run: RunId::new(run), node: Some(NodeId::new(node)) },
            None => Self { run: RunId::new(text), node: None },
        }
    }
}

/// One line among the checks of a commit, and the page behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub external: External,
    pub name: String,
    pub state: CheckState,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// One line of plain text.
    pub title: String,
    /// Markdown.
    pub summary: String,
    pub text: String,
    pub annotations: Vec<Annotation>,
    pub actions: Vec<Action>,
    /// Where there is more.
    pub details: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    Queued,
    Running,
    Done(Conclusion),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    Success,
    Failure,
    /// Says nothing about the commit, and holds nothing up.
    Neutral,
    Cancelled,
    TimedOut,
    /// Somebody has to do something first.
    ActionRequired,
}

/// A remark at a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Relative to the repository.
    pub path: String,
    /// From 1.
    pub line: u32,
    pub level: Level,
    pub title: String,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Notice,
    Warning,
    Failure,
}

/// A button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Rerun,
    RerunFailed,
    Approve,
    Reject,
    Promote,
    RollBack,
    Cancel,
}

impl Action {
    pub const ALL: [Self; 7] = [Self::Rerun, Self::RerunFailed, Self::Approve, Self::Reject, Self::Promote, Self::RollBack, Self::Cancel];

    /// What comes back when it is pressed.
    pub fn identifier(self) -> &'static str {
        match self {
            Self::Rerun => "rerun",
            Self::RerunFailed => "rerun-failed",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Promote => "promote",
            Self::RollBack => "rollback",
            Self::Cancel => "cancel",
        }
    }

    pub fn of(identifier: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.identifier() == identifier)
    }
}

/// Something is brought to an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// What it is told apart by.
    pub external: External,
    pub environment: String,
    pub production: bool,
    pub description: String,
    pub state: DeploymentState,
    pub details: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentState {
    pub word: DeploymentWord,
    /// One line of plain text.
    pub description: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentWord {
    Queued,
    InProgress,
    Success,
    /// It has not become what serves.
    Failure,
    /// A person must look.
    Error,
}

/// What is said of a commit where checks can not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub context: String,
    pub state: CheckState,
    /// One line of plain text.
    pub description: String,
    pub details: Option<String>,
}

/// What the comment of a pull request says of one pipeline.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Line {
    pub pull: u64,
    pub pipeline: String,
    pub commit: CommitId,
    /// A row of the table, in Markdown.
    pub row: String,
}

/// What a command in a comment is answered, where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    Done,
    Refused,
    /// It is no command, or means nothing here.
    Unclear,
}

/// What a pull request is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullHead {
    pub commit: CommitId,
    pub open: bool,
}
