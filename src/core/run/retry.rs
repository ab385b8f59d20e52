//! Whether an attempt that went wrong is repeated.

use crate::model::limits::{Retry, RetryOn};
use crate::model::outcome::Outcome;

/// The number of the next attempt, if the policy allows one after `attempt` has ended so.
pub(super) fn next_attempt(policy: &Retry, attempt: u32, outcome: &Outcome) -> Option<u32> {
    let why = match outcome {
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
        let policy = Retry { attempts: 3, on: vec![RetryOn::Infrastructure, RetryOn::Timeout], delay: Duration::ZERO };
        let infrastructure = Outcome::Infrastructure { reason: "no space".into() };
        assert_eq!(next_attempt(&policy, 1, &infrastructure), Some(2));
        assert_eq!(next_attempt(&policy, 2, &Outcome::TimedOut { after_ms: 1 }), Some(3));
        assert_eq!(next_attempt(&policy, 3, &infrastructure), None);
        assert_eq!(next_attempt(&policy, 1, &Outcome::Failed { exit: crate::model::outcome::Exit::Code(1), reason: String::new() }), None);
        assert_eq!(next_attempt(&policy, 1, &Outcome::Cancelled { reason: String::new() }), None);
    }

    #[test]
    fn a_policy_of_no_attempts_at_all_still_means_the_first_one() {
        let policy = Retry { attempts: 0, on: vec![RetryOn::Infrastructure], delay: Duration::ZERO };
        assert_eq!(next_attempt(&policy, 1, &Outcome::Infrastructure { reason: String::new() }), None);
    }
}
