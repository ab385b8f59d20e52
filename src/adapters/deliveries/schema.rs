//! The tables. A migration is never changed once it has been released.

use std::path::Path;

use rusqlite::Connection;

use super::DeliveriesError;
use crate::adapters::database::{self, OpenError, Schema};

/// "tidd".
const SCHEMA: Schema = Schema { application: 0x7469_6464, migrations: &MIGRATIONS };

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

/// Opens the file, makes it if it is not there, and brings an older one up to date.
pub(super) fn open(path: &Path) -> Result<Connection, DeliveriesError> {
    let shown = || path.display().to_string();
    database::open(path, &SCHEMA).map_err(|error| match error {
        OpenError::TooNew { found, known } => DeliveriesError::TooNew { path: shown(), found, known },
        other => DeliveriesError::Open { path: shown(), why: other.to_string() },
    })
}
