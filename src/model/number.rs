//! Numbers as people write them: the same in a judge's reason, a progress line and a summary.

/// `1234567` → `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A fraction with about two digits that mean something: `0.05` → `5.0 %`, `0.000463` → `0.05 %`.
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    match percent {
        p if p <= 0.0 => "0 %".to_owned(),
        p if p < 0.01 => "under 0.01 %".to_owned(),
        p if p < 1.0 => format!("{p:.2} %"),
        p => format!("{p:.1} %"),
    }
}

/// e^`ln` as the first half of "X to 1": `12`, `310,000`, `4e15`.
pub fn odds(ln: f64) -> String {
    match ln.exp() {
        odds if odds < 0.1 => "under 0.1".to_owned(),
        odds if odds < 10.0 => format!("{odds:.1}"),
        odds if odds < 1e9 => {
            // Two digits are all that a person compares; the rest is noise.
            let unit = 10_f64.powf((odds.log10() + 1e-9).floor() - 1.0).max(1.0);
            grouped(((odds / unit).round() * unit) as u64)
        }
        _ => format!("1e{:.0}", (ln / std::f64::consts::LN_10).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 12, 999, 1_000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.00001, 0.000463, 0.05, 0.1234, 1.0].map(percent), ["0 %", "under 0.01 %", "0.05 %", "5.0 %", "12.3 %", "100.0 %"]);
        assert_eq!([0.01, 1.0, 12.0, 1_000.0, 312_345.0].map(|x: f64| odds(x.ln())), ["under 0.1", "1.0", "12", "1,000", "310,000"]);
        assert_eq!(odds(2_000.0), "1e868");
    }
}
