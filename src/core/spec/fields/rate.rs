//! So many in a time: `20/s`, `30/m`.

pub const EXPECTED: &str = "a rate such as 20/s or 30/m";
pub const PATTERN: &str = r"^[0-9]+(\.[0-9]+)?/(s|m|h)$";

/// A second.
pub fn parse(text: &str) -> Result<f64, String> {
    let Some((number, unit)) = text.trim().split_once('/') else {
        return Err(format!("it has no unit: write {}/s", text.trim()));
    };
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        other => return Err(format!("{other:?} is no unit of time (s, m, h)")),
    };
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let count: f64 = number.parse().ok().filter(|_| plain).ok_or_else(|| format!("{number:?} is no number"))?;
    let rate = count / seconds;
    if rate > 0.0 && rate <= 10_000.0 { Ok(rate) } else { Err("it must be more than nothing and at most 10000/s".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, rate) in [("20/s", 20.0), ("30/m", 0.5), ("0.5/s", 0.5), ("3600/h", 1.0)] {
            assert_eq!(parse(text), Ok(rate), "{text}");
        }
        for bad in ["", "20", "/s", "20/d", "0/s", "-1/s", "inf/s", "nan/s", "1e9/s", "20000/s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
