//! A price: `0.0000166667`. Whole units of 10⁻¹², never a float: sums of many small ones come out as they should.

use crate::model::settings::Price;

pub const EXPECTED: &str = "a price such as 0.0000166667";
/// Digits behind the point.
const PLACES: usize = 12;
/// Most of a whole currency unit: what a `u64` of the smallest units holds is eighteen million.
const MOST: u64 = 1_000_000;

pub fn parse(text: &str) -> Result<Price, String> {
    let text = text.trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return Err("it is no number without sign and exponent: write all its digits, as in 0.0000002".to_owned());
    }
    if part.len() > PLACES {
        return Err(format!("at most {PLACES} digits behind the point count"));
    }
    let whole: u64 = whole.parse().ok().filter(|whole| *whole < MOST).ok_or_else(|| format!("it must be less than {MOST}"))?;
    let part: u64 = format!("{part:0<PLACES$}").parse().map_err(|_| "it is no number".to_owned())?;
    Ok(Price(whole * 1_000_000_000_000 + part))
}

/// What stands behind an amount: a code such as USD, or a sign.
pub fn currency(text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if !(1..=8).contains(&length) || text.chars().any(|c| c.is_control() || c.is_whitespace() || c.is_ascii_digit()) {
        return Err("it must be 1 to 8 characters, without digits and spaces".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_taken_digit_by_digit() {
        for (text, units) in [("0", 0), ("0.0000166667", 16_666_700), ("0.0000002", 200_000), ("1", 1_000_000_000_000), ("12.5", 12_500_000_000_000)]
        {
            assert_eq!(parse(text), Ok(Price(units)), "{text}");
        }
        for bad in ["", "-1", "2e-7", ".5", "1.", "1,5", "0.0000000000001", "1000000", "free", "+1", "nan"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
