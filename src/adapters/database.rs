//! How a SQLite file of ours is opened: in WAL mode, with every commit synced, and brought to the newest schema. Another program's file is left as it is.
//!
//! A leaf for whoever keeps something in such a file; what is in it is theirs.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::task::JoinError;

/// How long one process waits for another's commit before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a kind of file is known by.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// SQLite's `application_id`: says whose file it is.
    pub application: i32,
    /// The n-th brings a file from schema n − 1 to schema n. One that has been released is never changed.
    pub migrations: &'static [&'static str],
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("it was written by a newer Tidegate (schema {found}, this one knows {known}): use that version")]
    TooNew { found: i64, known: i64 },
    #[error("it is a database of another program: choose another state folder")]
    NotOurs,
    #[error("{0}")]
    Failed(#[from] rusqlite::Error),
}

/// Opens the file, makes it if it is not there, and brings an older one up to date.
pub fn open(path: &Path, schema: &Schema) -> Result<Connection, OpenError> {
    let mut connection = connect(path)?;
    migrate(&mut connection, schema.application, schema.migrations)?;
    Ok(connection)
}

/// A connection that can change nothing, to a file that has been opened before.
pub fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Asks beside the async threads. Whoever panicked meanwhile has changed nothing that the next one looks at: SQLite takes back what was not committed.
pub async fn ask<T: Send + 'static>(
    connection: &Arc<Mutex<Connection>>,
    question: impl FnOnce(&Connection) -> T + Send + 'static,
) -> Result<T, JoinError> {
    let connection = Arc::clone(connection);
    tokio::task::spawn_blocking(move || question(&connection.lock().unwrap_or_else(PoisonError::into_inner))).await
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// In one transaction. Several processes may do so at once: one does it, the others find it done.
fn migrate(connection: &mut Connection, application: i32, migrations: &[&str]) -> Result<(), OpenError> {
    check_that_it_is_ours(connection, application)?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found = version(connection)?;
    if found > known {
        return Err(OpenError::TooNew { found, known });
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    if found == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = version(&transaction)?;
    for migration in migrations.iter().skip(usize::try_from(done).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", application)?;
    transaction.pragma_update(None, "user_version", known.max(done))?;
    Ok(transaction.commit()?)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", (), |row| row.get(0))
}

fn check_that_it_is_ours(connection: &Connection, application: i32) -> Result<(), OpenError> {
    // In one statement, so that a file that another process is making right now is seen before or after, not halfway.
    let sql = "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)";
    let (id, tables): (i32, i64) = connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    if id == application || (id == 0 && tables == 0) { Ok(()) } else { Err(OpenError::NotOurs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: i32 = 0x7469_6465;

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("some.db");
        (folder, path)
    }

    #[test]
    fn an_older_file_is_brought_up_to_date_and_keeps_what_it_holds() {
        let (_folder, path) = file();
        let mut connection = Connection::open(&path).expect("opens");
        migrate(&mut connection, OURS, &["CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7);"]).expect("the first schema");
        migrate(&mut connection, OURS, &["not run again", "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 8;"]).expect("the second schema");
        let found: (i64, i64) = connection.query_row("SELECT x, y FROM a", (), |row| Ok((row.get(0)?, row.get(1)?))).expect("one row");
        assert_eq!(found, (7, 8));
        assert_eq!(version(&connection), Ok(2));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let (_folder, path) = file();
        let mut connection = Connection::open(&path).expect("opens");
        migrate(&mut connection, OURS, &["CREATE TABLE a (x INTEGER);"]).expect("the first schema");
        let bad = ["", "CREATE TABLE b (x INTEGER);", "CREATE TABLE b (x INTEGER);"];
        assert!(matches!(migrate(&mut connection, OURS, &bad), Err(OpenError::Failed(_))));
        assert_eq!(version(&connection), Ok(1));
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).expect("a number");
        assert_eq!(tables, 1);
    }

    #[test]
    fn a_newer_file_is_not_touched() {
        let (_folder, path) = file();
        let mut connection = Connection::open(&path).expect("opens");
        migrate(&mut connection, OURS, &["CREATE TABLE a (x INTEGER);", "CREATE TABLE b (x INTEGER);"]).expect("a newer schema");
        let error = migrate(&mut connection, OURS, &["CREATE TABLE a (x INTEGER);"]).expect_err("too new");
        assert!(matches!(error, OpenError::TooNew { found: 2, known: 1 }), "{error}");
    }

    #[test]
    fn another_programs_file_is_not_touched() {
        let (_folder, path) = file();
        let schema = Schema { application: OURS, migrations: &["CREATE TABLE a (x INTEGER);"] };
        let theirs = Connection::open(&path).expect("opens");
        theirs.execute_batch("CREATE TABLE bookmarks (url TEXT)").expect("theirs");
        assert!(matches!(open(&path, &schema), Err(OpenError::NotOurs)));
        theirs.execute_batch("DROP TABLE bookmarks; PRAGMA application_id = 77").expect("theirs");
        assert!(matches!(open(&path, &schema), Err(OpenError::NotOurs)));
        std::fs::write(&path, b"this is a text file, and long enough to be seen as one").expect("written");
        let error = open(&path, &schema).expect_err("no database").to_string();
        assert!(error.contains("not a database"), "{error}");
    }

    #[test]
    fn commits_are_synced_to_a_write_ahead_log_and_readers_can_not_write() {
        let (_folder, path) = file();
        let writing = open(&path, &Schema { application: OURS, migrations: &["CREATE TABLE a (x INTEGER);"] }).expect("opens");
        let mode: String = writing.query_row("PRAGMA journal_mode", (), |row| row.get(0)).expect("a mode");
        let synchronous: i64 = writing.query_row("PRAGMA synchronous", (), |row| row.get(0)).expect("a level");
        assert_eq!((mode.as_str(), synchronous), ("wal", 2), "FULL");
        let reading = reader(&path).expect("opens");
        assert!(reading.execute("DELETE FROM a", ()).is_err());
    }
}
