//! Makes up ids for new runs and rollouts: they sort by time, can be said aloud, and need no table to look them up.

use crate::model::id::{RolloutId, RunId};
use crate::model::time::Timestamp;

pub fn run(now: Timestamp) -> RunId {
    RunId::new(stamp(now))
}

pub fn rollout(function: &str, now: Timestamp) -> RolloutId {
    RolloutId::new(format!("{function}-{}", stamp(now)))
}

/// `20261123-134512-a3f9`: the second it began (UTC), and 16 random bits. Two that still collide are told apart by the journal, which refuses the second.
fn stamp(now: Timestamp) -> String {
    let second = jiff::Timestamp::from_microsecond(i64::try_from(now.as_micros()).unwrap_or(i64::MAX)).unwrap_or_default();
    format!("{}-{:04x}", second.strftime("%Y%m%d-%H%M%S"), fastrand::u16(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time() {
        let early = run(Timestamp::from_micros(1_000_000));
        let late = run(Timestamp::from_micros(1_763_900_000_000_000));
        assert!(early < late);
        assert!(late.as_str().starts_with("20251123-"), "{late}");
    }
}
