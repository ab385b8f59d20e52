//! The append-only record of facts.
//!
//! Several processes share one journal: whoever appends to a stream becomes its owner, so that a later start can tell a stream whose process has died
//! from one that is still being written (`adapters::state` knows which owners are alive).

mod sqlite;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::model::fact::{Entry, Fact, Stream};
use crate::model::time::Timestamp;

pub use sqlite::SqliteJournal;

/// Bytes of one fact, as JSON. A run's start holds its whole plan; nothing else comes near.
pub const MAX_FACT_BYTES: usize = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    #[error("a fact of {stream:?} is {found} bytes long, more than the {limit} that the journal keeps of one: make the pipeline smaller")]
    TooLarge { stream: Stream, found: usize, limit: usize },
}

/// What streams are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Run,
    Rollout,
    Request,
}

/// A place in a list: the stream behind which it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub opened: Timestamp,
    pub id: String,
}

/// A stream without an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    pub stream: Stream,
    /// Who appended last: the `owner` of its `open`.
    pub owner: String,
    pub opened: Timestamp,
    /// The number of its last entry.
    pub last: u64,
}

impl Unfinished {
    /// Where a list of them goes on behind it.
    pub fn place(&self) -> Place {
        let id = match &self.stream {
            Stream::Run(id) | Stream::Request(id) => id.as_str(),
            Stream::Rollout(id) => id.as_str(),
        };
        Place { opened: self.opened, id: id.to_owned() }
    }
}

/// Appends facts durably and reads them back in order.
#[expect(async_fn_in_trait, reason = "used through the enum that `open` returns, never as a trait object: no auto traits are lost")]
pub trait Journal {
    /// All or none; durable (on disk) when it returns. `first` is the number that the first of them must get: a gap or an overlap is a `Conflict`.
    /// Dropping the future does not take back what was asked for.
    async fn append(&self, stream: &Stream, first: u64, at: Timestamp, facts: Vec<Fact>) -> Result<(), JournalError>;
    /// Empty for a stream that nothing was ever appended to.
    async fn read(&self, stream: &Stream) -> Result<Vec<Entry>, JournalError>;
    /// Every stream of runs (or rollouts, or requests) with its first and last entry, newest first, at most `limit`.
    async fn runs(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError>;
    async fn rollouts(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError>;
    async fn requests(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError>;
    /// What has no end yet, oldest first, alive or not.
    async fn unfinished(&self) -> Result<Vec<Unfinished>, JournalError>;
    /// The same of one kind, with what they say but for plans (`null`), which are large: from a place on, at most `limit` of them, and fewer where they are large all the
    /// same. Empty if there are no more.
    async fn outlines(&self, kind: Kind, behind: Option<&Place>, limit: usize) -> Result<Vec<(Unfinished, Vec<Entry>)>, JournalError>;
    /// Those among them that something was appended to.
    async fn existing(&self, streams: Vec<Stream>) -> Result<Vec<Stream>, JournalError>;
    /// What stands behind the entry with this number (0: from the first), at most `limit` of them, and fewer where they are large. Empty if there is nothing yet.
    async fn read_after(&self, stream: &Stream, after: u64, limit: usize) -> Result<Vec<Entry>, JournalError>;
    /// `None` for a stream that nothing was ever appended to.
    async fn last(&self, stream: &Stream) -> Result<Option<Entry>, JournalError>;
    /// As `runs` and its like, from a place on.
    async fn page(&self, kind: Kind, before: Option<&Place>, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError>;
    /// The streams whose id begins so, newest first, at most `limit`.
    async fn beginning(&self, kind: Kind, with: &str, limit: usize) -> Result<Vec<Stream>, JournalError>;
    /// What was appended behind this mark, whatever it is about, with the mark to go on from. `None`: nothing, but the mark of the end.
    async fn tail(&self, mark: Option<u64>, limit: usize) -> Result<(u64, Vec<Entry>), JournalError>;
}

/// The journal that was opened. Clones share it.
#[derive(Debug, Clone)]
pub enum AnyJournal {
    Sqlite(SqliteJournal),
}

/// Told how long each append took.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(Duration) + Send + Sync>);

impl Watch {
    pub fn new(told: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }
    fn tell(&self, took: Duration) {
        (self.0)(took);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

impl AnyJournal {
    /// The same journal; this one and what is cloned from it tell how long appends take.
    #[must_use]
    pub fn watched(self, watch: Watch) -> Self {
        match self {
            Self::Sqlite(journal) => Self::Sqlite(journal.watched(watch)),
        }
    }
}

/// Opens the journal at `path`, makes it if it is not there, and brings an older one up to date. `owner` is who appends from here.
pub fn open(path: &Path, owner: &str) -> Result<AnyJournal, JournalError> {
    SqliteJournal::open(path, owner).map(AnyJournal::Sqlite)
}

impl Journal for AnyJournal {
    async fn append(&self, stream: &Stream, first: u64, at: Timestamp, facts: Vec<Fact>) -> Result<(), JournalError> {
        match self {
            Self::Sqlite(journal) => journal.append(stream, first, at, facts).await,
        }
    }
    async fn read(&self, stream: &Stream) -> Result<Vec<Entry>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.read(stream).await,
        }
    }
    async fn runs(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.runs(limit).await,
        }
    }
    async fn rollouts(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.rollouts(limit).await,
        }
    }
    async fn requests(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.requests(limit).await,
        }
    }
    async fn unfinished(&self) -> Result<Vec<Unfinished>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.unfinished().await,
        }
    }
    async fn outlines(&self, kind: Kind, behind: Option<&Place>, limit: usize) -> Result<Vec<(Unfinished, Vec<Entry>)>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.outlines(kind, behind, limit).await,
        }
    }
    async fn existing(&self, streams: Vec<Stream>) -> Result<Vec<Stream>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.existing(streams).await,
        }
    }
    async fn read_after(&self, stream: &Stream, after: u64, limit: usize) -> Result<Vec<Entry>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.read_after(stream, after, limit).await,
        }
    }
    async fn last(&self, stream: &Stream) -> Result<Option<Entry>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.last(stream).await,
        }
    }
    async fn page(&self, kind: Kind, before: Option<&Place>, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.page(kind, before, limit).await,
        }
    }
    async fn beginning(&self, kind: Kind, with: &str, limit: usize) -> Result<Vec<Stream>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.beginning(kind, with, limit).await,
        }
    }
    async fn tail(&self, mark: Option<u64>, limit: usize) -> Result<(u64, Vec<Entry>), JournalError> {
        match self {
            Self::Sqlite(journal) => journal.tail(mark, limit).await,
        }
    }
}
