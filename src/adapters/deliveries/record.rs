//! One delivery as bytes, and back: what a log is made of.
//!
//! ```text
//!  sum  chain  received  lengths of id, event, body   id  event  body
//!  4    4      8         4   4      4                 …   …      …       (bytes; numbers begin with their smallest)
//! ```
//!
//! The sum is over everything behind it, so a record that was not written to its end, or of which a byte has changed, is none. The chain is the sum of the record
//! before it: what an earlier, longer end of a log has left behind a newer one is no part of it, though each record of it is whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::model::delivery::Delivery;
use crate::model::id::DeliveryId;
use crate::model::time::Timestamp;

const HEAD: usize = 28;

/// Everything of a record but the body, which is written from where it is.
#[derive(Debug)]
pub(super) struct Record {
    pub head: Vec<u8>,
    pub sum: u32,
}

/// A whole record that was read.
#[derive(Debug)]
pub(super) struct Found {
    pub delivery: Delivery,
    pub chain: u32,
    pub sum: u32,
    pub length: u64,
}

impl Record {
    /// `None` of what is longer than a record can say. It was received when it came first, as runs are called after that.
    pub fn of(delivery: &Delivery, received: Timestamp, chain: u32) -> Option<Self> {
        let Delivery { id, event, body, .. } = delivery;
        let mut head = vec![0; 4];
        head.extend(chain.to_le_bytes());
        head.extend(received.as_micros().to_le_bytes());
        for length in [id.as_str().len(), event.len(), body.len()] {
            head.extend(u32::try_from(length).ok()?.to_le_bytes());
        }
        head.extend(id.as_str().as_bytes());
        head.extend(event.as_bytes());
        let sum = sum(&head[4..], body);
        head[..4].copy_from_slice(&sum.to_le_bytes());
        Some(Self { head, sum })
    }
}

/// The record that stands at a place of a file, if a whole one does. No length that is read is believed beyond the end of the file.
pub(super) fn read(file: &File, place: u64) -> io::Result<Option<Found>> {
    let left = file.metadata()?.len().saturating_sub(place);
    let mut head = [0; HEAD];
    if left < HEAD as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut head, place)?;
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let [id, event, body] = [16, 20, 24].map(|at| u64::from(number(at)));
    let rest = id + event + body;
    if id == 0 || rest > left - HEAD as u64 {
        return Ok(None);
    }
    let mut named = vec![0; (id + event) as usize];
    let mut content = vec![0; body as usize];
    file.read_exact_at(&mut named, place + HEAD as u64)?;
    file.read_exact_at(&mut content, place + HEAD as u64 + id + event)?;
    let named = [&head[4..], &named].concat();
    if sum(&named, &content) != number(0) {
        return Ok(None);
    }
    let received = Timestamp::from_micros(u64::from(number(8)) | u64::from(number(12)) << 32);
    let (id, event) = named[HEAD - 4..].split_at(id as usize);
    let (Ok(id), Ok(event)) = (str::from_utf8(id), str::from_utf8(event)) else { return Ok(None) };
    let delivery = Delivery { id: DeliveryId::new(id), event: event.to_owned(), received, body: content };
    Ok(Some(Found { delivery, chain: number(4), sum: number(0), length: HEAD as u64 + rest }))
}

fn sum(head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(body);
    hasher.finalize()
}
