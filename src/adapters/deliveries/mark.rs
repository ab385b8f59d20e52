//! What became of a delivery, written into its row.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::reader::signed;
use super::{Replayed, index};
use crate::model::delivery::Handled;
use crate::model::id::DeliveryId;
use crate::model::time::Timestamp;

pub(super) fn handled(connection: &Connection, id: &DeliveryId, at: Timestamp, how: &Handled) -> rusqlite::Result<()> {
    let how = serde_json::to_string(how).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let sql = "UPDATE deliveries SET waiting = 0, attempts = attempts + 1, missed = NULL, handled_at = ?2, handled = ?3 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![id.as_str(), signed(at.as_micros()), how])?;
    Ok(())
}

/// It has failed for that; unless its body has come again since it was read, and it waits for whoever reads that.
pub(super) fn damaged(connection: &Connection, folder: &Path, id: &DeliveryId, at: Timestamp, why: &str) -> rusqlite::Result<()> {
    let mended = index::stands(connection, id)?.is_some_and(|stands| !index::is_damaged(folder, id, &stands));
    if mended { Ok(()) } else { handled(connection, id, at, &Handled::Failed { why: why.to_owned() }) }
}

/// It goes on waiting.
pub(super) fn missed(connection: &Connection, id: &DeliveryId, why: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE deliveries SET attempts = attempts + 1, missed = ?2 WHERE id = ?1")?;
    statement.execute(params![id.as_str(), why])?;
    Ok(())
}

pub(super) fn replay(connection: &Connection, id: &DeliveryId) -> rusqlite::Result<Replayed> {
    let sql = "SELECT waiting, kept FROM deliveries WHERE id = ?1";
    let found = connection.query_row(sql, [id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(match found {
        None => Replayed::Unknown,
        Some((true, _)) => Replayed::AlreadyWaiting,
        Some((false, false)) => Replayed::Dropped,
        Some((false, true)) => {
            connection.execute("UPDATE deliveries SET waiting = 1 WHERE id = ?1", [id.as_str()])?;
            Replayed::Waiting
        }
    })
}
