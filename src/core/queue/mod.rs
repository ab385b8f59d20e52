//! Who of the runs that have been asked for may begin: concurrency groups, priorities, fairness among repositories, limits.
//!
//! ```text
//!  ask ──▶ held (waits for somebody's word) ──let_in──▶ in line of its group ──▶ ready ──next──▶ running ──ended──▶ (gone)
//!    │                │                                      │                     │
//!    └── drops ───────┴──────────────────────────────────────┴─────────────────────┘  superseded: a newer one of the group has come
//! ```
//! - Of a **group** one runs at a time. Of those who wait for it, all stay (`queue: all`) or only the newest (`queue: latest`); with `supersede` a newer one also asks for the end of
//!   the one that runs. Groups are of one repository and of one kind of trust, so that no outsider's run can drop or hold up a trusted one.
//! - Among **repositories** it goes in turns: whoever has the fewest runs under way is next, then whoever was served longest ago. So a repository with ten thousand runs waiting
//!   delays another one's first by at most one run.
//! - Within a repository the higher **priority** is first, then who has asked first.
//!
//! Everything costs a logarithm of what waits. Knows nothing of time, journals or of what a run is.

mod group;
mod lines;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use group::Groups;
use lines::Lines;

use crate::model::id::RunId;
use crate::model::request::Group;

/// Runs at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub runs: usize,
    /// Of one repository.
    pub repository: usize,
}

/// Somebody who wants to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asking {
    pub run: RunId,
    pub repository: String,
    /// Runs of different circles never touch one another's groups: trusted ones have one, each source of untrusted ones has its own.
    pub circle: String,
    pub group: Option<Group>,
    /// Higher goes first.
    pub priority: i32,
    /// Somebody has to look at it first.
    pub held: bool,
}

/// What must happen because a newer run of the same group has come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "whoever is superseded must be told"]
pub enum Supersedes {
    /// It waits, and shall not begin any more. It has left the queue.
    Drop(RunId),
    /// It runs, and shall end. It is in the queue until it has.
    Cancel(RunId),
}

/// The whole queue. Equal histories give equal queues.
#[derive(Debug, Clone)]
pub struct Queue {
    room: Room,
    /// Everybody, by name.
    everybody: HashMap<RunId, Place>,
    groups: Groups,
    lines: Lines,
    running: usize,
    arrivals: u64,
}

/// Where somebody stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    repository: String,
    /// The group with its circle and repository: the whole name.
    group: Option<(group::Name, Group)>,
    /// Within its repository: what comes first is smaller.
    turn: Turn,
    stands: Stands,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Held,
    /// Behind others of its group.
    InGroup,
    Ready,
    Running,
}

/// Priority, then arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Turn(std::cmp::Reverse<i32>, u64);

impl Queue {
    pub fn new(room: Room) -> Self {
        Self { room, everybody: HashMap::new(), groups: Groups::default(), lines: Lines::default(), running: 0, arrivals: 0 }
    }

    /// How many wait, held or not.
    pub fn waiting(&self) -> usize {
        self.everybody.len() - self.running
    }
    pub fn running(&self) -> usize {
        self.running
    }
    pub fn holds(&self, run: &RunId) -> bool {
        self.everybody.contains_key(run)
    }
    pub fn is_running(&self, run: &RunId) -> bool {
        self.everybody.get(run).is_some_and(|place| place.stands == Stands::Running)
    }

    /// Somebody comes. Who is there already changes nothing.
    pub fn ask(&mut self, asking: Asking) -> Vec<Supersedes> {
        if self.holds(&asking.run) {
            return Vec::new();
        }
        self.arrivals += 1;
        let turn = Turn(std::cmp::Reverse(asking.priority), self.arrivals);
        let group = asking.group.map(|group| (group::Name::new(&asking.repository, &asking.circle, &group.name), group));
        let place = Place { repository: asking.repository, group, turn, stands: Stands::Held };
        self.everybody.insert(asking.run.clone(), place);
        if asking.held { Vec::new() } else { self.let_in(&asking.run) }
    }

    /// It runs already: what recovery says of a run that has begun.
    pub fn runs(&mut self, asking: Asking) {
        let run = asking.run.clone();
        let _ = self.ask(Asking { held: true, ..asking });
        if let Some(place) = self.everybody.get_mut(&run)
            && place.stands == Stands::Held
        {
            place.stands = Stands::Running;
            if let Some((name, _)) = &place.group {
                self.groups.begin(name, place.turn, &run);
            }
            self.lines.begun(&place.repository);
            self.running += 1;
        }
    }

    /// Nobody has to look at it any more. Of who is not held nothing changes.
    pub fn let_in(&mut self, run: &RunId) -> Vec<Supersedes> {
        let Some(place) = self.everybody.get_mut(run).filter(|place| place.stands == Stands::Held) else { return Vec::new() };
        let Some((name, group)) = place.group.clone() else {
            place.stands = Stands::Ready;
            self.lines.add(&place.repository, place.turn, run.clone());
            return Vec::new();
        };
        place.stands = Stands::InGroup;
        let superseded = self.groups.join(&name, &group, place.turn, run.clone());
        for over in &superseded {
            if let Supersedes::Drop(run) = over {
                self.leave(run);
            }
        }
        self.settle(&name);
        superseded
    }

    /// Who begins next; it counts as running from here. `None` while there is no room, or nobody may.
    pub fn begin_next(&mut self) -> Option<RunId> {
        if self.running >= self.room.runs {
            return None;
        }
        let run = self.lines.next(self.room.repository)?;
        self.running += 1;
        if let Some(place) = self.everybody.get_mut(&run) {
            place.stands = Stands::Running;
            if let Some((name, _)) = &place.group {
                self.groups.begin(name, place.turn, &run);
            }
        }
        Some(run)
    }

    /// It has ended, or shall not begin: whatever it was, it is gone.
    pub fn remove(&mut self, run: &RunId) {
        let of_group = self.everybody.get(run).and_then(|place| Some((place.group.as_ref()?.0.clone(), place.turn)));
        if let Some((name, turn)) = &of_group {
            self.groups.leave(name, *turn, run);
        }
        self.leave(run);
        if let Some((name, _)) = of_group {
            self.settle(&name);
        }
    }

    fn leave(&mut self, run: &RunId) {
        let Some(place) = self.everybody.remove(run) else { return };
        match place.stands {
            Stands::Held | Stands::InGroup => {}
            Stands::Ready => self.lines.remove(&place.repository, place.turn),
            Stands::Running => {
                self.lines.ended(&place.repository);
                self.running -= 1;
            }
        }
    }

    /// Whoever is first of its group, and only that one, may be in its repository's line.
    fn settle(&mut self, name: &group::Name) {
        let Some(first) = self.groups.first(name).cloned() else { return };
        if let Some(now) = self.groups.take_ready(name, &first)
            && let Some(place) = self.everybody.get_mut(&now)
        {
            // Somebody of a higher priority has come before it.
            place.stands = Stands::InGroup;
            self.lines.remove(&place.repository, place.turn);
        }
        if let Some(place) = self.everybody.get_mut(&first).filter(|place| place.stands == Stands::InGroup) {
            place.stands = Stands::Ready;
            self.groups.set_ready(name, &first);
            self.lines.add(&place.repository, place.turn, first);
        }
    }
}
