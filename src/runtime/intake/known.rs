//! What the journal knows of the runs that people mean.

use std::collections::HashSet;

use super::words::Words;
use crate::adapters::journal::Journal as _;
use crate::model::event::{Event, EventKind};
use crate::model::fact::{Fact, Stream};
use crate::model::id::{CommitId, RunId};
use crate::model::request::RequestFact;
use crate::model::trigger::Repository;
use crate::runtime::asking::AskError;

/// Requests that are looked through for one that a person means.
const KNOWN: usize = 2_000;

impl Words {
    /// Newest first.
    pub(super) async fn requests(&self, repository: &Repository) -> Result<Vec<Known>, AskError> {
        let all = self.journal.requests(KNOWN).await?;
        let known = all.into_iter().filter_map(|(first, last)| match first.fact {
            Fact::Request(RequestFact::Asked { run, event, .. }) if event.repository == repository.name => {
                let waits = !matches!(last.fact, Fact::Request(RequestFact::Begun | RequestFact::Dropped { .. }));
                Some(Known { run, event: *event, waits })
            }
            _ => None,
        });
        Ok(known.collect())
    }

    /// The same, and all that has begun and not ended, however long ago it was asked for: an approval is waited for for weeks. What has not ended comes first, so that
    /// whoever looks at some of them only looks at those.
    pub(super) async fn requests_and_runs(&self, repository: &Repository) -> Result<Vec<Known>, AskError> {
        let mut known = self.requests(repository).await?;
        let listed: HashSet<RunId> = known.iter().map(|asked| asked.run.clone()).collect();
        let unfinished = self.journal.unfinished().await?.into_iter();
        let unfinished: HashSet<RunId> = unfinished.filter_map(|one| if let Stream::Run(run) = one.stream { Some(run) } else { None }).collect();
        for run in unfinished.difference(&listed) {
            let event = self.asked(run).await?.filter(|event| event.repository == repository.name);
            known.extend(event.map(|event| Known { run: run.clone(), event, waits: false }));
        }
        Ok(unfinished_first(known, &unfinished))
    }

    /// The newest run of each pipeline about a commit.
    pub(super) async fn newest_of(&self, repository: &Repository, commit: &CommitId) -> Result<Vec<RunId>, AskError> {
        let all = self.journal.requests(KNOWN).await?;
        let mut seen = HashSet::new();
        let newest = all.into_iter().filter_map(|(first, _)| match first.fact {
            Fact::Request(RequestFact::Asked { run, event, pipeline, .. }) if event.repository == repository.name && event.commit == *commit => {
                seen.insert(pipeline).then_some(run)
            }
            _ => None,
        });
        Ok(newest.collect())
    }

    /// Only what is of the repository where it was said: an id of another one is no id.
    pub(super) async fn of_repository(&self, run: &RunId, repository: &Repository) -> Result<RunId, AskError> {
        match self.repository_of(run).await? {
            Some(name) if name == repository.name => Ok(run.clone()),
            _ => Err(AskError::Unknown(format!("{} has no run {run}", repository.name))),
        }
    }

    pub(super) async fn repository_of(&self, run: &RunId) -> Result<Option<String>, AskError> {
        Ok(self.asked(run).await?.map(|event| event.repository))
    }

    pub(super) async fn commit_of(&self, run: &RunId) -> Result<CommitId, AskError> {
        let event = self.asked(run).await?;
        event.map(|event| event.commit).ok_or_else(|| AskError::Unknown(format!("there is no run {run}")))
    }

    pub(super) async fn asked(&self, run: &RunId) -> Result<Option<Event>, AskError> {
        let entries = self.journal.read(&Stream::Request(run.clone())).await?;
        Ok(entries.into_iter().next().and_then(|entry| match entry.fact {
            Fact::Request(RequestFact::Asked { event, .. }) => Some(*event),
            _ => None,
        }))
    }
}

/// A request, as far as words are about it.
pub(super) struct Known {
    pub(super) run: RunId,
    pub(super) event: Event,
    pub(super) waits: bool,
}

impl Known {
    pub(super) fn pull(&self) -> Option<u64> {
        self.event.context.pull.as_ref().map(|pull| pull.number).filter(|_| self.event.kind == EventKind::PullRequest)
    }
}

fn unfinished_first(mut known: Vec<Known>, unfinished: &HashSet<RunId>) -> Vec<Known> {
    known.sort_by_key(|asked| !unfinished.contains(&asked.run));
    known
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::event::Context;

    #[test]
    fn what_has_not_ended_comes_before_what_is_newer_and_has() {
        let event = Event {
            kind: EventKind::Push,
            repository: "acme/shop".into(),
            reference: "refs/heads/main".into(),
            branch: None,
            commit: CommitId::new("0".repeat(40)),
            subject: String::new(),
            author: String::new(),
            changed: None,
            params: BTreeMap::new(),
            context: Context::default(),
        };
        let known = ["r4", "r3", "r2", "r1"].map(|run| Known { run: RunId::new(run), event: event.clone(), waits: false });
        let sorted = unfinished_first(known.into(), &HashSet::from(["r3", "r1"].map(RunId::new)));
        assert_eq!(sorted.iter().map(|asked| asked.run.as_str()).collect::<Vec<_>>(), ["r3", "r1", "r4", "r2"]);
    }
}
