//! Whether requests reach the arms as the weights say. When they do not, who got which request was not chance, and a comparison means little.
//!
//! The same kind of evidence as for errors, two-sided: the canary's share of the requests against its weight, at odds that are off by two or four.
//! Smaller differences than about 1.4 never add up, so that a gateway's rounding does not stop a rollout.

use crate::model::traffic::Weight;

use super::logs::ln_mean_exp;

/// How far off the share is bet to be.
const OFF_BY: [f64; 4] = [0.25, 0.5, 2.0, 4.0];

/// A million to one: a mismatch stops promotions, so it has to be certain.
const LN_THRESHOLD: f64 = 13.815_510_557_964_274;

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Routing {
    logs: [f64; OFF_BY.len()],
}

impl Routing {
    pub(super) fn see(&mut self, canary: u64, stable: u64, weight: Weight) {
        let share = weight.fraction();
        if share <= 0.0 || share >= 1.0 {
            return;
        }
        for (log, odds) in self.logs.iter_mut().zip(OFF_BY) {
            let scale = 1.0 - share + odds * share;
            *log += canary as f64 * odds.ln() - (canary + stable) as f64 * scale.ln();
        }
    }

    pub(super) fn mismatched(&self) -> bool {
        ln_mean_exp(&self.logs) >= LN_THRESHOLD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenth() -> Weight {
        Weight::try_from(1_000).unwrap()
    }

    #[test]
    fn requests_that_come_as_the_weights_say_are_fine() {
        let mut routing = Routing::default();
        for canary in [9, 11, 14, 6, 10, 10, 12, 8] {
            routing.see(canary * 10, 1_000 - canary * 10, tenth());
            assert!(!routing.mismatched());
        }
    }

    #[test]
    fn a_canary_that_gets_nothing_or_twice_its_share_is_noticed() {
        let (mut none, mut twice) = (Routing::default(), Routing::default());
        none.see(0, 1_000, tenth());
        twice.see(400, 1_600, tenth());
        assert!(none.mismatched() && twice.mismatched());
    }

    #[test]
    fn a_little_more_or_less_never_adds_up() {
        let mut routing = Routing::default();
        routing.see(110_000, 890_000, tenth());
        assert!(!routing.mismatched());
    }
}
