//! What one batch puts behind the log.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use super::index::Stands;
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

/// What a delivery is to one of the same id that is here.
enum Seen {
    Is(Stored),
    /// The same one, whose body nobody can read any more.
    Damaged(Stands),
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
            return Ok(if let Some(Seen::Is(stored)) = self.seen(delivery)? { Said::Stored(stored) } else { Said::Full });
        }
        if u32::try_from(delivery.body.len()).is_err() {
            return Ok(Said::TooLong);
        }
        let (stored, received) = if index::insert(self.connection, delivery, self.end)? {
            (Stored::New, delivery.received)
        } else {
            match self.seen(delivery)? {
                Some(Seen::Damaged(stands)) => {
                    index::mend(self.connection, &stands, self.end)?;
                    (Stored::AlreadyThere, stands.received)
                }
                Some(Seen::Is(stored)) => return Ok(Said::Stored(stored)),
                None => return Ok(Said::Stored(Stored::Taken)),
            }
        };
        let Some(record) = Record::of(delivery, received, self.end.chain) else { return Ok(Said::TooLong) };
        self.end = self.end.behind((record.head.len() + delivery.body.len()) as u64, record.sum);
        self.kept += delivery.body.len() as u64;
        self.new.push((record, delivery));
        Ok(Said::Stored(stored))
    }

    /// What was here before of that id. Of one whose body is gone only its kind and length can be compared.
    fn seen(&self, delivery: &Delivery) -> rusqlite::Result<Option<Seen>> {
        let sql = "SELECT event, bytes FROM deliveries WHERE id = ?1";
        let known = self.connection.prepare_cached(sql)?.query_row([delivery.id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
        let Some::<(String, u64)>((event, bytes)) = known.optional()? else { return Ok(None) };
        if event != delivery.event || bytes != delivery.body.len() as u64 {
            return Ok(Some(Seen::Is(Stored::Taken)));
        }
        let Some(stands) = index::stands(self.connection, &delivery.id)? else { return Ok(Some(Seen::Is(Stored::AlreadyThere))) };
        Ok(Some(match self.body(&stands, delivery)? {
            None => Seen::Damaged(stands),
            Some(body) => Seen::Is(if body == delivery.body { Stored::AlreadyThere } else { Stored::Taken }),
        }))
    }

    fn body(&self, stands: &Stands, delivery: &Delivery) -> rusqlite::Result<Option<Vec<u8>>> {
        let Stands { number, segment, place, .. } = *stands;
        if segment == 0 {
            let mut statement = self.connection.prepare_cached("SELECT body FROM bodies WHERE number = ?1")?;
            return statement.query_row([number], |row| row.get(0)).optional();
        }
        if segment == self.begin.segment && place >= self.begin.place {
            return Ok(self.new.iter().find(|(_, one)| one.id == delivery.id).map(|(_, one)| one.body.clone()));
        }
        // One that can not be read shall not keep others from being written: whoever loads it is told.
        Ok(log::read(self.folder, segment, place).ok().flatten().filter(|found| found.delivery.id == delivery.id).map(|found| found.delivery.body))
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
