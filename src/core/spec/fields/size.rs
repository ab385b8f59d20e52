//! A number of bytes: `256MiB`, `2GiB`. Only the binary units: `MB` means two things to people.

pub const EXPECTED: &str = "a size such as 256MiB or 2GiB";
pub const PATTERN: &str = r"^[0-9]+(B|KiB|MiB|GiB|TiB)$";

pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let count: u64 = number.parse().map_err(|_| format!("it does not start with a whole number: {text:?}"))?;
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        "" => return Err(format!("{number} has no unit: write {number}MiB")),
        other => {
            let letter = other.chars().next().unwrap_or_default().to_ascii_uppercase();
            return Err(if matches!(letter, 'K' | 'M' | 'G' | 'T') {
                format!("{other:?} is no unit here: write {number}{letter}iB")
            } else {
                format!("{other:?} is no unit (B, KiB, MiB, GiB, TiB)")
            });
        }
    };
    let bytes = count.checked_mul(1 << shift).filter(|bytes| *bytes <= 1 << 50).ok_or("it is more than 1024 TiB")?;
    if bytes == 0 { Err("it is zero".into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [("1B", 1), ("4KiB", 4096), ("256MiB", 256 << 20), ("2GiB", 2 << 30), ("1TiB", 1 << 40)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in ["", "256", "256MB", "1.5GiB", "-1B", "0B", "99999TiB", "18446744073709551616B", "2 GiB", "GiB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("256MB"), Err(r#""MB" is no unit here: write 256MiB"#.into()));
    }
}
