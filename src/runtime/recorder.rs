//! Facts before effects: appends a machine's facts to its stream of the journal, and only then shows them.

use crate::adapters::journal::{AnyJournal, Journal as _, JournalError};
use crate::model::fact::{Entry, Fact, Stream};
use crate::model::time::Timestamp;

use super::observer::Observer;

/// The one writer of one stream.
#[derive(Debug)]
pub struct Recorder {
    journal: AnyJournal,
    stream: Stream,
    next: u64,
    observer: Observer,
}

impl Recorder {
    /// `written` is how many facts the stream holds already.
    pub fn new(journal: AnyJournal, stream: Stream, written: u64, observer: Observer) -> Self {
        Self { journal, stream, next: written + 1, observer }
    }

    /// Durable when it returns. The caller performs effects after it, never before.
    pub async fn record(&mut self, at: Timestamp, facts: Vec<Fact>) -> Result<(), JournalError> {
        if facts.is_empty() {
            return Ok(());
        }
        self.journal.append(&self.stream, self.next, at, facts.clone()).await?;
        for fact in facts {
            let entry = Entry { stream: self.stream.clone(), number: self.next, at, fact };
            self.next += 1;
            self.observer.fact(&entry);
        }
        Ok(())
    }
}
