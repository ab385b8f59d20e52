//! The tables. A migration is never changed once it has been released.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::DeliveriesError;

/// Says that a SQLite file is one of ours ("tidd").
const APPLICATION_ID: i64 = 0x7469_6464;
/// How long one process waits for another's commit before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first version kept bodies in a table of their own. Those that are there stay there until they are dropped, as file 0; new ones stand in logs (`log`).
pub(super) const MIGRATIONS: [&str; 2] = [
    "CREATE TABLE deliveries (
        number     INTEGER PRIMARY KEY,
        id         TEXT    NOT NULL UNIQUE,
        event      TEXT    NOT NULL,
        received   INTEGER NOT NULL,
        bytes      INTEGER NOT NULL,
        kept       INTEGER NOT NULL CHECK (kept IN (0, 1)),
        waiting    INTEGER NOT NULL CHECK (waiting IN (0, 1)),
        attempts   INTEGER NOT NULL DEFAULT 0,
        missed     TEXT,
        handled_at INTEGER,
        handled    TEXT
    ) STRICT;
    CREATE TABLE bodies (
        number INTEGER PRIMARY KEY,
        body   BLOB    NOT NULL
    ) STRICT;
    CREATE INDEX deliveries_waiting ON deliveries (number) WHERE waiting = 1;
    CREATE INDEX deliveries_done ON deliveries (number) WHERE kept = 1 AND waiting = 0;",
    "ALTER TABLE deliveries ADD COLUMN segment INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE deliveries ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE segments (
        number INTEGER PRIMARY KEY,
        kept   INTEGER NOT NULL,
        bytes  INTEGER NOT NULL,
        place  INTEGER NOT NULL,
        chain  INTEGER NOT NULL
    ) STRICT;
    INSERT INTO segments SELECT 0, count(*), coalesce(sum(bytes), 0), 0, 0 FROM deliveries WHERE kept = 1;",
];

/// Opens the file, makes it if it is not there, and brings an older one up to date. Every commit of the connection is synced.
pub(super) fn open(path: &Path) -> Result<Connection, DeliveriesError> {
    let failed = |error: rusqlite::Error| DeliveriesError::Open { path: path.display().to_string(), why: error.to_string() };
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    let sql = "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema), (SELECT user_version FROM pragma_user_version)";
    let (id, tables, found): (i64, i64, i64) = connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(failed)?;
    if id != APPLICATION_ID && (id != 0 || tables != 0) {
        let why = "it is a database of another program: choose another state folder".to_owned();
        return Err(DeliveriesError::Open { path: path.display().to_string(), why });
    }
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(DeliveriesError::TooNew { path: path.display().to_string(), found, known });
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    if found < known {
        migrate(&mut connection).map_err(failed)?;
    }
    Ok(connection)
}

/// In one transaction. Several processes may do so at once: one does it, the others find it done.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done: i64 = transaction.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(done).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", done.max(MIGRATIONS.len() as i64))?;
    transaction.commit()
}
