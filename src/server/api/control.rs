//! What only whoever drives runs can do, as commands that are answered. The other end is `tidegate serve`'s loop.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::problem::Problem;
use crate::model::id::{CommitId, RolloutId, RunId};

/// Commands that may wait for the loop.
const WAITING: usize = 64;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked for. `by` is whoever asked: `token NAME` or `@LOGIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A run by hand, with the parameters of `on.manual`.
    Start {
        repository: String,
        pipeline: String,
        reference: String,
        params: BTreeMap<String, String>,
        by: String,
    },
    /// A request that has not begun. What is under way is told by letter: see `runtime::tell`.
    Drop {
        run: RunId,
        by: String,
    },
    Rerun {
        run: RunId,
        what: Again,
        by: String,
    },
    /// Of exactly this commit: it is a conflict if the request is for another.
    Approve {
        run: RunId,
        commit: CommitId,
        by: String,
    },
    /// The other answer to it.
    Reject {
        run: RunId,
        commit: CommitId,
        by: String,
    },
    /// Of a rollout that nobody drives any more, or that has ended.
    RollBack {
        rollout: RolloutId,
        by: String,
    },
    Promote {
        rollout: RolloutId,
        by: String,
    },
}

/// What of a run is done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    All,
    /// What did not succeed, and what needs it.
    Failed,
    /// One step, and what needs it.
    Step(String),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// These runs have been asked for.
    Asked(Vec<RunId>),
    /// A sentence for the person.
    Told(String),
}

/// Why not, in words for the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    Unknown(String),
    Invalid(String),
    /// It is not so any more.
    Conflict(String),
    Forbidden(String),
    Unavailable(String),
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown(why) => Self::unknown(why),
            Refused::Invalid(why) => Self::invalid(why),
            Refused::Conflict(why) => Self::conflict(why),
            Refused::Forbidden(why) => Self::forbidden(why),
            Refused::Unavailable(why) => Self::unavailable(why),
        }
    }
}

/// One command and where its answer goes.
#[derive(Debug)]
pub struct Asked {
    pub command: Command,
    pub answer: oneshot::Sender<Result<Done, Refused>>,
}

/// The API's end.
#[derive(Debug, Clone)]
pub struct Control(mpsc::Sender<Asked>);

/// The API's end, and the one of whoever obeys: it answers each, and reads on while it works. While it is full the API answers 503.
pub fn channel() -> (Control, mpsc::Receiver<Asked>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Control(sender), receiver)
}

impl Control {
    pub async fn ask(&self, command: Command) -> Result<Done, Problem> {
        let (answer, answered) = oneshot::channel();
        self.0
            .try_send(Asked { command, answer })
            .map_err(|_| Problem::unavailable("the server has too much to do at the moment, or is about to end"))?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(done)) => Ok(done?),
            Ok(Err(_)) => Err(Problem::unavailable("the server is about to end")),
            Err(_) => Err(Problem::unavailable(format!("it was not done within {} seconds; it may still be done", PATIENCE.as_secs()))),
        }
    }
}
