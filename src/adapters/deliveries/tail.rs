//! What one batch puts behind the log.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::log::{self, End, Log};
use super::record::Record;
use super::writer::{Said, Trouble};
use super::{Keep, Stored, index};
use crate::model::delivery::Delivery;

pub(super) struct Tail<'a> {
    connection: &'a Connection,
    folder: &'a Path,
    /// Where it begins, and where it ends by now.
    begin: End,
    end: End,
    new: Vec<(Record, &'a Delivery)>,
    /// Bytes of all bodies that are kept, with these.
    kept: u64,
}

/// What is known of a delivery that came again.
struct Known {
    event: String,
    bytes: u64,
    number: i64,
    kept: bool,
    waiting: bool,
    segment: u64,
    place: u64,
}

/// What a delivery is to one of the same id that is here.
enum Seen {
    Is(Stored),
    /// It waits, and nobody can read it.
    Damaged,
}

impl From<Seen> for Said {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Is(stored) => Self::Stored(stored),
            Seen::Damaged => Self::Damaged,
        }
    }
}

impl<'a> Tail<'a> {
    pub fn of(connection: &'a Connection, folder: &'a Path) -> rusqlite::Result<Self> {
        let mut begin = index::end(connection)?.room();
        if begin.place > 0 && !log::path(folder, begin.segment).exists() {
            // Somebody has taken it away: what stood in it is lost, what comes is not.
            begin = End { segment: begin.segment + 1, place: 0, ..begin };
        }
        Ok(Self { connection, folder, begin, end: begin, new: Vec::new(), kept: index::kept(connection)? })
    }

    pub fn store(&mut self, delivery: &'a Delivery, keep: Keep) -> Result<Said, Trouble> {
        // What is here already needs no room.
        if self.kept >= keep.bytes.saturating_mul(2) {
            return Ok(self.seen(delivery)?.map_or(Said::Full, Said::from));
        }
        let Some(record) = Record::of(delivery, self.end.chain) else { return Ok(Said::TooLong) };
        if !index::insert(self.connection, delivery, self.end)? {
            return Ok(self.seen(delivery)?.map_or(Said::Stored(Stored::Taken), Said::from));
        }
        self.end = self.end.behind((record.head.len() + delivery.body.len()) as u64, record.sum);
        self.kept += delivery.body.len() as u64;
        self.new.push((record, delivery));
        Ok(Said::Stored(Stored::New))
    }

    /// What was here before of that id. Of one whose body is gone only its kind and length can be compared.
    fn seen(&self, delivery: &Delivery) -> rusqlite::Result<Option<Seen>> {
        let sql = "SELECT event, bytes, number, kept, segment, place, waiting FROM deliveries WHERE id = ?1";
        let known = self.connection.prepare_cached(sql)?.query_row([delivery.id.as_str()], |row| {
            let (event, bytes, number, kept) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Known { event, bytes, number, kept, segment: row.get(4)?, place: row.get(5)?, waiting: row.get(6)? })
        });
        let Some(known) = known.optional()? else { return Ok(None) };
        if known.event != delivery.event || known.bytes != delivery.body.len() as u64 {
            return Ok(Some(Seen::Is(Stored::Taken)));
        }
        Ok(Some(match self.body(&known, delivery)? {
            Some(body) if body != delivery.body => Seen::Is(Stored::Taken),
            // To say that it is here would be to throw the good one away.
            None if known.kept && known.waiting => Seen::Damaged,
            _ => Seen::Is(Stored::AlreadyThere),
        }))
    }

    fn body(&self, known: &Known, delivery: &Delivery) -> rusqlite::Result<Option<Vec<u8>>> {
        if !known.kept {
            return Ok(None);
        }
        if known.segment == 0 {
            let mut statement = self.connection.prepare_cached("SELECT body FROM bodies WHERE number = ?1")?;
            return statement.query_row([known.number], |row| row.get(0)).optional();
        }
        if known.segment == self.begin.segment && known.place >= self.begin.place {
            return Ok(self.new.iter().find(|(_, one)| one.id == delivery.id).map(|(_, one)| one.body.clone()));
        }
        // One that can not be read shall not keep others from being written: whoever loads it is told.
        Ok(log::read(self.folder, known.segment, known.place).ok().flatten().map(|found| found.delivery.body))
    }

    /// On disk when it returns, and then in the index.
    pub fn write(self, log: &mut Log) -> Result<(), Trouble> {
        if self.new.is_empty() {
            return Ok(());
        }
        let slices: Vec<(Record, &[u8])> = self.new.into_iter().map(|(record, delivery)| (record, delivery.body.as_slice())).collect();
        log.append(self.begin, &slices)?;
        let bytes = slices.iter().map(|(_, body)| body.len() as u64).sum();
        Ok(index::grow(self.connection, self.end, slices.len() as u64, bytes)?)
    }
}
