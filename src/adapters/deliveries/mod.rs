//! Webhook requests as they came, and what became of them: bodies in `STATE/deliveries/N.log`, and an index of them in `STATE/deliveries.db`.
//!
//! ```text
//!  store ─┐                            ┌─▶ BEGIN · rows · all bodies behind the log, one sync · COMMIT ─▶ answers
//!  store ─┼─▶ queue, bounded ─▶ writer ┤
//!  mark  ─┘    full: say so            └─▶ …            waiting, list, get ─▶ a connection of its own, never behind the writer
//! ```
//!
//! **The log is what is synced**, so that a body is written once, and not into a database's log and then into its file: a record has all that its row says of it.
//! The index may end before the log does when the power was lost, and is read on at the next start (`index`). Its write lock is the log's.
//!
//! A database beside the journal's: the journal is the truth about runs and is kept for ever, while this one is a mailbox that may be emptied, takes what strangers
//! cause at their rate, and must not make a run's facts wait for it.
//!
//! **An id is never forgotten**, so that no delivery counts twice; a body is, some time after it was handled ([`Keep`]). What waits is never dropped.
//!
//! **A replay** puts a delivery back among those that wait, under its own id. What it asks for has ids that follow from its own, so what is there already is found
//! and not made again, and what was lost is made. To run once more what has run is another wish: a rerun.

mod index;
mod log;
mod mark;
mod reader;
mod record;
mod schema;
mod sweep;
mod tail;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Notify;

use crate::adapters::database;
use crate::model::delivery::{Delivery, Handled};
use crate::model::id::DeliveryId;
use crate::model::time::Timestamp;
use writer::{Ask, Writer};

/// How often it is looked whether another process has put something in.
const GLANCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveriesError {
    #[error("the deliveries in {path} can not be opened: {why}")]
    Open { path: String, why: String },
    #[error("the deliveries in {path} were written by a newer Tidegate (schema {found}, this one knows {known}): use that version")]
    TooNew { path: String, found: i64, known: i64 },
    /// For the moment: whoever sends shall send it again.
    #[error("there is no room for another delivery: {0}")]
    Full(&'static str),
    #[error("the delivery could not be written: {0}")]
    Write(String),
    #[error("the deliveries could not be read: {0}")]
    Read(String),
    /// Of one whose body is lost, whatever is tried.
    #[error("{0}")]
    Damaged(String),
}

/// How long bodies are kept that have been handled. The oldest go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    pub time: Duration,
    /// Of all bodies together. When twice as much waits to be handled, nothing more is taken.
    pub bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { time: Duration::from_secs(30 * 24 * 60 * 60), bytes: 1 << 30 }
    }
}

/// What became of a delivery that was brought. In any case it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    New,
    /// The same one was here before.
    AlreadyThere,
    /// Another one was here before, of the same id. This one is not stored.
    Taken,
}

/// What became of the wish to replay one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    Waiting,
    AlreadyWaiting,
    Unknown,
    /// Its body is not kept any more.
    Dropped,
}

/// What is known of a delivery, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// In the order of arrival, from 1.
    pub number: u64,
    pub id: DeliveryId,
    pub event: String,
    pub received: Timestamp,
    pub bytes: u64,
    /// Whether its body is still there.
    pub kept: bool,
    pub state: State,
    /// How often it was tried to handle it.
    pub attempts: u32,
    /// Why that did not go well the last time.
    pub missed: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Waiting,
    Handled { at: Timestamp, how: Handled },
}

/// Which ones are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub waiting: Option<bool>,
    pub event: Option<String>,
}

/// Newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only those that came before this number.
    pub before: Option<u64>,
    pub limit: usize,
}

/// Clones share it.
#[derive(Debug, Clone)]
pub struct Deliveries {
    writer: Arc<Writer>,
    reader: Arc<Mutex<Connection>>,
    folder: Arc<PathBuf>,
    came: Arc<Notify>,
}

impl Deliveries {
    /// Opens the store in a state folder, makes it if it is not there.
    pub fn open(state: &Path, keep: Keep) -> Result<Self, DeliveriesError> {
        let path = state.join("deliveries.db");
        let mut writing = schema::open(&path)?;
        let failed = |error: &dyn std::fmt::Display| DeliveriesError::Open { path: path.display().to_string(), why: error.to_string() };
        let reading = database::reader(&path).map_err(|error| failed(&error))?;
        let folder = log::folder(state).map_err(|error| failed(&error))?;
        index::tune(&writing).map_err(|error| failed(&error))?;
        index::recover(&mut writing, &folder).map_err(|error| failed(&error))?;
        let writer = Writer::spawn(writing, folder.clone(), keep).map_err(|error| failed(&error))?;
        Ok(Self { writer: Arc::new(writer), reader: Arc::new(Mutex::new(reading)), folder: Arc::new(folder), came: Arc::new(Notify::new()) })
    }

    /// On disk when it returns. Does not wait where there is no room: whoever sends is told instead.
    pub async fn store(&self, delivery: Delivery) -> Result<Stored, DeliveriesError> {
        let stored = self.writer.now(|answer| Ask::Store { delivery, answer }).await?;
        if stored == Ok(Stored::New) {
            self.came.notify_one();
        }
        stored
    }

    /// Those that wait, in the order of arrival. Bodies are for [`Self::load`], one at a time.
    pub async fn waiting(&self, limit: usize) -> Result<Vec<Known>, DeliveriesError> {
        self.query(move |connection| reader::waiting(connection, limit)).await
    }

    /// The delivery as it came, if its body is still kept.
    pub async fn load(&self, id: &DeliveryId) -> Result<Option<Delivery>, DeliveriesError> {
        let (id, folder) = (id.clone(), Arc::clone(&self.folder));
        self.query(move |connection| reader::load(connection, &folder, &id)).await
    }

    /// On disk when it returns.
    pub async fn mark_handled(&self, id: &DeliveryId, at: Timestamp, how: Handled) -> Result<(), DeliveriesError> {
        let id = id.clone();
        self.writer.ask(|answer| Ask::Handled { id, at, how, answer }).await?
    }

    /// It has failed, as nobody can read its body: unless that has come again since it was [loaded](Self::load). On disk when it returns.
    pub async fn mark_damaged(&self, id: &DeliveryId, at: Timestamp, why: String) -> Result<(), DeliveriesError> {
        let id = id.clone();
        self.writer.ask(|answer| Ask::Damaged { id, at, why, answer }).await?
    }

    /// It could not be handled this time: it goes on waiting.
    pub async fn mark_missed(&self, id: &DeliveryId, why: String) -> Result<(), DeliveriesError> {
        let id = id.clone();
        self.writer.ask(|answer| Ask::Missed { id, why, answer }).await?
    }

    pub async fn replay(&self, id: &DeliveryId) -> Result<Replayed, DeliveriesError> {
        let id = id.clone();
        let replayed = self.writer.ask(|answer| Ask::Replay { id, answer }).await?;
        self.came.notify_one();
        replayed
    }

    pub async fn list(&self, filter: Filter, page: Page) -> Result<Vec<Known>, DeliveriesError> {
        self.query(move |connection| reader::list(connection, &filter, page)).await
    }

    /// With an id, or the beginning of one: all that begin so, two at most.
    pub async fn find(&self, id: &str) -> Result<Vec<Known>, DeliveriesError> {
        let id = id.to_owned();
        self.query(move |connection| reader::find(connection, &id)).await
    }

    /// Returns soon after something was put in, here or by another process. It may return for nothing; it never stays away from what is there. For one who listens:
    /// what was put in before is told once.
    pub async fn came(&self) {
        let _ = tokio::time::timeout(GLANCE, self.came.notified()).await;
    }

    /// Runs a query beside the async threads.
    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, DeliveriesError> + Send + 'static,
    ) -> Result<T, DeliveriesError> {
        database::ask(&self.reader, query).await.map_err(|error| DeliveriesError::Read(error.to_string()))?
    }
}

#[cfg(test)]
mod tests;
