//! Why somebody's word about a run has no effect.

use crate::adapters::journal::JournalError;
use crate::model::id::{CommitId, RunId};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error("run {0} does not wait (any more)")]
    NotWaiting(RunId),
    #[error("run {0} neither waits nor runs here")]
    NotHere(RunId),
    #[error("run {run} is of commit {commit}: what was meant is another one")]
    OtherCommit { run: RunId, commit: CommitId },
    #[error("run {0} waits for nobody's approval")]
    NeedsNone(RunId),
    #[error("the server is stopping: say it again to the next one")]
    Stopped,
    #[error(transparent)]
    Journal(#[from] JournalError),
}
