//! A share: `0.5%`, `25%`, `99.9%`. Always with its sign, as `0.5` means two things to people.

use crate::model::traffic::Weight;

pub const EXPECTED: &str = "a share such as 5% or 0.5%";
pub const PATTERN: &str = r"^[0-9]+(\.[0-9]{1,4})?%$";

/// A fraction between 0 and 1.
pub fn parse(text: &str) -> Result<f64, String> {
    Ok(f64::from(millionths(text)?) / 1_000_000.0)
}

/// A weight of traffic: hundredths of a percent are the smallest.
pub fn weight(text: &str) -> Result<Weight, String> {
    let millionths = millionths(text)?;
    if millionths % 100 != 0 {
        return Err("traffic is split in hundredths of a percent: at most two digits behind the point".into());
    }
    u16::try_from(millionths / 100).ok().and_then(Weight::from_basis_points).ok_or_else(|| "it is more than 100%".into())
}

/// A stage of a rollout: more than nothing, less than all.
pub fn stage(text: &str) -> Result<Weight, String> {
    match weight(text)? {
        Weight::NONE => Err("a stage of 0% moves nothing".into()),
        Weight::ALL => Err("100% follows by itself when all stages have held".into()),
        weight => Ok(weight),
    }
}

/// How sure the judge must be: not 100 %, which no number of requests can give.
pub fn confidence(text: &str) -> Result<f64, String> {
    match millionths(text)? {
        1_000_000 => Err("no number of requests makes a judge 100% sure: 99.9% is usual".into()),
        below if below < 500_000 => Err("a judge that is less sure than a coin is no judge: 99.9% is usual".into()),
        share => Ok(f64::from(share) / 1_000_000.0),
    }
}

fn millionths(text: &str) -> Result<u32, String> {
    let text = text.trim();
    let Some(number) = text.strip_suffix('%') else {
        return Err(if text.parse::<f64>().is_ok() { format!("it has no sign: write {text}%") } else { "it does not end with %".into() });
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return Err(format!("{number:?} is no number"));
    }
    if part.len() > 4 {
        return Err("at most four digits behind the point count".into());
    }
    let whole: u32 = whole.parse().ok().filter(|whole| *whole <= 100).ok_or("it is more than 100%")?;
    let part: u32 = format!("{part:0<4}").parse().map_err(|_| "it is no number")?;
    Some(whole * 10_000 + part).filter(|share| *share <= 1_000_000).ok_or_else(|| "it is more than 100%".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        for (text, fraction) in [("0%", 0.0), ("0.5%", 0.005), ("5%", 0.05), ("100%", 1.0), ("99.9%", 0.999), ("0.0001%", 0.000_001)] {
            assert_eq!(parse(text), Ok(fraction), "{text}");
        }
        for bad in ["", "5", "0.5", "%", "-1%", "101%", "100.01%", "1.%", ".5%", "1.00001%", "5 %", "5%%", "99999999999%"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn weights_and_stages() {
        assert_eq!(weight("0.25%").map(Weight::basis_points), Ok(25));
        assert!(weight("0.001%").is_err());
        assert_eq!(stage("50%").map(Weight::basis_points), Ok(5_000));
        assert!(stage("0%").is_err());
        assert!(stage("100%").is_err());
        assert!(confidence("100%").is_err());
        assert!(confidence("10%").is_err());
    }
}
