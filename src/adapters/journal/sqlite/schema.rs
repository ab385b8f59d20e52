//! The tables, and how an older journal becomes a newer one.
//!
//! A migration is never changed once it has been released: the next is a new line in [`MIGRATIONS`], and `fixtures/journals/` gets a sample of what was
//! before it.

use crate::adapters::database::Schema;

/// "tide".
pub(super) const SCHEMA: Schema = Schema { application: 0x7469_6465, migrations: MIGRATIONS };

const MIGRATIONS: &[&str] = &[
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
