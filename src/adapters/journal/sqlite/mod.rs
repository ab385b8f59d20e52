//! The embedded journal: SQLite in WAL mode, every commit synced.
//!
//! ```text
//!  append ─┐                              ┌─▶ BEGIN · all that waits · COMMIT (one sync for all of them) ─▶ answers
//!  append ─┼─▶ bounded queue ─▶ writer ───┤
//!  append ─┘                              └─▶ …                      read ─▶ its own connection, never behind a writer
//! ```
//!
//! There is one writer a process; between processes SQLite's own lock decides, and waits. A fact that could not be read back is never written.

mod reader;
mod schema;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rusqlite::Connection;

use super::{Journal, JournalError, Kind, MAX_FACT_BYTES, Place, Unfinished, Watch};
use crate::adapters::database::{self, OpenError};
use crate::model::fact::{Entry, Fact, Stream};
use crate::model::id::{RolloutId, RunId};
use crate::model::time::Timestamp;
use writer::{Append, Writer};

#[derive(Debug, Clone)]
pub struct SqliteJournal {
    writer: Arc<Writer>,
    reader: Arc<Mutex<Connection>>,
    watch: Option<Watch>,
}

impl SqliteJournal {
    pub fn open(path: &Path, owner: &str) -> Result<Self, JournalError> {
        let writing = database::open(path, &schema::SCHEMA).map_err(|error| not_opened(path, error))?;
        let reading = database::reader(path).map_err(|error| open_error(path, &error))?;
        let writer = Writer::spawn(writing, owner.to_owned()).map_err(|error| open_error(path, &error))?;
        Ok(Self { writer: Arc::new(writer), reader: Arc::new(Mutex::new(reading)), watch: None })
    }

    pub(super) fn watched(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Runs a query beside the async threads.
    async fn query<T: Send + 'static>(&self, query: impl FnOnce(&Connection) -> Result<T, JournalError> + Send + 'static) -> Result<T, JournalError> {
        database::ask(&self.reader, query).await.map_err(|error| JournalError::Read(error.to_string()))?
    }
}

impl Journal for SqliteJournal {
    async fn append(&self, stream: &Stream, first: u64, at: Timestamp, facts: Vec<Fact>) -> Result<(), JournalError> {
        if facts.is_empty() {
            return Ok(());
        }
        let ends = facts.iter().any(is_end);
        let bodies = facts.iter().map(|fact| body(stream, fact)).collect::<Result<Vec<_>, _>>()?;
        let first = i64::try_from(first).map_err(|_| JournalError::Conflict { stream: stream.clone() })?;
        let at = i64::try_from(at.as_micros()).map_err(|_| JournalError::Write("a time is past the year 290000".to_owned()))?;
        let since = Instant::now();
        let written = self.writer.append(Append { stream: stream.clone(), first, at, bodies, ends }).await;
        if let Some(watch) = &self.watch {
            watch.tell(since.elapsed());
        }
        written
    }

    async fn read(&self, stream: &Stream) -> Result<Vec<Entry>, JournalError> {
        let stream = stream.clone();
        self.query(move |connection| reader::stream(connection, &stream)).await
    }

    async fn runs(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError> {
        self.query(move |connection| reader::page(connection, "run", None, limit)).await
    }

    async fn rollouts(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError> {
        self.query(move |connection| reader::page(connection, "rollout", None, limit)).await
    }

    async fn requests(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError> {
        self.query(move |connection| reader::page(connection, "request", None, limit)).await
    }

    async fn unfinished(&self) -> Result<Vec<Unfinished>, JournalError> {
        self.query(reader::unfinished).await
    }

    async fn outlines(&self, kind: Kind, behind: Option<&Place>, limit: usize) -> Result<Vec<(Unfinished, Vec<Entry>)>, JournalError> {
        let behind = behind.cloned();
        self.query(move |connection| reader::outlines(connection, word(kind), behind.as_ref(), limit)).await
    }

    async fn existing(&self, streams: Vec<Stream>) -> Result<Vec<Stream>, JournalError> {
        self.query(move |connection| reader::existing(connection, streams)).await
    }

    async fn read_after(&self, stream: &Stream, after: u64, limit: usize) -> Result<Vec<Entry>, JournalError> {
        let stream = stream.clone();
        self.query(move |connection| reader::after(connection, &stream, after, limit)).await
    }

    async fn last(&self, stream: &Stream) -> Result<Option<Entry>, JournalError> {
        let stream = stream.clone();
        self.query(move |connection| reader::last(connection, &stream)).await
    }

    async fn page(&self, kind: Kind, before: Option<&Place>, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError> {
        let before = before.cloned();
        self.query(move |connection| reader::page(connection, word(kind), before.as_ref(), limit)).await
    }

    async fn beginning(&self, kind: Kind, with: &str, limit: usize) -> Result<Vec<Stream>, JournalError> {
        let with = with.to_owned();
        self.query(move |connection| reader::beginning(connection, word(kind), &with, limit)).await
    }

    async fn tail(&self, mark: Option<u64>, limit: usize) -> Result<(u64, Vec<Entry>), JournalError> {
        self.query(move |connection| reader::tail(connection, mark, limit)).await
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Run => "run",
        Kind::Rollout => "rollout",
        Kind::Request => "request",
    }
}

fn not_opened(path: &Path, error: OpenError) -> JournalError {
    match error {
        OpenError::TooNew { found, known } => JournalError::TooNew { path: path.display().to_string(), found, known },
        other => open_error(path, &other),
    }
}

fn open_error(path: &Path, error: &dyn std::fmt::Display) -> JournalError {
    JournalError::Open { path: path.display().to_string(), why: error.to_string() }
}

fn body(stream: &Stream, fact: &Fact) -> Result<String, JournalError> {
    let body = serde_json::to_string(fact).map_err(|error| JournalError::Write(error.to_string()))?;
    if body.len() > MAX_FACT_BYTES {
        return Err(JournalError::TooLarge { stream: stream.clone(), found: body.len(), limit: MAX_FACT_BYTES });
    }
    // JSON has no infinities: they would be written as null and could not be read again.
    match serde_json::from_str::<Fact>(&body) {
        Ok(_) => Ok(body),
        Err(error) => Err(JournalError::Write(format!("a fact of {stream:?} could not be read back: {error}"))),
    }
}

fn is_end(fact: &Fact) -> bool {
    use crate::model::fact::{RolloutFact, RunFact};
    use crate::model::request::RequestFact;
    matches!(
        fact,
        Fact::Run(RunFact::Ended { .. }) | Fact::Rollout(RolloutFact::Ended { .. }) | Fact::Request(RequestFact::Begun | RequestFact::Dropped { .. })
    )
}

fn key(stream: &Stream) -> (&'static str, &str) {
    match stream {
        Stream::Run(id) => ("run", id.as_str()),
        Stream::Rollout(id) => ("rollout", id.as_str()),
        Stream::Request(id) => ("request", id.as_str()),
    }
}

fn stream_of(kind: &str, id: String) -> Result<Stream, JournalError> {
    match kind {
        "run" => Ok(Stream::Run(RunId::new(id))),
        "rollout" => Ok(Stream::Rollout(RolloutId::new(id))),
        "request" => Ok(Stream::Request(RunId::new(id))),
        other => Err(JournalError::Read(format!("it holds a stream of an unknown kind, {other:?}"))),
    }
}
