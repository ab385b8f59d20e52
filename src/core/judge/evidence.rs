//! The evidence that the new release is worse: a bet that can not be won in the long run when it is not.
//!
//! ```text
//! E = 1/7 · Σ_ψ Π_batches e(ψ)         ψ ∈ {1.5, 2, 3, 5, 10, 30, 100}
//! ```
//! While the new release is no worse, E starts at 1 and its mean never rises. So (Ville) the chance that it **ever** reaches 1/α is at most α:
//! for any number of looks, any batches, any stage weights, any pause. Its whole state is seven numbers.

use super::factor::{Tally, one_arm, two_arms};
use super::logs::ln_mean_exp;

/// The odds ratios that are bet on, with equal stakes: from "half as bad again" to "a hundred times".
pub const ODDS: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

/// ln of the product of the batches' factors, one for each of [`ODDS`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evidence {
    logs: [f64; ODDS.len()],
}

impl Evidence {
    /// ln E: 0 before anything was seen.
    pub fn ln(&self) -> f64 {
        ln_mean_exp(&self.logs)
    }

    pub(super) fn see_two_arms(&mut self, canary: Tally, stable: Tally) {
        for (log, psi) in self.logs.iter_mut().zip(ODDS) {
            *log += two_arms(canary, stable, psi);
        }
    }

    pub(super) fn see_one_arm(&mut self, canary: Tally, objective: f64) {
        for (log, psi) in self.logs.iter_mut().zip(ODDS) {
            *log += one_arm(canary, objective, psi);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ways in which `batches` batches of (n1, n0, k) can fall out when nothing is wrong, with their chances: the mean of E over them.
    fn mean_over_all_paths(batches: &[(u64, u64, u64)], evidence: Evidence, chance: f64) -> f64 {
        let Some(((n1, n0, k), rest)) = batches.split_first().map(|(first, rest)| (*first, rest)) else {
            return chance * evidence.ln().exp();
        };
        let ways = |j: u64| (super::super::logs::ln_choose(n1, j) + super::super::logs::ln_choose(n0, k - j)).exp();
        let span = k.saturating_sub(n0)..=k.min(n1);
        let all: f64 = span.clone().map(ways).sum();
        span.map(|k1| {
            let mut next = evidence;
            next.see_two_arms(Tally { of: n1, bad: k1 }, Tally { of: n0, bad: k - k1 });
            mean_over_all_paths(rest, next, chance * ways(k1) / all)
        })
        .sum()
    }

    #[test]
    fn over_every_way_that_a_rollout_can_fall_out_the_mean_stays_one() {
        // Three stages with other weights and other error rates each, as in a rollout during an incident.
        let mean = mean_over_all_paths(&[(2, 18, 3), (5, 15, 9), (10, 10, 4), (1, 30, 2)], Evidence::default(), 1.0);
        assert!((mean - 1.0).abs() < 1e-9, "{mean}");
    }

    #[test]
    fn three_errors_against_none_at_ten_percent_are_more_than_a_hundred_to_one() {
        let mut evidence = Evidence::default();
        for _ in 0..3 {
            evidence.see_two_arms(Tally { of: 100, bad: 1 }, Tally { of: 900, bad: 0 });
        }
        assert!(evidence.ln() > 100_f64.ln(), "{}", evidence.ln().exp());
    }

    #[test]
    fn before_the_first_request_there_is_no_evidence() {
        let mut evidence = Evidence::default();
        assert_eq!(evidence.ln(), 0.0);
        evidence.see_two_arms(Tally { of: 50, bad: 0 }, Tally { of: 450, bad: 0 });
        assert_eq!(evidence.ln(), 0.0, "without a single error nothing is known about who is worse");
    }
}
