//! What every destination of a function did, counted exactly, and the intervals in which observers look at it.
//!
//! An interval between two arms opens when a destination first gets a share of the function's traffic, and closes with each look: every request is in
//! exactly one interval of an observer. Counts live as long as the gateway does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::model::fact::{ArmCounts, Batch};
use crate::model::traffic::{Destination, TrafficSplit};

use super::options::DURATIONS;

/// All that one destination has done since the gateway was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    /// Throttled ones are not among them: the function had no part in those.
    pub requests: u64,
    /// Answered with 5xx, whoever's fault it was: function error, time-out, crash, no instance.
    pub errors: u64,
    pub throttled: u64,
    pub cold: u64,
    pub init_failures: u64,
}

/// How one request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Throttled,
    Served { error: bool, cold: bool, took: Duration },
}

#[derive(Debug, Default)]
pub struct Counts {
    totals: BTreeMap<Destination, Totals>,
    /// Those with a share in the split that is in force.
    sharing: BTreeSet<Destination>,
    /// The totals when a destination last got its first share: where an observer's first interval opens.
    opened: BTreeMap<Destination, Totals>,
    observers: HashMap<(Destination, Destination), Observer>,
    /// Durations of warm requests, kept for those who have not looked yet.
    open_durations: BTreeMap<Destination, Vec<u32>>,
}

#[derive(Debug, Default)]
struct Observer {
    seen: BTreeMap<Destination, Totals>,
    warm: BTreeMap<Destination, Vec<u32>>,
}

impl Counts {
    pub fn totals(&self) -> &BTreeMap<Destination, Totals> {
        &self.totals
    }

    pub fn split_changed(&mut self, split: &TrafficSplit) {
        let sharing: BTreeSet<Destination> = split.iter().map(|(to, _)| to.clone()).collect();
        if !sharing.is_subset(&self.sharing) {
            self.opened = self.totals.clone();
            self.observers.clear();
            self.open_durations.clear();
        }
        self.sharing = sharing;
    }

    pub fn request(&mut self, to: &Destination, ended: Ended) {
        let totals = self.totals.entry(to.clone()).or_default();
        let Ended::Served { error, cold, took } = ended else {
            totals.throttled += 1;
            return;
        };
        totals.requests += 1;
        totals.errors += u64::from(error);
        totals.cold += u64::from(cold);
        if cold || *to == Destination::Vacant {
            return;
        }
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        keep(self.open_durations.entry(to.clone()).or_default(), micros);
        for (_, observer) in self.observers.iter_mut().filter(|((stable, canary), _)| stable == to || canary == to) {
            keep(observer.warm.entry(to.clone()).or_default(), micros);
        }
    }

    pub fn init_failed(&mut self, to: &Destination) {
        self.totals.entry(to.clone()).or_default().init_failures += 1;
    }

    /// Closes the interval between two arms and opens the next.
    pub fn observe(&mut self, stable: &Destination, canary: &Destination, slow_over: Option<Duration>) -> Batch {
        let observer = self
            .observers
            .entry((stable.clone(), canary.clone()))
            .or_insert_with(|| Observer { seen: self.opened.clone(), warm: self.open_durations.clone() });
        let mut look = |arm: &Destination| {
            let now = self.totals.get(arm).copied().unwrap_or_default();
            let before = observer.seen.insert(arm.clone(), now).unwrap_or_default();
            let warm = observer.warm.remove(arm).unwrap_or_default();
            let slow = slow_over.map_or(0, |limit| warm.iter().filter(|micros| Duration::from_micros(u64::from(**micros)) > limit).count());
            ArmCounts {
                requests: now.requests - before.requests,
                errors: now.errors - before.errors,
                warm: warm.len() as u64,
                slow: slow as u64,
                init_failures: now.init_failures - before.init_failures,
            }
        };
        Batch { stable: look(stable), canary: look(canary) }
    }
}

/// Past the bound a request counts as neither warm nor slow, so that the share of slow ones among the warm stays true.
fn keep(durations: &mut Vec<u32>, micros: u32) {
    if durations.len() < DURATIONS {
        durations.push(micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Digest;
    use crate::model::release::ReleaseId;
    use crate::model::traffic::Weight;

    fn arm(n: u8) -> Destination {
        Destination::Release(ReleaseId::new(Digest::from_sha256([n; 32])))
    }

    fn served(error: bool, cold: bool, ms: u64) -> Ended {
        Ended::Served { error, cold, took: Duration::from_millis(ms) }
    }

    #[test]
    fn every_request_is_in_exactly_one_interval() {
        let (old, new) = (arm(1), arm(2));
        let mut counts = Counts::default();
        counts.split_changed(&TrafficSplit::all(old.clone()));
        counts.request(&old, served(true, false, 1));
        counts.split_changed(&TrafficSplit::between(old.clone(), new.clone(), Weight::from_basis_points(100).unwrap()));
        counts.request(&old, served(false, false, 10));
        counts.request(&new, served(true, true, 900));
        let first = counts.observe(&old, &new, Some(Duration::from_millis(5)));
        assert_eq!(
            first.stable,
            ArmCounts { requests: 1, errors: 0, warm: 1, slow: 1, init_failures: 0 },
            "what was before the new one came is not in it"
        );
        assert_eq!(
            first.canary,
            ArmCounts { requests: 1, errors: 1, warm: 0, slow: 0, init_failures: 0 },
            "a cold start is not held against its latency"
        );
        counts.split_changed(&TrafficSplit::between(old.clone(), new.clone(), Weight::from_basis_points(5000).unwrap()));
        counts.request(&new, served(false, false, 1));
        counts.request(&new, Ended::Throttled);
        counts.init_failed(&new);
        counts.split_changed(&TrafficSplit::all(old.clone()));
        counts.request(&old, served(false, false, 1));
        let second = counts.observe(&old, &new, Some(Duration::from_millis(5)));
        assert_eq!(second.stable.requests, 1, "the way back does not lose what was not looked at");
        assert_eq!(second.canary, ArmCounts { requests: 1, errors: 0, warm: 1, slow: 0, init_failures: 1 });
        assert_eq!(counts.observe(&old, &new, None), Batch::default());
        counts.split_changed(&TrafficSplit::between(old.clone(), new.clone(), Weight::ALL.rest()));
        counts.split_changed(&TrafficSplit::between(old.clone(), new.clone(), Weight::from_basis_points(1).unwrap()));
        assert_eq!(counts.observe(&old, &new, None), Batch::default(), "a second try begins with nothing");
    }
}
