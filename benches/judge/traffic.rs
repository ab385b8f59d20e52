//! Simulated traffic: worlds with a weight and two error rates for every minute, drawn with a seed.

use tidegate::model::fact::{ArmCounts, Batch};
use tidegate::model::traffic::Weight;

/// Requests a minute over both arms.
pub const REQUESTS: u64 = 1_000;

/// What happens in one minute of a world.
#[derive(Debug, Clone, Copy)]
pub struct Minute {
    pub weight: u16,
    pub stable: f64,
    pub canary: f64,
}

/// A world is a function of the minute.
pub type World = fn(usize) -> Minute;

fn equal(percent: u16, rate: f64) -> Minute {
    Minute { weight: percent * 100, stable: rate, canary: rate }
}

fn drifting(minute: usize) -> f64 {
    // Between 0.02 % and 1 %, with a period of an hour.
    0.0051 + 0.0049 * (minute as f64 / 60.0 * std::f64::consts::TAU).sin()
}

/// Nothing is ever wrong with the new release in these.
pub fn flat(_: usize) -> Minute {
    equal(10, 0.001)
}
pub fn drift(minute: usize) -> Minute {
    equal(10, drifting(minute))
}
/// Something that both depend on fails for ten minutes.
pub fn incident(minute: usize) -> Minute {
    equal(10, if (50..60).contains(&minute) { 0.03 } else { 0.001 })
}
/// The weight rises while the error rate drifts: what fools every comparison of pooled rates.
pub fn ramp(minute: usize) -> Minute {
    equal([1, 5, 25, 50][(minute / 15).min(3)], drifting(minute))
}
/// An hour in which nothing is looked at, and another error rate after it.
pub fn pause(minute: usize) -> Minute {
    equal(10, if minute < 60 { 0.001 } else { 0.02 })
}

/// The new release fails so often; the stable one 0.1 % of the time.
pub fn worse<const BASIS_POINTS: u32>(_: usize) -> Minute {
    Minute { weight: 1_000, stable: 0.001, canary: f64::from(BASIS_POINTS) / 10_000.0 }
}

/// One minute's requests, each sent and failed by chance.
pub fn draw(random: &mut fastrand::Rng, minute: Minute) -> (Batch, Weight) {
    let canary = successes(random, REQUESTS, f64::from(minute.weight) / 10_000.0);
    let stable = REQUESTS - canary;
    let arm = |requests, errors| ArmCounts { requests, errors, warm: requests, ..ArmCounts::default() };
    let batch =
        Batch { canary: arm(canary, successes(random, canary, minute.canary)), stable: arm(stable, successes(random, stable, minute.stable)) };
    (batch, Weight::from_basis_points(minute.weight).unwrap_or(Weight::ALL))
}

/// How many of `n` succeed with chance `p` each: by leaping from one success to the next.
fn successes(random: &mut fastrand::Rng, n: u64, p: f64) -> u64 {
    if p <= 0.0 {
        return 0;
    }
    let scale = (1.0 - p).ln();
    let (mut place, mut found) = (0_u64, 0);
    loop {
        let leap = ((1.0 - random.f64()).ln() / scale).floor();
        if leap >= (n - place) as f64 {
            return found;
        }
        place += leap as u64 + 1;
        found += 1;
        if place >= n {
            return found;
        }
    }
}
