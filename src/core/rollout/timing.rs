//! When to look, and when to try again.

use std::time::Duration;

use crate::model::deploy::RolloutPolicy;
use crate::model::time::Timestamp;

/// Attempts at one call while the provider is unavailable.
pub(super) const ATTEMPTS: u32 = 5;

const SOONEST: Duration = Duration::from_millis(500);
const LATEST: Duration = Duration::from_secs(60);

/// How often a stage is looked at: a quarter of its least time, within reason. More often costs nothing in certainty, only facts.
pub(super) fn interval(policy: &RolloutPolicy) -> Duration {
    (policy.hold / 4).clamp(SOONEST, LATEST)
}

/// When to look next: after an interval, but on the dot when the stage's least time or its patience is over before that.
pub(super) fn next_look(policy: &RolloutPolicy, since: Timestamp, now: Timestamp) -> Timestamp {
    let regular = now.after(interval(policy));
    [since.after(policy.hold), since.after(policy.patience)].into_iter().filter(|end| *end > now).fold(regular, Timestamp::min)
}

/// 1, 2, 4, 8 … seconds after the first, second, … attempt.
pub(super) fn retry_delay(attempt: u32) -> Duration {
    Duration::from_secs(1 << attempt.saturating_sub(1).min(5))
}

#[cfg(test)]
mod tests {
    use super::super::tests::world::{canary, second};
    use super::*;

    #[test]
    fn looks_are_neither_hectic_nor_rare_and_never_miss_the_end_of_a_stage() {
        let with_hold = |hold: u64| RolloutPolicy { hold: Duration::from_secs(hold), patience: Duration::from_secs(hold + 11), ..canary(&[10]) };
        assert_eq!([0, 1, 20, 3_600].map(|hold| interval(&with_hold(hold)).as_millis()), [500, 500, 5_000, 60_000]);
        let policy = with_hold(20);
        assert_eq!(next_look(&policy, second(0), second(1)), second(6));
        assert_eq!(next_look(&policy, second(0), second(18)), second(20), "on the dot");
        assert_eq!(next_look(&policy, second(0), second(30)), second(31), "patience is over");
        assert_eq!(next_look(&policy, second(0), second(40)), second(45));
    }
}
