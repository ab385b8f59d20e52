//! What is kept in memory of a request that waits: little, as there may be many. The plan is in the journal until it begins.

use super::{Which, circle};
use crate::core::queue::Asking;
use crate::core::run::Run;
use crate::core::trust;
use crate::model::fact::{Entry, Fact};
use crate::model::id::{CommitId, RunId};
use crate::model::request::RequestFact;

#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub asking: Asking,
    pub commit: CommitId,
    reference: String,
    pull: Option<u64>,
    /// Asked for because its pull request was closed: to hear of that once more does not make it void.
    closing: bool,
    /// How many facts its stream has.
    pub written: u64,
}

impl Standing {
    /// `None` for what is no beginning.
    pub fn asked(fact: &RequestFact) -> Option<(RunId, Self)> {
        let RequestFact::Asked { run, event, trust, group, priority, approval, .. } = fact else { return None };
        let asking = Asking {
            run: run.clone(),
            repository: event.repository.clone(),
            circle: circle(event, *trust),
            group: group.clone(),
            priority: *priority,
            held: approval.is_some(),
        };
        let (commit, reference) = (event.commit.clone(), event.reference.clone());
        let pull = event.context.pull.as_ref().map(|pull| pull.number);
        Some((run.clone(), Self { asking, commit, reference, pull, closing: trust::closes(event), written: 1 }))
    }

    /// Where its facts have led.
    pub fn of(entries: &[Entry]) -> Option<Self> {
        let mut facts = entries.iter().filter_map(|entry| if let Fact::Request(fact) = &entry.fact { Some(fact) } else { None });
        let (_, mut standing) = Self::asked(facts.next()?)?;
        standing.asking.held &= !facts.any(|fact| matches!(fact, RequestFact::Approved { .. }));
        standing.written = entries.len() as u64;
        Some(standing)
    }

    pub fn is_void(&self, which: &Which) -> bool {
        self.is_meant(which) && !(self.closing && matches!(which, Which::Pull { but: None, .. }))
    }

    pub fn is_meant(&self, which: &Which) -> bool {
        match which {
            Which::Reference { repository, reference } => {
                self.pull.is_none() && self.asking.repository == *repository && self.reference == *reference
            }
            Which::Pull { repository, number, but } => {
                self.asking.repository == *repository && self.pull == Some(*number) && but.as_ref() != Some(&self.commit)
            }
        }
    }
}

/// A run that nobody has asked for here: it is of no group, but takes room.
pub(super) fn adopted(run: &Run) -> Asking {
    let event = &run.plan().event;
    Asking { run: run.id().clone(), repository: event.repository.clone(), circle: String::new(), group: None, priority: 0, held: false }
}
