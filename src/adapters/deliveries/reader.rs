//! Rows → what is known. What can not be understood is an error, never left out.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{DeliveriesError, Filter, Known, Page, State, log};
use crate::model::delivery::{Delivery, Handled};
use crate::model::id::DeliveryId;
use crate::model::time::Timestamp;

const COLUMNS: &str = "number, id, event, received, bytes, kept, waiting, attempts, missed, handled_at, handled";

pub(super) fn waiting(connection: &Connection, limit: usize) -> Result<Vec<Known>, DeliveriesError> {
    let sql = format!("SELECT {COLUMNS} FROM deliveries WHERE waiting = 1 ORDER BY number LIMIT ?1");
    all(connection, &sql, params![signed(limit as u64)])
}

pub(super) fn list(connection: &Connection, filter: &Filter, page: Page) -> Result<Vec<Known>, DeliveriesError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deliveries
         WHERE number < ?1 AND (?2 IS NULL OR waiting = ?2) AND (?3 IS NULL OR event = ?3)
         ORDER BY number DESC LIMIT ?4"
    );
    let before = page.before.map_or(i64::MAX, signed);
    all(connection, &sql, params![before, filter.waiting, filter.event, signed(page.limit as u64)])
}

pub(super) fn find(connection: &Connection, id: &str) -> Result<Vec<Known>, DeliveriesError> {
    let exact = all(connection, &format!("SELECT {COLUMNS} FROM deliveries WHERE id = ?1"), params![id])?;
    if !exact.is_empty() || id.is_empty() {
        return Ok(exact);
    }
    // Behind every id that begins so, as no id has a character above this one.
    let end = format!("{id}\u{10ffff}");
    all(connection, &format!("SELECT {COLUMNS} FROM deliveries WHERE id >= ?1 AND id < ?2 ORDER BY number LIMIT 2"), params![id, end])
}

pub(super) fn load(connection: &Connection, folder: &Path, id: &DeliveryId) -> Result<Option<Delivery>, DeliveriesError> {
    match stored(connection, id)? {
        None => Ok(None),
        Some(Place { segment: 0, number, .. }) => in_table(connection, number),
        Some(place) => match in_log(folder, &place, id) {
            // It may have been dropped since.
            Err(_) if stored(connection, id)?.is_none() => Ok(None),
            found => found.map(Some),
        },
    }
}

/// Where a body is.
struct Place {
    number: i64,
    segment: u64,
    place: u64,
}

/// Of a delivery whose body is kept.
fn stored(connection: &Connection, id: &DeliveryId) -> Result<Option<Place>, DeliveriesError> {
    let sql = "SELECT number, segment, place FROM deliveries WHERE id = ?1 AND kept = 1";
    let place = |row: &Row<'_>| Ok(Place { number: row.get(0)?, segment: row.get(1)?, place: row.get(2)? });
    connection.query_row(sql, [id.as_str()], place).optional().map_err(unreadable)
}

fn in_table(connection: &Connection, number: i64) -> Result<Option<Delivery>, DeliveriesError> {
    let sql = "SELECT d.id, d.event, d.received, b.body FROM deliveries d JOIN bodies b ON b.number = d.number WHERE d.number = ?1";
    let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, i64>(2)?, row.get(3)?));
    let found = connection.query_row(sql, [number], row).optional().map_err(unreadable)?;
    found.map(|(id, event, received, body)| Ok(Delivery { id: DeliveryId::new(id), event, received: moment(received)?, body })).transpose()
}

fn in_log(folder: &Path, at: &Place, id: &DeliveryId) -> Result<Delivery, DeliveriesError> {
    let path = log::path(folder, at.segment);
    match log::read(folder, at.segment, at.place) {
        Ok(Some(found)) if found.delivery.id == *id => Ok(found.delivery),
        Ok(_) => Err(DeliveriesError::Damaged(format!("the body of {id} is damaged: {} at byte {}", path.display(), at.place))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(DeliveriesError::Damaged(format!("the body of {id} is not there: {} is gone", path.display())))
        }
        Err(error) => Err(DeliveriesError::Read(format!("the body of {id} is not there: {}: {error}", path.display()))),
    }
}

fn all(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Known>, DeliveriesError> {
    let mut statement = connection.prepare_cached(sql).map_err(unreadable)?;
    let mut rows = statement.query(params).map_err(unreadable)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(unreadable)? {
        found.push(known(row)?);
    }
    Ok(found)
}

fn known(row: &Row<'_>) -> Result<Known, DeliveriesError> {
    let id: String = row.get("id").map_err(unreadable)?;
    let waiting: bool = row.get("waiting").map_err(unreadable)?;
    Ok(Known {
        number: unsigned(row.get("number").map_err(unreadable)?)?,
        event: row.get("event").map_err(unreadable)?,
        received: moment(row.get("received").map_err(unreadable)?)?,
        bytes: unsigned(row.get("bytes").map_err(unreadable)?)?,
        kept: row.get("kept").map_err(unreadable)?,
        state: if waiting { State::Waiting } else { handled(row, &id)? },
        attempts: row.get("attempts").map_err(unreadable)?,
        missed: row.get("missed").map_err(unreadable)?,
        id: DeliveryId::new(id),
    })
}

fn handled(row: &Row<'_>, id: &str) -> Result<State, DeliveriesError> {
    let how: String = row.get("handled").map_err(unreadable)?;
    let how: Handled =
        serde_json::from_str(&how).map_err(|error| DeliveriesError::Read(format!("what became of {id} is not understood: {error}")))?;
    Ok(State::Handled { at: moment(row.get("handled_at").map_err(unreadable)?)?, how })
}

fn moment(micros: i64) -> Result<Timestamp, DeliveriesError> {
    unsigned(micros).map(Timestamp::from_micros)
}

fn unsigned(number: i64) -> Result<u64, DeliveriesError> {
    u64::try_from(number).map_err(|_| DeliveriesError::Read(format!("a number of it is below zero ({number})")))
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unreadable(error: impl std::fmt::Display) -> DeliveriesError {
    DeliveriesError::Read(error.to_string())
}
