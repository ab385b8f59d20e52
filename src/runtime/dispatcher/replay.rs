//! What the journal says when a server starts: who waits, and whose runs go on.

use std::collections::HashSet;

use super::Deciding;
use super::standing::Standing;
use crate::adapters::journal::{Journal as _, JournalError, Kind};
use crate::model::fact::{Entry, Stream};
use crate::model::id::RunId;
use crate::model::request::RequestFact;

/// Requests that are read at once.
const AT_ONCE: usize = 100;

impl Deciding {
    /// What was asked for of the runs that have not ended: so that those that are adopted are of their groups again. Called first.
    pub async fn look_back(&mut self) -> Result<(), JournalError> {
        let journal = self.means.around.journal.clone();
        for unfinished in journal.unfinished().await? {
            let Stream::Run(run) = unfinished.stream else { continue };
            let entries = journal.read(&Stream::Request(run.clone())).await?;
            self.begun_before.extend(Standing::of(&entries).map(|standing| (run, standing.asking)));
        }
        Ok(())
    }

    /// All that the journal says is waiting. Called once, after what runs has been adopted.
    pub async fn replay(&mut self) -> Result<(), JournalError> {
        let journal = self.means.around.journal.clone();
        let mut behind = None;
        loop {
            let page = journal.outlines(Kind::Request, behind.as_ref(), AT_ONCE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            behind = Some(last.place());
            let waiting: Vec<(RunId, Standing)> = page.iter().filter_map(|(left, entries)| waits(&left.stream, entries)).collect();
            drop(page);
            let runs = waiting.iter().map(|(run, _)| Stream::Run(run.clone())).collect();
            let begun: HashSet<Stream> = journal.existing(runs).await?.into_iter().collect();
            for (run, standing) in waiting {
                if begun.contains(&Stream::Run(run.clone())) {
                    self.write(&run, standing.written, RequestFact::Begun).await?;
                } else {
                    self.enter(run, standing).await;
                }
            }
        }
    }
}

fn waits(stream: &Stream, entries: &[Entry]) -> Option<(RunId, Standing)> {
    let Stream::Request(run) = stream else { return None };
    Some((run.clone(), Standing::of(entries)?))
}
