//! Whether an attempt that went wrong is repeated.

use crate::model::limits::{Retry, RetryOn};
use crate::model::outcome::Outcome;

/// The number of the next attempt, if the policy allows one after `attempt` has ended so. `started`: the step's process had begun, so what it did can have
/// had effects. A failure of ours is then no reason to do it again, unless the file says that it may be done twice.
pub(super) fn next_attempt(policy: &Retry, attempt: u32, started: bool, outcome: &Outcome) -> Option<u32> {
    let why = match outcome {
        Outcome::Infrastructure { .. } if started && !policy.after_start => return None,
        Outcome::Infrastructure { .. } => RetryOn::Infrastructure,
        Outcome::TimedOut { .. } => RetryOn::Timeout,
        Outcome::Failed { .. } => RetryOn::Failed,
        Outcome::Succeeded | Outcome::Memoised { .. } | Outcome::Cancelled { .. } | Outcome::Skipped { .. } => return None,
    };
    let next = attempt.checked_add(1)?;
    (next <= policy.attempts && policy.on.contains(&why)).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_the_reasons_of_the_policy_are_repeated_and_only_so_often() {
        let policy = Retry { attempts: 3, on: vec![RetryOn::Infrastructure, RetryOn::Timeout], delay: Duration::ZERO, after_start: false };
        let infrastructure = Outcome::Infrastructure { reason: "no space".into() };
        assert_eq!(next_attempt(&policy, 1, false, &infrastructure), Some(2));
        assert_eq!(next_attempt(&policy, 2, false, &Outcome::TimedOut { after_ms: 1 }), Some(3));
        assert_eq!(next_attempt(&policy, 3, false, &infrastructure), None);
        assert_eq!(next_attempt(&policy, 1, false, &Outcome::Failed { exit: crate::model::outcome::Exit::Code(1), reason: String::new() }), None);
        assert_eq!(next_attempt(&policy, 1, false, &Outcome::Cancelled { reason: String::new() }), None);
    }

    #[test]
    fn a_policy_of_no_attempts_at_all_still_means_the_first_one() {
        let policy = Retry { attempts: 0, on: vec![RetryOn::Infrastructure], delay: Duration::ZERO, after_start: false };
        assert_eq!(next_attempt(&policy, 1, false, &Outcome::Infrastructure { reason: String::new() }), None);
    }

    #[test]
    fn a_step_that_had_begun_is_not_begun_again_for_a_failure_of_ours_unless_the_file_says_so() {
        let cautious = Retry::default();
        let infrastructure = Outcome::Infrastructure { reason: "its sandbox was killed".into() };
        assert_eq!(next_attempt(&cautious, 1, false, &infrastructure), Some(2));
        assert_eq!(next_attempt(&cautious, 1, true, &infrastructure), None);
        assert_eq!(next_attempt(&Retry { after_start: true, ..cautious }, 1, true, &infrastructure), Some(2));
    }
}
