//! A length of time: `500ms`, `10m`, `1h30m`, `2d`.

use std::time::Duration;

/// A year: longer is a mistake.
const MAX: Duration = Duration::from_secs(365 * 24 * 3600);

const UNITS: [(&str, u64); 5] = [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

pub const EXPECTED: &str = "a duration such as 30s, 10m or 1h30m";
pub const PATTERN: &str = r"^([0-9]+(ms|s|m|h|d))+$";

/// Units go from large to small, each at most once.
pub fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("it is empty".into());
    }
    let (mut total, mut last) = (0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| format!("there is no number before {tail:?}"))?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(if unit.is_empty() {
                format!("{number} has no unit: write {number}s or {number}m")
            } else {
                format!("{unit:?} is no unit (ms, s, m, h, d)")
            });
        };
        if *factor >= last {
            return Err("units go from large to small, each once".into());
        }
        total = number.checked_mul(*factor).and_then(|part| total.checked_add(part)).ok_or("it is longer than a year")?;
        (rest, last) = (tail, *factor);
    }
    let duration = Duration::from_millis(total);
    if duration > MAX { Err("it is longer than a year".into()) } else { Ok(duration) }
}

/// The shortest way to write it, which `parse` reads back.
pub fn show(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= factor {
            text.push_str(&format!("{}{unit}", left / factor));
            left %= factor;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in
            [("500ms", 500), ("0s", 0), ("10m", 600_000), ("1h30m", 5_400_000), ("2d", 172_800_000), ("1m5s20ms", 65_020), (" 5s ", 5_000)]
        {
            let parsed = parse(text);
            assert_eq!(parsed, Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(parse(&show(Duration::from_millis(millis))), parsed, "{text}");
        }
        for bad in ["", "10", "m", "1.5h", "30m1h", "1h1h", "-5s", "9999999999999999999s", "400d", "5 m", "5µs", "5分"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
