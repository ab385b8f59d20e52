//! Rows → entries. What can not be understood is an error that says where it is, never left out.

use rusqlite::{Connection, Row, Statement};

use super::super::{JournalError, Place, Unfinished};
use super::{key, stream_of};
use crate::model::fact::{Entry, Stream};
use crate::model::time::Timestamp;

const WHOLE: &str = "SELECT number, at, fact FROM facts WHERE kind = ?1 AND stream = ?2 ORDER BY number";
/// What a plan is made of is not even made into values.
const OUTLINE: &str = "SELECT number, at, json_replace(fact, '$.request.plan', NULL, '$.run.plan', NULL) FROM facts
                       WHERE kind = ?1 AND stream = ?2 ORDER BY number";

pub(super) fn stream(connection: &Connection, stream: &Stream) -> Result<Vec<Entry>, JournalError> {
    whole(&mut connection.prepare(WHOLE).map_err(unreadable)?, stream).map(|(entries, _)| entries)
}

/// All that a stream says, and how many bytes that is.
fn whole(statement: &mut Statement<'_>, stream: &Stream) -> Result<(Vec<Entry>, usize), JournalError> {
    let mut rows = statement.query(key(stream)).map_err(unreadable)?;
    let (mut entries, mut bytes): (Vec<Entry>, usize) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(unreadable)? {
        let entry = entry(stream, row, 0)?;
        let expected = entries.len() as u64 + 1;
        if entry.number != expected {
            return Err(JournalError::Read(format!("{stream:?} is damaged: fact {expected} is missing")));
        }
        bytes += row.get_ref(2).map_err(unreadable)?.as_bytes().map_err(unreadable)?.len();
        entries.push(entry);
    }
    Ok((entries, bytes))
}

/// Bytes of facts that are read at once; the one that is beyond it is the last.
const PAGE_BYTES: usize = 4 << 20;

pub(super) fn after(connection: &Connection, stream: &Stream, after: u64, limit: usize) -> Result<Vec<Entry>, JournalError> {
    let (kind, id) = key(stream);
    let sql = "SELECT number, at, fact FROM facts WHERE kind = ?1 AND stream = ?2 AND number > ?3 ORDER BY number LIMIT ?4";
    let mut statement = connection.prepare(sql).map_err(unreadable)?;
    let mut rows = statement.query((kind, id, signed(after), limit_of(limit))).map_err(unreadable)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next().map_err(unreadable)?
    {
        let entry = entry(stream, row, 0)?;
        let expected = after.saturating_add(entries.len() as u64 + 1);
        if entry.number != expected {
            return Err(JournalError::Read(format!("{stream:?} is damaged: fact {expected} is missing")));
        }
        bytes += row.get_ref(2).map_err(unreadable)?.as_bytes().map_err(unreadable)?.len();
        entries.push(entry);
    }
    Ok(entries)
}

pub(super) fn last(connection: &Connection, stream: &Stream) -> Result<Option<Entry>, JournalError> {
    let (kind, id) = key(stream);
    let sql = "SELECT number, at, fact FROM facts WHERE kind = ?1 AND stream = ?2 ORDER BY number DESC LIMIT 1";
    let mut statement = connection.prepare(sql).map_err(unreadable)?;
    let mut rows = statement.query((kind, id)).map_err(unreadable)?;
    rows.next().map_err(unreadable)?.map(|row| entry(stream, row, 0)).transpose()
}

/// Newest first, from the start or from a place on.
pub(super) fn page(connection: &Connection, kind: &str, before: Option<&Place>, limit: usize) -> Result<Vec<(Entry, Entry)>, JournalError> {
    let sql = "SELECT s.stream, a.number, a.at, a.fact, z.number, z.at, z.fact FROM streams s
               JOIN facts a ON a.kind = s.kind AND a.stream = s.stream AND a.number = 1
               JOIN facts z ON z.kind = s.kind AND z.stream = s.stream AND z.number = s.last
               WHERE s.kind = ?1 AND (s.opened, s.stream) < (?2, ?3) ORDER BY s.opened DESC, s.stream DESC LIMIT ?4";
    let mut statement = connection.prepare(sql).map_err(unreadable)?;
    let (opened, id) = before.map_or((i64::MAX, ""), |place| (signed(place.opened.as_micros()), place.id.as_str()));
    let mut rows = statement.query((kind, opened, id, limit_of(limit))).map_err(unreadable)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(unreadable)? {
        let stream = stream_of(kind, row.get(0).map_err(unreadable)?)?;
        found.push((entry(&stream, row, 1)?, entry(&stream, row, 4)?));
    }
    Ok(found)
}

pub(super) fn beginning(connection: &Connection, kind: &str, with: &str, limit: usize) -> Result<Vec<Stream>, JournalError> {
    let sql = "SELECT stream FROM streams WHERE kind = ?1 AND substr(stream, 1, length(?2)) = ?2 ORDER BY opened DESC, stream DESC LIMIT ?3";
    let mut statement = connection.prepare(sql).map_err(unreadable)?;
    let mut rows = statement.query((kind, with, limit_of(limit))).map_err(unreadable)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(unreadable)? {
        found.push(stream_of(kind, row.get(0).map_err(unreadable)?)?);
    }
    Ok(found)
}

/// By the number of the row: facts are only ever added, and by one writer at a time, so a later one has a higher number.
pub(super) fn tail(connection: &Connection, mark: Option<u64>, limit: usize) -> Result<(u64, Vec<Entry>), JournalError> {
    let Some(mark) = mark else {
        let last: Option<i64> = connection.query_row("SELECT max(rowid) FROM facts", (), |row| row.get(0)).map_err(unreadable)?;
        return Ok((u64::try_from(last.unwrap_or(0)).unwrap_or(0), Vec::new()));
    };
    let sql = "SELECT rowid, kind, stream, number, at, fact FROM facts WHERE rowid > ?1 ORDER BY rowid LIMIT ?2";
    let mut statement = connection.prepare(sql).map_err(unreadable)?;
    let mut rows = statement.query((signed(mark), limit_of(limit))).map_err(unreadable)?;
    let (mut found, mut mark, mut bytes) = (Vec::new(), mark, 0);
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next().map_err(unreadable)?
    {
        let kind: String = row.get(1).map_err(unreadable)?;
        let stream = stream_of(&kind, row.get(2).map_err(unreadable)?)?;
        bytes += row.get_ref(5).map_err(unreadable)?.as_bytes().map_err(unreadable)?.len();
        found.push(entry(&stream, row, 3)?);
        mark = unsigned(row, 0)?;
    }
    Ok((mark, found))
}

pub(super) fn unfinished(connection: &Connection) -> Result<Vec<Unfinished>, JournalError> {
    let sql = "SELECT kind, stream, owner, opened, last FROM streams WHERE ended = 0 ORDER BY opened, stream";
    let mut statement = connection.prepare(sql).map_err(unreadable)?;
    let mut rows = statement.query(()).map_err(unreadable)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(unreadable)? {
        found.push(left(row)?);
    }
    Ok(found)
}

/// Two statements for all of them: thousands may wait, and each question of its own costs more than its answer. The index is named, as only it leaves out what has ended.
pub(super) fn outlines(
    connection: &Connection,
    kind: &str,
    behind: Option<&Place>,
    limit: usize,
) -> Result<Vec<(Unfinished, Vec<Entry>)>, JournalError> {
    let sql = "SELECT kind, stream, owner, opened, last FROM streams INDEXED BY streams_unfinished
               WHERE ended = 0 AND kind = ?1 AND (opened, stream) > (?2, ?3) ORDER BY opened, stream LIMIT ?4";
    let mut statement = connection.prepare(sql).map_err(unreadable)?;
    let mut facts = connection.prepare(OUTLINE).map_err(unreadable)?;
    let (opened, id) = behind.map_or((-1, ""), |place| (signed(place.opened.as_micros()), place.id.as_str()));
    let mut rows = statement.query((kind, opened, id, limit_of(limit))).map_err(unreadable)?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next().map_err(unreadable)?
    {
        let left = left(row)?;
        let (entries, many) = whole(&mut facts, &left.stream)?;
        bytes += many;
        found.push((left, entries));
    }
    Ok(found)
}

pub(super) fn existing(connection: &Connection, streams: Vec<Stream>) -> Result<Vec<Stream>, JournalError> {
    let mut statement = connection.prepare("SELECT 1 FROM streams WHERE kind = ?1 AND stream = ?2").map_err(unreadable)?;
    let mut found = Vec::new();
    for stream in streams {
        if statement.exists(key(&stream)).map_err(unreadable)? {
            found.push(stream);
        }
    }
    Ok(found)
}

/// A row of `kind, stream, owner, opened, last`.
fn left(row: &Row<'_>) -> Result<Unfinished, JournalError> {
    let kind: String = row.get(0).map_err(unreadable)?;
    let stream = stream_of(&kind, row.get(1).map_err(unreadable)?)?;
    let owner = row.get(2).map_err(unreadable)?;
    Ok(Unfinished { stream, owner, opened: Timestamp::from_micros(unsigned(row, 3)?), last: unsigned(row, 4)? })
}

/// The entry in the columns `number, at, fact` from `column` on.
fn entry(stream: &Stream, row: &Row<'_>, column: usize) -> Result<Entry, JournalError> {
    let (number, at) = (unsigned(row, column)?, Timestamp::from_micros(unsigned(row, column + 1)?));
    let body = row.get_ref(column + 2).map_err(unreadable)?.as_str().map_err(unreadable)?;
    let fact = serde_json::from_str(body).map_err(|error| JournalError::Read(format!("fact {number} of {stream:?} is not understood: {error}")))?;
    Ok(Entry { stream: stream.clone(), number, at, fact })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, JournalError> {
    let number: i64 = row.get(column).map_err(unreadable)?;
    u64::try_from(number).map_err(|_| JournalError::Read(format!("a number of it is below zero ({number})")))
}

fn unreadable(error: impl std::fmt::Display) -> JournalError {
    JournalError::Read(error.to_string())
}
