//! What one batch adds to the evidence: a likelihood ratio for one odds ratio ψ, as a logarithm.
//!
//! ```text
//! two arms:  e = ψ^k1 · Z(1) / Z(ψ)          Z(ψ) = Σ_j C(n1, j)·C(n0, k−j)·ψ^j,   k = k1 + k0
//! one arm:   e = (q/p0)^k · ((1−q)/(1−p0))^(n−k)   with odds(q) = ψ·odds(p0)
//! ```
//! Either has mean 1 when the new release is no worse, whatever the traffic; the tests below add that up term by term.

use super::logs::{ln_choose, ln_factorial};

/// Requests and bad ones among them, at one arm over one batch. `bad <= of` is checked before it gets here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub of: u64,
    pub bad: u64,
}

/// Terms that are smaller than this part of the sum can not change it.
const NEGLIGIBLE: f64 = 1e-18;

/// ln e for two arms that shared the same traffic: given how many were bad in all, how surprising is it that so many of them were the canary's?
pub(super) fn two_arms(canary: Tally, stable: Tally, psi: f64) -> f64 {
    let bad = canary.bad + stable.bad;
    // One arm without requests, nothing bad or everything bad: there was only one way for it to fall out, so it says nothing.
    if canary.of == 0 || stable.of == 0 || bad == 0 || bad == canary.of + stable.of {
        return 0.0;
    }
    canary.bad as f64 * psi.ln() + ln_choose(canary.of + stable.of, bad) - ln_weighted_ways(canary.of, stable.of, bad, psi)
}

/// ln Z(ψ). The terms rise to one mode and fall again, so they are summed outwards from it until they no longer count: about √k of them, not k.
fn ln_weighted_ways(n1: u64, n0: u64, k: u64, psi: f64) -> f64 {
    let (lowest, highest) = (k.saturating_sub(n0), k.min(n1));
    let mode = mode(n1, n0, k, psi).clamp(lowest, highest);
    let (m1, m0, total) = (n1 as f64, n0 as f64, k as f64);
    // term(j + 1) / term(j)
    let ratio = |j: f64| psi * (m1 - j) * (total - j) / ((j + 1.0) * (m0 - total + j + 1.0));

    let mut sum = 1.0;
    let mut term = 1.0;
    for j in mode..highest {
        term *= ratio(j as f64);
        sum += term;
        if term < sum * NEGLIGIBLE {
            break;
        }
    }
    term = 1.0;
    for j in (lowest..mode).rev() {
        term /= ratio(j as f64);
        sum += term;
        if term < sum * NEGLIGIBLE {
            break;
        }
    }
    ln_ways(n1, n0, k, mode) + mode as f64 * psi.ln() + sum.ln()
}

/// ln of C(n1, j)·C(n0, k−j).
fn ln_ways(n1: u64, n0: u64, k: u64, j: u64) -> f64 {
    ln_factorial(n1) - ln_factorial(j) - ln_factorial(n1 - j) + ln_factorial(n0) - ln_factorial(k - j) - ln_factorial(n0 - (k - j))
}

/// Where the terms are largest: the root of term(j) = term(j − 1), a quadratic in j.
fn mode(n1: u64, n0: u64, k: u64, psi: f64) -> u64 {
    let (m1, m0, total) = (n1 as f64, n0 as f64, k as f64);
    let a = psi - 1.0;
    let b = -((m1 + total + 2.0) * psi + m0 - total);
    let c = psi * (m1 + 1.0) * (total + 1.0);
    // Written so that ψ = 1 (a = 0) needs no case of its own.
    let root = 2.0 * c / (-b + (b * b - 4.0 * a * c).max(0.0).sqrt());
    root.max(0.0) as u64
}

/// ln e for one arm against an objective: how much likelier are so many bad ones at ψ times the objective's odds?
///
/// A likelihood ratio falls with the true rate, so its mean is below 1 for every rate under the objective, and 1 at it.
pub(super) fn one_arm(canary: Tally, objective: f64, psi: f64) -> f64 {
    let rest = 1.0 - objective;
    // Nothing is worse than an objective of "everything may fail".
    if rest <= 0.0 {
        return 0.0;
    }
    // q/p0 = ψ/scale and (1−q)/(1−p0) = 1/scale
    let scale = rest + psi * objective;
    canary.bad as f64 * psi.ln() - canary.of as f64 * scale.ln()
}

#[cfg(test)]
mod tests {
    use super::super::evidence::ODDS;
    use super::*;

    /// P(k1 | n1, n0, k) when the true odds ratio is `truth`, by plain summation.
    fn chances(n1: u64, n0: u64, k: u64, truth: f64) -> Vec<(u64, f64)> {
        let ways: Vec<(u64, f64)> =
            (k.saturating_sub(n0)..=k.min(n1)).map(|j| (j, (ln_choose(n1, j) + ln_choose(n0, k - j) + j as f64 * truth.ln()).exp())).collect();
        let all: f64 = ways.iter().map(|(_, way)| way).sum();
        ways.into_iter().map(|(j, way)| (j, way / all)).collect()
    }

    fn mean_of_two_arms(n1: u64, n0: u64, k: u64, psi: f64, truth: f64) -> f64 {
        chances(n1, n0, k, truth).into_iter().map(|(k1, p)| p * two_arms(Tally { of: n1, bad: k1 }, Tally { of: n0, bad: k - k1 }, psi).exp()).sum()
    }

    #[test]
    fn with_two_equal_arms_the_mean_is_exactly_one() {
        let mut cases = 0;
        for n1 in 0..=12 {
            for n0 in 0..=16 {
                for k in 0..=(n1 + n0) {
                    for psi in ODDS {
                        let mean = mean_of_two_arms(n1, n0, k, psi, 1.0);
                        assert!((mean - 1.0).abs() < 1e-9, "n1 {n1}, n0 {n0}, k {k}, ψ {psi}: mean {mean}");
                        cases += 1;
                    }
                }
            }
        }
        assert_eq!(cases, 7 * (0..=12_u64).flat_map(|n1| (0..=16_u64).map(move |n0| n1 + n0 + 1)).sum::<u64>());
    }

    #[test]
    fn with_a_better_canary_the_mean_is_at_most_one() {
        for truth in [0.01, 0.1, 0.5, 0.9] {
            for n1 in 0..=8 {
                for n0 in 0..=10 {
                    for k in 0..=(n1 + n0) {
                        for psi in ODDS {
                            let mean = mean_of_two_arms(n1, n0, k, psi, truth);
                            assert!(mean <= 1.0 + 1e-9, "true odds ratio {truth}, n1 {n1}, n0 {n0}, k {k}, ψ {psi}: mean {mean}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn with_a_worse_canary_the_mean_is_above_one() {
        for psi in ODDS {
            assert!(mean_of_two_arms(8, 10, 5, psi, psi) > 1.0, "ψ {psi}");
        }
    }

    fn mean_of_one_arm(n: u64, objective: f64, psi: f64, rate: f64) -> f64 {
        (0..=n)
            .map(|k| {
                let p = (ln_choose(n, k) + k as f64 * rate.ln() + (n - k) as f64 * (1.0 - rate).ln()).exp();
                p * one_arm(Tally { of: n, bad: k }, objective, psi).exp()
            })
            .sum()
    }

    #[test]
    fn at_the_objective_the_mean_is_exactly_one_and_below_it_at_most() {
        for n in 0..=30 {
            for objective in [0.001, 0.01, 0.05, 0.3, 0.9] {
                for psi in ODDS {
                    let at = mean_of_one_arm(n, objective, psi, objective);
                    assert!((at - 1.0).abs() < 1e-9, "n {n}, objective {objective}, ψ {psi}: mean {at}");
                    for part in [0.01, 0.3, 0.99] {
                        let below = mean_of_one_arm(n, objective, psi, objective * part);
                        assert!(below <= 1.0 + 1e-9, "n {n}, objective {objective}, ψ {psi}, rate {part} of it: mean {below}");
                    }
                }
            }
        }
    }

    #[test]
    fn summing_only_what_counts_gives_the_whole_sum() {
        for (n1, n0, k) in [(40, 360, 37), (500, 500, 600), (3_000, 27_000, 2_000), (5, 100_000, 4_000)] {
            for psi in ODDS {
                let terms: Vec<f64> = (0..=k.min(n1)).map(|j| ln_choose(n1, j) + ln_choose(n0, k - j) + j as f64 * psi.ln()).collect();
                let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let whole = top + terms.iter().map(|term| (term - top).exp()).sum::<f64>().ln();
                let found = ln_weighted_ways(n1, n0, k, psi);
                assert!((whole - found).abs() < 1e-8, "{n1} {n0} {k} ψ {psi}: {whole} or {found}");
            }
        }
    }

    #[test]
    fn a_million_requests_with_a_hundred_thousand_errors_are_no_trouble() {
        let equal = two_arms(Tally { of: 1_000_000, bad: 50_000 }, Tally { of: 1_000_000, bad: 50_000 }, 1.5);
        assert!(equal.is_finite() && equal < -1_000.0, "equal arms speak against ψ: {equal}");
        let worse = two_arms(Tally { of: 100_000, bad: 90_000 }, Tally { of: 900_000, bad: 10_000 }, 100.0);
        assert!(worse.is_finite() && worse > 10_000.0, "{worse}");
        assert!(two_arms(Tally { of: 1_000_000_000, bad: 1 }, Tally { of: 1_000_000_000_000, bad: 900_000 }, 100.0).is_finite());
    }
}
