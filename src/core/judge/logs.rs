//! Logarithms of large counts: factorials, binomial coefficients, sums of exponentials. Counts beyond a million would overflow everything else.

/// Below this, factorials are multiplied out: 20! is the largest that a `u64` (and a double, exactly enough) holds.
const SMALL: u64 = 20;

/// ln n!
///
/// Stirling's series around n + 1/2·ln n with the first five corrections: from 21 on its error is below the rounding of a double.
pub(super) fn ln_factorial(n: u64) -> f64 {
    if n <= SMALL {
        return ((1..=n).product::<u64>() as f64).ln();
    }
    let x = n as f64;
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let correction = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))));
    (x + 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + correction
}

/// ln of the number of ways to choose `k` of `n`; minus infinity where there is none.
pub(super) fn ln_choose(n: u64, k: u64) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    if k == 0 || k == n {
        return 0.0;
    }
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// ln of the mean of e^x over `values`, without leaving the range of a double.
pub(super) fn ln_mean_exp(values: &[f64]) -> f64 {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return top;
    }
    let sum: f64 = values.iter().map(|value| (value - top).exp()).sum();
    top + (sum / values.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factorials_are_the_sum_of_their_logarithms() {
        let mut sum = 0.0;
        for n in 1..=5_000_u64 {
            sum += (n as f64).ln();
            let found = ln_factorial(n);
            assert!((found - sum).abs() <= 1e-12 * sum.max(1.0), "{n}! is e^{sum}, found e^{found}");
        }
    }

    #[test]
    fn coefficients_are_pascals() {
        let mut row = vec![1.0_f64];
        for n in 1..=40_u64 {
            let mut next = vec![1.0; n as usize + 1];
            for k in 1..n as usize {
                next[k] = row[k - 1] + row[k];
            }
            row = next;
            for (k, expected) in row.iter().enumerate() {
                assert!((ln_choose(n, k as u64) - expected.ln()).abs() < 1e-12, "{n} over {k}");
            }
        }
        assert_eq!(ln_choose(3, 4), f64::NEG_INFINITY);
    }

    #[test]
    fn means_of_huge_exponents_stay_finite() {
        assert_eq!(ln_mean_exp(&[5_000.0, 5_000.0]), 5_000.0);
        assert!((ln_mean_exp(&[0.0, -9_000.0]) - 0.5_f64.ln()).abs() < 1e-15);
        assert_eq!(ln_mean_exp(&[f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
    }
}
