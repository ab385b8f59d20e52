//! The record of every attempt, as it grows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ADDRESSES;
use crate::model::egress::{Attempt, Egress, Verdict};

/// As much of something that was not understood is kept.
const LONGEST: usize = 255;

#[derive(Debug, Clone)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    egress: Egress,
    places: HashMap<(String, u16, Verdict), usize>,
}

/// A line of it: where the bytes of a connection are counted. `None` when the book was full.
#[derive(Debug, Clone)]
pub struct Line {
    ledger: Ledger,
    at: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
pub enum Direction {
    /// From the step.
    Up,
    Down,
}

impl Ledger {
    pub fn new(learning: bool) -> Self {
        Self(Arc::new(Mutex::new(Book { egress: Egress { learning, ..Egress::default() }, places: HashMap::new() })))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn enter(&self, host: &str, port: u16, verdict: Verdict, addresses: &[IpAddr]) -> Line {
        let host: String = host.chars().take(LONGEST).collect();
        let mut book = self.book();
        let Book { egress, places } = &mut *book;
        let key = (host, port, verdict);
        let at = match places.get(&key) {
            Some(at) => Some(*at),
            None if places.len() == Egress::LIMIT => None,
            None => {
                let (host, port, verdict) = key.clone();
                egress.attempts.push(Attempt { host, port, verdict, addresses: Vec::new(), count: 0, sent: 0, received: 0 });
                places.insert(key, egress.attempts.len() - 1);
                Some(egress.attempts.len() - 1)
            }
        };
        match at.and_then(|at| egress.attempts.get_mut(at)) {
            Some(attempt) => {
                attempt.count += 1;
                for address in addresses {
                    if attempt.addresses.len() < ADDRESSES && !attempt.addresses.contains(address) {
                        attempt.addresses.push(*address);
                    }
                }
            }
            None => egress.more += 1,
        }
        Line { ledger: self.clone(), at }
    }

    /// All of it; whatever comes later is counted nowhere.
    pub fn close(&self) -> Egress {
        std::mem::take(&mut self.book().egress)
    }
}

impl Line {
    pub fn count(&self, direction: Direction, bytes: usize) {
        let mut book = self.ledger.book();
        let Some(attempt) = self.at.and_then(|at| book.egress.attempts.get_mut(at)) else { return };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        match direction {
            Direction::Up => attempt.sent += bytes,
            Direction::Down => attempt.received += bytes,
        }
    }
}
