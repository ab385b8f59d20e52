//! The tables.

use crate::adapters::database::Schema;

/// "tida".
pub(super) const SCHEMA: Schema = Schema { application: 0x7469_6461, migrations: &[TABLES] };

const TABLES: &str = "
    CREATE TABLE tokens (
        name    TEXT    NOT NULL PRIMARY KEY,
        digest  BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
        scopes  TEXT    NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER,
        used    INTEGER
    ) STRICT;
    CREATE TABLE sessions (
        digest  BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
        login   TEXT    NOT NULL,
        id      INTEGER NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX sessions_oldest ON sessions (created);";
