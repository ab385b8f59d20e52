//! Concurrency groups: who of one runs, and who waits for it.

use std::collections::{BTreeMap, HashMap};

use super::{Supersedes, Turn};
use crate::model::id::RunId;
use crate::model::request::{Group, Waiting};

/// Repository, circle and the group's own name: none of them can be mistaken for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name([String; 3]);

impl Name {
    pub fn new(repository: &str, circle: &str, name: &str) -> Self {
        Self([repository.to_owned(), circle.to_owned(), name.to_owned()])
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Groups(HashMap<Name, Members>);

#[derive(Debug, Clone, Default)]
struct Members {
    running: Option<RunId>,
    waiting: BTreeMap<Turn, RunId>,
    /// When the newest of those who wait or have waited came.
    latest: u64,
    /// The one of those who wait that stands in its repository's line.
    ready: Option<RunId>,
}

impl Groups {
    /// Somebody waits from here. Answers who is superseded by that.
    pub fn join(&mut self, name: &Name, group: &Group, turn: Turn, run: RunId) -> Vec<Supersedes> {
        let members = self.0.entry(name.clone()).or_default();
        let mut superseded = Vec::new();
        // Who came later is newer, whatever its priority; what was held and is let in late may not drop a newer one.
        let newest = members.waiting.is_empty() || members.latest < turn.1;
        if group.supersede || group.queue == Waiting::Latest {
            if newest {
                let older = std::mem::take(&mut members.waiting);
                superseded.extend(older.into_values().map(Supersedes::Drop));
                members.ready = None;
            } else {
                return vec![Supersedes::Drop(run)];
            }
        }
        members.waiting.insert(turn, run);
        members.latest = members.latest.max(turn.1);
        if group.supersede {
            superseded.extend(members.running.clone().map(Supersedes::Cancel));
        }
        superseded
    }

    /// Who may begin next: nobody while one runs.
    pub fn first(&self, name: &Name) -> Option<&RunId> {
        let members = self.0.get(name)?;
        if members.running.is_some() { None } else { members.waiting.values().next() }
    }

    /// Who stands in line although `first` is first.
    pub fn take_ready(&mut self, name: &Name, first: &RunId) -> Option<RunId> {
        let members = self.0.get_mut(name)?;
        if members.ready.as_ref() == Some(first) { None } else { members.ready.take() }
    }

    pub fn set_ready(&mut self, name: &Name, run: &RunId) {
        if let Some(members) = self.0.get_mut(name) {
            members.ready = Some(run.clone());
        }
    }

    pub fn begin(&mut self, name: &Name, turn: Turn, run: &RunId) {
        let members = self.0.entry(name.clone()).or_default();
        members.waiting.remove(&turn);
        members.running = Some(run.clone());
        members.ready = None;
    }

    pub fn leave(&mut self, name: &Name, turn: Turn, run: &RunId) {
        let Some(members) = self.0.get_mut(name) else { return };
        if members.running.as_ref() == Some(run) {
            members.running = None;
        }
        if members.ready.as_ref() == Some(run) {
            members.ready = None;
        }
        members.waiting.remove(&turn);
        if members.running.is_none() && members.waiting.is_empty() {
            self.0.remove(name);
        }
    }
}
