//! What the journal and the locks say of runs and rollouts, for whoever asks: the command line and the API find the same things under the same names.
//!
//! A run without an end whose process is dead is called interrupted: by the name that the next start will record. Writes nothing.

use std::collections::HashMap;

use crate::adapters::journal::{AnyJournal, Journal as _, JournalError, Kind, Place};
use crate::adapters::state::{StateError, StateFolder};
use crate::core::usage::Usage;
use crate::model::fact::{Entry, Fact, RunFact, Stream};
use crate::model::id::{RolloutId, RunId};
use crate::model::outcome::RunOutcome;
use crate::report::run::list::{Line, RUNNING};
use crate::report::run::usage::{Repository, attempts};

/// Runs that usage is summed over, and ids that the beginning of one is looked for among.
pub const KNOWN: usize = 10_000;
/// Runs that are looked at for one page, whether they are wanted or not.
const LOOKED_AT: usize = 500;

#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("there is no {kind} {given:?}")]
    Unknown { kind: &'static str, given: String },
    #[error("{found} {kind}s begin with {given:?}; write more of the id")]
    Ambiguous { kind: &'static str, given: String, found: usize },
}

/// Which runs of a list are wanted. What is left out is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub repository: Option<String>,
    pub pipeline: Option<String>,
    pub branch: Option<String>,
    /// A word of [`Line::outcome`].
    pub outcome: Option<String>,
    pub commit: Option<String>,
}

impl Filter {
    fn wants(&self, line: &Line) -> bool {
        let same = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        same(&self.repository, Some(&line.repository))
            && same(&self.pipeline, Some(&line.pipeline))
            && same(&self.branch, line.branch.as_deref())
            && same(&self.outcome, Some(&line.outcome))
            && self.commit.as_deref().is_none_or(|commit| line.commit.as_str().starts_with(commit))
    }
}

/// One run, as far as it has come.
#[derive(Debug, Clone)]
pub struct Found {
    pub entries: Vec<(Entry, RunFact)>,
    /// It has no end, and nobody is left to give it one.
    pub interrupted: bool,
}

#[derive(Debug, Clone)]
pub struct Records {
    pub state: StateFolder,
    pub journal: AnyJournal,
}

impl Records {
    /// The newest runs that are wanted, from a place on, and where to go on. There may be fewer than asked for although there are more.
    pub async fn runs(&self, wanted: &Filter, before: Option<Place>, limit: usize) -> Result<(Vec<Line>, Option<Place>), RecordsError> {
        let owners = self.owners().await?;
        let (mut lines, mut before, mut left) = (Vec::new(), before, if *wanted == Filter::default() { limit } else { LOOKED_AT.max(limit) });
        while left > 0 && lines.len() < limit {
            let many = left.min(100);
            let page = self.journal.page(Kind::Run, before.as_ref(), many).await?;
            let ended = page.len() < many;
            left -= page.len().min(left);
            for (first, last) in page {
                before = place(&first);
                if let Some(line) = Line::of(&first, &last, self.word(&last, &owners)?)
                    && wanted.wants(&line)
                {
                    lines.push(line);
                    if lines.len() == limit {
                        return Ok((lines, before));
                    }
                }
            }
            if ended {
                return Ok((lines, None));
            }
        }
        Ok((lines, before))
    }

    /// By its id, by a beginning that only one has, or by `latest`.
    pub async fn run_id(&self, given: &str) -> Result<RunId, RecordsError> {
        match self.named(Kind::Run, "run", given).await? {
            Stream::Run(id) | Stream::Request(id) => Ok(id),
            Stream::Rollout(_) => Err(RecordsError::Unknown { kind: "run", given: given.to_owned() }),
        }
    }

    pub async fn rollout_id(&self, given: &str) -> Result<RolloutId, RecordsError> {
        match self.named(Kind::Rollout, "rollout", given).await? {
            Stream::Rollout(id) => Ok(id),
            Stream::Run(_) | Stream::Request(_) => Err(RecordsError::Unknown { kind: "rollout", given: given.to_owned() }),
        }
    }

    async fn named(&self, kind: Kind, word: &'static str, given: &str) -> Result<Stream, RecordsError> {
        let exact = match kind {
            Kind::Run => Stream::Run(RunId::new(given)),
            Kind::Rollout => Stream::Rollout(RolloutId::new(given)),
            Kind::Request => Stream::Request(RunId::new(given)),
        };
        if !self.journal.read_after(&exact, 0, 1).await?.is_empty() {
            return Ok(exact);
        }
        let (with, many) = if given == "latest" { ("", 1) } else { (given, KNOWN) };
        let mut found = self.journal.beginning(kind, with, many).await?;
        match (found.pop(), found.len()) {
            (None, _) => Err(RecordsError::Unknown { kind: word, given: given.to_owned() }),
            (Some(only), 0) => Ok(only),
            (Some(_), others) => Err(RecordsError::Ambiguous { kind: word, given: given.to_owned(), found: others + 1 }),
        }
    }

    pub async fn run(&self, id: &RunId) -> Result<Found, RecordsError> {
        let stream = Stream::Run(id.clone());
        let facts = self.journal.read(&stream).await?.into_iter().filter_map(|entry| match &entry.fact {
            Fact::Run(fact) => Some((entry.clone(), fact.clone())),
            Fact::Rollout(_) | Fact::Request(_) => None,
        });
        Ok(Found { entries: facts.collect(), interrupted: self.is_interrupted(&stream).await? })
    }

    /// One run in a few words.
    pub async fn line(&self, id: &RunId) -> Result<Line, RecordsError> {
        let stream = Stream::Run(id.clone());
        let unknown = || RecordsError::Unknown { kind: "run", given: id.to_string() };
        let first = self.journal.read_after(&stream, 0, 1).await?.pop().ok_or_else(unknown)?;
        let last = self.journal.last(&stream).await?.ok_or_else(unknown)?;
        Line::of(&first, &last, self.word(&last, &self.owners().await?)?).ok_or_else(unknown)
    }

    /// Whether it has no end and nobody is left to give it one.
    pub async fn is_interrupted(&self, stream: &Stream) -> Result<bool, RecordsError> {
        Ok(self.owners().await?.get(stream).map(|owner| self.state.is_alive(owner)).transpose()?.is_some_and(|alive| !alive))
    }

    /// What all runs of each repository took together, by name.
    pub async fn usage(&self, only: Option<&str>) -> Result<Vec<Repository>, RecordsError> {
        let mut sums: std::collections::BTreeMap<String, (u64, Usage)> = std::collections::BTreeMap::new();
        let (mut before, mut left) = (None, KNOWN);
        while left > 0 {
            let page = self.journal.page(Kind::Run, before.as_ref(), left.min(100)).await?;
            if page.is_empty() {
                break;
            }
            left -= page.len().min(left);
            for (first, _) in page {
                before = place(&first);
                let Fact::Run(RunFact::Started { event, .. }) = &first.fact else { continue };
                if only.is_some_and(|only| only != event.repository) {
                    continue;
                }
                let entries = self.journal.read(&first.stream).await?;
                let facts = entries.iter().filter_map(|entry| if let Fact::Run(fact) = &entry.fact { Some(fact) } else { None });
                let (runs, sum) = sums.entry(event.repository.clone()).or_default();
                *runs += 1;
                *sum = attempts(facts).into_iter().map(|attempt| attempt.usage).fold(*sum, Usage::and);
            }
        }
        Ok(sums.into_iter().map(|(name, (runs, usage))| Repository { name, runs, usage }).collect())
    }

    /// Who appended last to what has no end.
    async fn owners(&self) -> Result<HashMap<Stream, String>, RecordsError> {
        Ok(self.journal.unfinished().await?.into_iter().map(|left| (left.stream, left.owner)).collect())
    }

    fn word(&self, last: &Entry, owners: &HashMap<Stream, String>) -> Result<&'static str, RecordsError> {
        match (&last.fact, owners.get(&last.stream)) {
            (Fact::Run(RunFact::Ended { outcome }), _) => Ok(outcome.word()),
            (_, Some(owner)) if !self.state.is_alive(owner)? => Ok(RunOutcome::Interrupted.word()),
            _ => Ok(RUNNING),
        }
    }
}

/// Where a list goes on behind what begins so.
pub fn place(first: &Entry) -> Option<Place> {
    let id = match &first.stream {
        Stream::Run(id) | Stream::Request(id) => id.as_str(),
        Stream::Rollout(id) => id.as_str(),
    };
    Some(Place { opened: first.at, id: id.to_owned() })
}
