//! What is not kept any longer: bodies first, then the files that hold none.

use std::path::Path;

use rusqlite::{Connection, params};

use super::reader::signed;
use super::{Keep, index, log};
use crate::model::time::Timestamp;

/// Bodies dropped with one commit at most, so that nobody waits long for it.
const SWEEP: usize = 64;

/// One that is handled.
struct Old {
    number: i64,
    bytes: u64,
    segment: i64,
}

/// Drops bodies that are too old or too many, the oldest first. Whether there was any.
pub(super) fn bodies(connection: &Connection, keep: Keep, now: Timestamp) -> rusqlite::Result<bool> {
    let over = index::kept(connection)?.saturating_sub(keep.bytes);
    let old = signed(now.as_micros().saturating_sub(u64::try_from(keep.time.as_micros()).unwrap_or(u64::MAX)));
    let dropped = oldest(connection, over, old)?;
    for one in &dropped {
        if one.segment == 0 {
            connection.prepare_cached("DELETE FROM bodies WHERE number = ?1")?.execute([one.number])?;
        }
        connection.prepare_cached("UPDATE deliveries SET kept = 0 WHERE number = ?1")?.execute([one.number])?;
        let mut statement = connection.prepare_cached("UPDATE segments SET kept = kept - 1, bytes = bytes - ?2 WHERE number = ?1")?;
        statement.execute(params![one.segment, signed(one.bytes)])?;
    }
    Ok(!dropped.is_empty())
}

/// Until those before are enough, and what follows is young enough.
fn oldest(connection: &Connection, over: u64, old: i64) -> rusqlite::Result<Vec<Old>> {
    let mut statement =
        connection.prepare_cached("SELECT number, received, bytes, segment FROM deliveries WHERE kept = 1 AND waiting = 0 ORDER BY number")?;
    let mut rows = statement.query(())?;
    let (mut found, mut freed) = (Vec::new(), 0);
    while found.len() < SWEEP
        && let Some(row) = rows.next()?
    {
        if row.get::<_, i64>(1)? >= old && freed >= over {
            break;
        }
        let one = Old { number: row.get(0)?, bytes: row.get(2)?, segment: row.get(3)? };
        freed += one.bytes;
        found.push(one);
    }
    Ok(found)
}

/// Takes away the files before the last one that nothing is kept of. That nothing is must be on disk before a file goes, so commits must be synced here: else a row
/// could outlive its body.
pub(super) fn files(connection: &Connection, folder: &Path) -> rusqlite::Result<()> {
    let empty = "kept <= 0 AND number > 0 AND number < (SELECT max(number) FROM segments)";
    let any: bool = connection.prepare_cached(&format!("SELECT EXISTS (SELECT 1 FROM segments WHERE {empty})"))?.query_row((), |row| row.get(0))?;
    if !any {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(&format!("DELETE FROM segments WHERE {empty} RETURNING number"))?;
    let gone = statement.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<u64>>>();
    for segment in gone? {
        // One that stays is found at the next start.
        let _ = std::fs::remove_file(log::path(folder, segment));
    }
    Ok(())
}
