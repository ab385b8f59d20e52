//! What was said last about each run, and under which id of the forge: so that nothing is said twice, and nothing that was said is made a second time.
//!
//! SQLite, synced at every write. Nothing here is a source of truth: were the file lost, everything would be looked for at the forge and said again.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::adapters::database::{self, OpenError, Schema};
use crate::model::check::Line;
use crate::model::id::RunId;
use crate::model::time::Timestamp;

/// "tidr".
const SCHEMA: Schema = Schema { application: 0x7469_6472, migrations: &[TABLES] };
/// Lines of one comment.
const MOST_LINES: usize = 50;

const TABLES: &str = "
    CREATE TABLE item (
        run    TEXT    NOT NULL,
        key    TEXT    NOT NULL,
        remote INTEGER,
        digest TEXT,
        notes  INTEGER NOT NULL,
        unsure INTEGER NOT NULL CHECK (unsure IN (0, 1)),
        why    TEXT,
        PRIMARY KEY (run, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE done (run TEXT NOT NULL PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE line (
        repository TEXT    NOT NULL,
        pull       INTEGER NOT NULL,
        pipeline   TEXT    NOT NULL,
        run        TEXT    NOT NULL,
        asked      INTEGER NOT NULL,
        line       TEXT    NOT NULL,
        PRIMARY KEY (repository, pull, pipeline)
    ) STRICT, WITHOUT ROWID;";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store of reports {path} can not be used: {why}")]
pub struct StoreError {
    path: String,
    why: String,
}

/// One thing at the forge. It is there from the moment before it is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// `None`: whether it was made is not known.
    pub remote: Option<u64>,
    /// Of what was said last.
    pub digest: Option<String>,
    /// Annotations that have arrived.
    pub notes: usize,
    /// Some more may have.
    pub unsure: bool,
    /// Why it was refused, if it was: it is not tried again until there is something else to say.
    pub refused: Option<String>,
}

/// Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    path: Arc<str>,
    connection: Arc<Mutex<Connection>>,
}

impl Store {
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let shown: Arc<str> = path.display().to_string().into();
        let failed = |error: OpenError| StoreError { path: shown.to_string(), why: error.to_string() };
        let connection = database::open(path, &SCHEMA).map_err(failed)?;
        Ok(Self { path: shown, connection: Arc::new(Mutex::new(connection)) })
    }

    /// `None`: nobody has begun to make it.
    pub async fn item(&self, run: &str, key: &str) -> Result<Option<Item>, StoreError> {
        let (run, key) = (run.to_owned(), key.to_owned());
        self.with(move |connection| {
            let sql = "SELECT remote, digest, notes, unsure, why FROM item WHERE run = ?1 AND key = ?2";
            let read = |row: &rusqlite::Row<'_>| {
                Ok(Item {
                    remote: row.get::<_, Option<i64>>(0)?.and_then(|id| u64::try_from(id).ok()),
                    digest: row.get(1)?,
                    notes: usize::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
                    unsure: row.get(3)?,
                    refused: row.get(4)?,
                })
            };
            connection.prepare(sql)?.query_row((run, key), read).optional()
        })
        .await
    }

    /// On disk when it returns.
    pub async fn put(&self, run: &str, key: &str, item: &Item) -> Result<(), StoreError> {
        let (run, key, item) = (run.to_owned(), key.to_owned(), item.clone());
        self.with(move |connection| {
            let sql = "INSERT INTO item (run, key, remote, digest, notes, unsure, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                       ON CONFLICT (run, key) DO UPDATE SET remote = ?3, digest = ?4, notes = ?5, unsure = ?6, why = ?7";
            let remote = item.remote.and_then(|id| i64::try_from(id).ok());
            let notes = i64::try_from(item.notes).unwrap_or(i64::MAX);
            connection.prepare(sql)?.execute(params![run, key, remote, item.digest, notes, item.unsure, item.refused]).map(drop)
        })
        .await
    }

    /// Why things of a run were refused, by what they are.
    pub async fn refused(&self, run: &RunId) -> Result<Vec<(String, String)>, StoreError> {
        let run = run.to_string();
        self.with(move |connection| {
            let mut statement = connection.prepare("SELECT key, why FROM item WHERE run = ?1 AND why IS NOT NULL ORDER BY key")?;
            statement.query_map((run,), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .await
    }

    /// All has been said of it that ever will be.
    pub async fn finish(&self, run: &RunId, at: Timestamp) -> Result<(), StoreError> {
        let (run, at) = (run.to_string(), micros(at));
        self.with(move |connection| connection.prepare("INSERT OR IGNORE INTO done (run, at) VALUES (?1, ?2)")?.execute((run, at)).map(drop)).await
    }

    /// Of runs that were finished before: nobody will ask for it any more. Comments keep their ids.
    pub async fn forget(&self, before: Timestamp) -> Result<(), StoreError> {
        let before = micros(before);
        self.with(move |connection| {
            connection.execute("DELETE FROM item WHERE run IN (SELECT run FROM done WHERE at < ?1)", (before,))?;
            connection.execute("DELETE FROM done WHERE at < ?1", (before,))?;
            connection.execute("DELETE FROM line WHERE asked < ?1", (before,)).map(drop)
        })
        .await
    }

    pub async fn is_finished(&self, run: &RunId) -> Result<bool, StoreError> {
        let run = run.to_string();
        self.with(move |connection| connection.prepare("SELECT 1 FROM done WHERE run = ?1")?.exists((run,))).await
    }

    /// Those of which something may still have to be said. Asked at once, as thousands may wait.
    pub async fn unfinished(&self, runs: Vec<RunId>) -> Result<Vec<RunId>, StoreError> {
        self.with(move |connection| {
            let mut statement = connection.prepare("SELECT 1 FROM done WHERE run = ?1")?;
            let mut left = Vec::new();
            for run in runs {
                if !statement.exists((run.as_str(),))? {
                    left.push(run);
                }
            }
            Ok(left)
        })
        .await
    }

    /// The line of a run in a comment, unless that of a newer run of the same pipeline is there; and all lines then, by pipeline.
    pub async fn line(&self, repository: &str, run: &RunId, asked: Timestamp, line: &Line) -> Result<Vec<Line>, StoreError> {
        let (repository, run, pull) = (repository.to_owned(), run.to_string(), i64::try_from(line.pull).unwrap_or(i64::MAX));
        let (pipeline, asked) = (line.pipeline.clone(), micros(asked));
        let line = serde_json::to_string(line).unwrap_or_default();
        self.with(move |connection| {
            let sql = "INSERT INTO line (repository, pull, pipeline, run, asked, line) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT (repository, pull, pipeline) DO UPDATE SET run = ?4, asked = ?5, line = ?6 WHERE asked <= ?5";
            connection.prepare(sql)?.execute(params![repository, pull, pipeline, run, asked, line])?;
            let sql = "SELECT line FROM line WHERE repository = ?1 AND pull = ?2 ORDER BY pipeline LIMIT ?3";
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map(params![repository, pull, i64::try_from(MOST_LINES).unwrap_or(0)], |row| row.get::<_, String>(0))?;
            let texts: Vec<String> = rows.collect::<rusqlite::Result<_>>()?;
            Ok(texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
        })
        .await
    }

    /// Beside the async threads.
    async fn with<T: Send + 'static>(&self, then: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static) -> Result<T, StoreError> {
        let failed = |why: String| StoreError { path: self.path.to_string(), why };
        let done = database::ask(&self.connection, then).await;
        done.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }
}

fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::CommitId;

    #[tokio::test]
    async fn what_was_said_is_there_after_a_new_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reports.db");
        let said = Item { remote: Some(7), digest: Some("d".to_owned()), notes: 50, unsure: true, refused: None };
        let store = Store::open(&path).expect("opens");
        assert_eq!(store.item("r1", "check").await, Ok(None));
        store.put("r1", "check", &Item::default()).await.expect("written");
        store.put("r1", "check", &said).await.expect("written");
        store.finish(&RunId::new("r1"), Timestamp::from_micros(9)).await.expect("written");
        drop(store);
        let store = Store::open(&path).expect("opens again");
        assert_eq!(store.item("r1", "check").await, Ok(Some(said)));
        assert_eq!(store.is_finished(&RunId::new("r1")).await, Ok(true));
        assert_eq!(store.is_finished(&RunId::new("r2")).await, Ok(false));
        store.forget(Timestamp::from_micros(9)).await.expect("forgotten");
        assert_eq!(store.is_finished(&RunId::new("r1")).await, Ok(true));
        store.forget(Timestamp::from_micros(10)).await.expect("forgotten");
        assert_eq!((store.is_finished(&RunId::new("r1")).await, store.item("r1", "check").await), (Ok(false), Ok(None)));
    }

    #[tokio::test]
    async fn a_line_is_that_of_the_newest_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("reports.db")).expect("opens");
        let line = |pipeline: &str, row: &str| Line { pull: 3, pipeline: pipeline.to_owned(), commit: CommitId::new("c"), row: row.to_owned() };
        let at = |n| Timestamp::from_micros(n);
        store.line("acme/shop", &RunId::new("new"), at(5), &line("test", "new")).await.expect("written");
        store.line("acme/other", &RunId::new("x"), at(9), &line("test", "other")).await.expect("written");
        let all = store.line("acme/shop", &RunId::new("old"), at(4), &line("test", "old")).await.expect("written");
        assert_eq!(all, [line("test", "new")]);
        let all = store.line("acme/shop", &RunId::new("b"), at(1), &line("build", "b")).await.expect("written");
        assert_eq!(all, [line("build", "b"), line("test", "new")]);
    }

    #[test]
    fn another_programs_file_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reports.db");
        Connection::open(&path).expect("opens").execute_batch("PRAGMA application_id = 77; CREATE TABLE bookmarks (url TEXT)").expect("theirs");
        assert!(Store::open(&path).expect_err("not ours").to_string().contains("another program"));
    }
}
