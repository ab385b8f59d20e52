//! The append-only record of facts.

use crate::model::fact::{Entry, Fact, Stream};
use crate::model::time::Timestamp;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal {path} can not be opened: {why}")]
    Open { path: String, why: String },
    #[error("the journal {path} was written by a newer Tidegate (schema {found}, this one knows {known}): use that version")]
    TooNew { path: String, found: i64, known: i64 },
    #[error("the journal could not be written: {0}")]
    Write(String),
    #[error("the journal could not be read: {0}")]
    Read(String),
    #[error("somebody else wrote to {stream:?} at the same time")]
    Conflict { stream: Stream },
}

/// Appends facts durably and reads them back in order.
#[expect(async_fn_in_trait, reason = "used through the enum that `open` returns, never as a trait object: no auto traits are lost")]
pub trait Journal {
    /// All or none; durable (on disk) when it returns. `first` is the number that the first of them must get: a gap or an overlap is a `Conflict`.
    async fn append(&self, stream: &Stream, first: u64, at: Timestamp, facts: Vec<Fact>) -> Result<(), JournalError>;
    async fn read(&self, stream: &Stream) -> Result<Vec<Entry>, JournalError>;
    /// Every stream of runs (or rollouts) with its first and last entry, newest first, at most `limit`.
    async fn runs(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError>;
    async fn rollouts(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError>;
}
