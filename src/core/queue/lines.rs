//! A line of ready runs for each repository, and whose turn it is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Turn;
use crate::model::id::RunId;

#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    lines: HashMap<String, Line>,
    /// Repositories with somebody ready, in the order in which they are served.
    turns: BTreeSet<(Rank, String)>,
    served: u64,
}

#[derive(Debug, Clone, Default)]
struct Line {
    ready: BTreeMap<Turn, RunId>,
    running: usize,
    /// When it was served last: larger is later.
    served: u64,
}

/// What is first is smaller: few under way, a high priority, long not served.
type Rank = (usize, Reverse<i32>, u64);

impl Line {
    fn rank(&self) -> Option<Rank> {
        let (Turn(Reverse(priority), _), _) = self.ready.first_key_value()?;
        Some((self.running, Reverse(*priority), self.served))
    }
}

impl Lines {
    pub fn add(&mut self, repository: &str, turn: Turn, run: RunId) {
        self.change(repository, |line| drop(line.ready.insert(turn, run)));
    }

    pub fn remove(&mut self, repository: &str, turn: Turn) {
        self.change(repository, |line| drop(line.ready.remove(&turn)));
    }

    /// One of it runs that did not come out of the line.
    pub fn begun(&mut self, repository: &str) {
        self.change(repository, |line| line.running += 1);
    }

    pub fn ended(&mut self, repository: &str) {
        self.change(repository, |line| line.running = line.running.saturating_sub(1));
    }

    /// Who is next, if its repository has fewer than `most` under way. Repositories are served by how many they have, so the first one tells for all.
    pub fn next(&mut self, most: usize) -> Option<RunId> {
        let ((running, ..), repository) = self.turns.first()?.clone();
        if running >= most {
            return None;
        }
        self.served += 1;
        let served = self.served;
        let mut next = None;
        self.change(&repository, |line| {
            next = line.ready.pop_first().map(|(_, run)| run);
            line.running += 1;
            line.served = served;
        });
        next
    }

    /// Its place among the others follows from what it holds.
    fn change(&mut self, repository: &str, change: impl FnOnce(&mut Line)) {
        let line = self.lines.entry(repository.to_owned()).or_default();
        if let Some(rank) = line.rank() {
            self.turns.remove(&(rank, repository.to_owned()));
        }
        change(line);
        match line.rank() {
            Some(rank) => drop(self.turns.insert((rank, repository.to_owned()))),
            // It is remembered only while something of it is there: a repository that comes again is served at once, as it has nothing under way.
            None if line.running == 0 => drop(self.lines.remove(repository)),
            None => {}
        }
    }
}
