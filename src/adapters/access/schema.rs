//! The tables.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS tokens (
        name    TEXT    NOT NULL PRIMARY KEY,
        digest  BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
        scopes  TEXT    NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER,
        used    INTEGER
    ) STRICT;
    CREATE TABLE IF NOT EXISTS sessions (
        digest  BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
        login   TEXT    NOT NULL,
        id      INTEGER NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS sessions_oldest ON sessions (created);
    PRAGMA user_version = 1;";

/// How long one process waits for another's word.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    let version: Option<i64> = connection.query_row("SELECT user_version FROM pragma_user_version", (), |row| row.get(0)).optional()?;
    if version.is_some_and(|version| version > 1) {
        return Err(rusqlite::Error::InvalidParameterName("it was written by a newer Tidegate: use that version".to_owned()));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}
