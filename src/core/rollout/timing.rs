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
