//! The tables, and how an older journal becomes a newer one.
//!
//! A migration is never changed once it has been released: the next is a new line in [`MIGRATIONS`], and `fixtures/journals/` gets a sample of what was
//! before it.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::super::JournalError;
use super::open_error;

/// Says that a SQLite file is one of ours ("tide").
const APPLICATION_ID: i64 = 0x7469_6465;

/// The n-th brings a journal from schema n − 1 to schema n.
pub(super) const MIGRATIONS: &[&str] = &[
    // `streams` says nothing that `facts` does not, but for the owner: it makes the lists and the unfinished quick to find.
    "CREATE TABLE facts (
        kind   TEXT    NOT NULL CHECK (kind IN ('run', 'rollout')),
        stream TEXT    NOT NULL,
        number INTEGER NOT NULL CHECK (number >= 1),
        at     INTEGER NOT NULL,
        fact   TEXT    NOT NULL,
        UNIQUE (kind, stream, number)
    ) STRICT;
    CREATE TABLE streams (
        kind   TEXT    NOT NULL,
        stream TEXT    NOT NULL,
        opened INTEGER NOT NULL,
        last   INTEGER NOT NULL,
        ended  INTEGER NOT NULL CHECK (ended IN (0, 1)),
        owner  TEXT    NOT NULL,
        PRIMARY KEY (kind, stream)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX streams_newest ON streams (kind, opened DESC, stream DESC);
    CREATE INDEX streams_unfinished ON streams (opened, stream) WHERE ended = 0;",
    // Requests are kept as well, and what other kinds there may be is for those who write to say: a check of a table can not be changed in place.
    "ALTER TABLE facts RENAME TO facts_1;
    CREATE TABLE facts (
        kind   TEXT    NOT NULL,
        stream TEXT    NOT NULL,
        number INTEGER NOT NULL CHECK (number >= 1),
        at     INTEGER NOT NULL,
        fact   TEXT    NOT NULL,
        UNIQUE (kind, stream, number)
    ) STRICT;
    INSERT INTO facts SELECT kind, stream, number, at, fact FROM facts_1 ORDER BY rowid;
    DROP TABLE facts_1;",
];

/// Brings the file to the newest schema in one transaction. Several processes may do so at once: one does it, the others find it done.
pub(super) fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), JournalError> {
    let failed = |error: rusqlite::Error| open_error(path, &error);
    check_that_it_is_ours(connection, path)?;
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    if version(connection).map_err(failed)? > known {
        return Err(JournalError::TooNew { path: path.display().to_string(), found: version(connection).map_err(failed)?, known });
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    if version(connection).map_err(failed)? == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let done = usize::try_from(version(&transaction).map_err(failed)?).unwrap_or(0);
    for migration in migrations.iter().skip(done) {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    transaction.pragma_update(None, "user_version", known.max(i64::try_from(done).unwrap_or(known))).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", (), |row| row.get(0))
}

/// Somebody else's database, or no database at all, is left as it is.
fn check_that_it_is_ours(connection: &Connection, path: &Path) -> Result<(), JournalError> {
    // In one statement, so that a journal that another process is making right now is seen before or after, not halfway.
    let sql = "SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)";
    let (id, tables): (i64, i64) = connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).map_err(|error| open_error(path, &error))?;
    if id == APPLICATION_ID || (id == 0 && tables == 0) {
        return Ok(());
    }
    Err(open_error(path, &"it is a database of another program: choose another state folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("journal.db");
        (folder, path)
    }

    #[test]
    fn an_older_journal_is_brought_up_to_date_and_keeps_what_it_holds() {
        let (_folder, path) = file();
        let mut connection = Connection::open(&path).expect("opens");
        migrate(&mut connection, &path, &["CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7);"]).expect("the first schema");
        migrate(&mut connection, &path, &["not run again", "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 8;"]).expect("the second schema");
        let found: (i64, i64) = connection.query_row("SELECT x, y FROM a", (), |row| Ok((row.get(0)?, row.get(1)?))).expect("one row");
        assert_eq!(found, (7, 8));
        assert_eq!(version(&connection), Ok(2));
    }

    #[test]
    fn a_migration_that_fails_leaves_the_journal_as_it_was() {
        let (_folder, path) = file();
        let mut connection = Connection::open(&path).expect("opens");
        migrate(&mut connection, &path, &["CREATE TABLE a (x INTEGER);"]).expect("the first schema");
        let bad = ["", "CREATE TABLE b (x INTEGER);", "CREATE TABLE b (x INTEGER);"];
        assert!(matches!(migrate(&mut connection, &path, &bad), Err(JournalError::Open { .. })));
        assert_eq!(version(&connection), Ok(1));
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).expect("a number");
        assert_eq!(tables, 1);
    }

    #[test]
    fn a_newer_journal_is_not_touched() {
        let (_folder, path) = file();
        let mut connection = Connection::open(&path).expect("opens");
        migrate(&mut connection, &path, &["CREATE TABLE a (x INTEGER);", "CREATE TABLE b (x INTEGER);"]).expect("a newer schema");
        let error = migrate(&mut connection, &path, &["CREATE TABLE a (x INTEGER);"]).expect_err("too new");
        assert_eq!(error, JournalError::TooNew { path: path.display().to_string(), found: 2, known: 1 });
    }

    #[test]
    fn another_programs_database_is_not_touched() {
        let (_folder, path) = file();
        let mut connection = Connection::open(&path).expect("opens");
        connection.execute_batch("CREATE TABLE bookmarks (url TEXT)").expect("theirs");
        let error = migrate(&mut connection, &path, MIGRATIONS).expect_err("not ours").to_string();
        assert!(error.contains("another program"), "{error}");
        std::fs::write(&path, b"this is a text file, and long enough to be seen as one").expect("written");
        let mut connection = Connection::open(&path).expect("opened lazily");
        let error = migrate(&mut connection, &path, MIGRATIONS).expect_err("no database").to_string();
        assert!(error.contains("not a database"), "{error}");
    }
}
