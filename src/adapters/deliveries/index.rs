//! What the database knows of the logs: how much of each is kept, and where the last one ends.
//!
//! A commit that only says where new bodies stand is not synced by itself: the log is, before. After a loss of power the index may therefore end before the log
//! does, and the next who opens the store reads on from there. What a *mark* says is in no log: its commit is synced.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::log::{self, End};
use super::reader::signed;
use super::writer::Trouble;
use crate::model::delivery::{Delivery, Handled};
use crate::model::id::DeliveryId;
use crate::model::time::Timestamp;

/// Pages of 4 KiB after which the database's log is written back into its file: an id is random, so that each row touches a page of its own.
const WRITE_BACK: i64 = 4000;
/// KiB of pages that are held: those of the ids are looked into for each delivery.
const HELD: i64 = 16 << 10;

/// For the connection that writes.
pub(super) fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "wal_autocheckpoint", WRITE_BACK)?;
    connection.pragma_update(None, "cache_size", -HELD)
}

pub(super) fn end(connection: &Connection) -> rusqlite::Result<End> {
    let mut statement = connection.prepare_cached("SELECT number, place, chain FROM segments ORDER BY number DESC LIMIT 1")?;
    let found = statement.query_row((), |row| Ok(End { segment: row.get(0)?, place: row.get(1)?, chain: row.get(2)? })).optional()?;
    Ok(found.unwrap_or(End { segment: 0, place: 0, chain: 0 }))
}

/// Bytes of all bodies that are kept.
pub(super) fn kept(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT coalesce(sum(max(bytes, 0)), 0) FROM segments")?.query_row((), |row| row.get(0))
}

/// A delivery that waits, whose body stands at an end. Whether there was none of its id before.
pub(super) fn insert(connection: &Connection, delivery: &Delivery, at: End) -> rusqlite::Result<bool> {
    let Delivery { id, event, received, body } = delivery;
    let mut statement = connection.prepare_cached(
        "INSERT INTO deliveries (id, event, received, bytes, kept, waiting, segment, place) VALUES (?1, ?2, ?3, ?4, 1, 1, ?5, ?6)
         ON CONFLICT (id) DO NOTHING",
    )?;
    let received = signed(received.as_micros());
    Ok(statement.execute(params![id.as_str(), event, received, signed(body.len() as u64), signed(at.segment), signed(at.place)])? == 1)
}

/// Where a delivery's body stands, and what is counted for it there.
pub(super) struct Stands {
    pub number: i64,
    pub segment: u64,
    pub place: u64,
    pub received: Timestamp,
    bytes: u64,
    /// It can not be done. With a body that can be read again it may.
    failed: bool,
}

/// Of one whose body is kept.
pub(super) fn stands(connection: &Connection, id: &DeliveryId) -> rusqlite::Result<Option<Stands>> {
    let mut statement =
        connection.prepare_cached("SELECT number, segment, place, bytes, handled, received FROM deliveries WHERE id = ?1 AND kept = 1")?;
    let row = |row: &Row<'_>| {
        let handled: Option<String> = row.get(4)?;
        let failed = handled.is_some_and(|how| matches!(serde_json::from_str(&how), Ok(Handled::Failed { .. })));
        let received = Timestamp::from_micros(row.get(5)?);
        Ok(Stands { number: row.get(0)?, segment: row.get(1)?, place: row.get(2)?, received, bytes: row.get(3)?, failed })
    };
    statement.query_row([id.as_str()], row).optional()
}

/// Its body was damaged, and came again: it stands at this end now. One that failed waits again, for that was why.
pub(super) fn mend(connection: &Connection, stands: &Stands, at: End) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE deliveries SET segment = ?2, place = ?3, waiting = max(waiting, ?4) WHERE number = ?1")?;
    statement.execute(params![stands.number, signed(at.segment), signed(at.place), stands.failed])?;
    let mut statement = connection.prepare_cached("UPDATE segments SET kept = kept - 1, bytes = bytes - ?2 WHERE number = ?1")?;
    statement.execute(params![signed(stands.segment), signed(stands.bytes)])?;
    Ok(())
}

/// So many more are kept, and so many bytes, in the file of the end.
pub(super) fn grow(connection: &Connection, end: End, kept: u64, bytes: u64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO segments (number, kept, bytes, place, chain) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (number) DO UPDATE SET kept = kept + ?2, bytes = bytes + ?3, place = ?4, chain = ?5",
    )?;
    statement.execute(params![signed(end.segment), signed(kept), signed(bytes), signed(end.place), end.chain])?;
    Ok(())
}

/// Reads on where the index ends before the log does, and takes away files that nothing is kept of.
pub(super) fn recover(connection: &mut Connection, folder: &Path) -> Result<(), Trouble> {
    // Without the lock first: who only wants to look does not wait for a server that writes.
    if log::next(folder, end(connection)?)?.is_some() {
        let found = read_on(connection, folder)?;
        if found > 0 {
            tracing::warn!(found, "deliveries stood in the log that the index did not know: the machine or a server died");
        }
    }
    let (end, known) = (end(connection)?, known(connection)?);
    for segment in log::segments(folder)?.into_iter().filter(|segment| *segment < end.segment && !known.contains(segment)) {
        let _ = std::fs::remove_file(log::path(folder, segment));
    }
    Ok(())
}

fn read_on(connection: &mut Connection, folder: &Path) -> Result<u64, Trouble> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (mut at, mut many) = (end(&transaction)?, 0);
    while let Some((here, found)) = log::next(folder, at)? {
        let new = insert(&transaction, &found.delivery, here)? || mended(&transaction, folder, &found.delivery, here)?;
        at = here.behind(found.length, found.sum);
        grow(&transaction, at, u64::from(new), if new { found.delivery.body.len() as u64 } else { 0 })?;
        many += u64::from(new);
    }
    transaction.commit()?;
    Ok(many)
}

/// Whether a delivery of the log is one that came again as its body was damaged, which the index has forgotten.
fn mended(connection: &Connection, folder: &Path, delivery: &Delivery, here: End) -> rusqlite::Result<bool> {
    let Some(stands) = stands(connection, &delivery.id)? else { return Ok(false) };
    let damaged = is_damaged(folder, &delivery.id, &stands);
    if damaged {
        mend(connection, &stands, here)?;
    }
    Ok(damaged)
}

/// Whether nobody can read a body that stands in a log.
pub(super) fn is_damaged(folder: &Path, id: &DeliveryId, stands: &Stands) -> bool {
    let whole = || log::read(folder, stands.segment, stands.place).ok().flatten().is_some_and(|found| found.delivery.id == *id);
    stands.segment > 0 && !whole()
}

fn known(connection: &Connection) -> rusqlite::Result<Vec<u64>> {
    connection.prepare("SELECT number FROM segments")?.query_map((), |row| row.get(0))?.collect()
}
