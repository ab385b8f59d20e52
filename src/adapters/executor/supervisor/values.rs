//! `TIDEGATE_OUTPUT`: `key=value`, one a line.

use std::collections::BTreeMap;

/// What the step wrote, or what is wrong with it. Empty lines are nothing; the last value of a key counts.
pub(super) fn parse(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "what the step wrote to $TIDEGATE_OUTPUT is not text in UTF-8".to_owned())?;
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(number, line)| pair(line).ok_or_else(|| complaint(number + 1, line))).collect()
}

fn pair(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once('=')?;
    let starts_well = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let good = starts_well && key.len() <= 64 && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    (good && !value.contains(char::is_control)).then(|| (key.to_owned(), value.to_owned()))
}

fn complaint(number: usize, line: &str) -> String {
    let shown: String = line.chars().take(60).flat_map(char::escape_debug).collect();
    format!(
        "line {number} of $TIDEGATE_OUTPUT is not key=value: {shown} (a key is letters, digits, - and _; a value is one line without control characters)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_lines_of_key_and_value() {
        let good = parse(b"version=1.2=3\n\nurl=https://x\r\nversion=2\nempty=\n").unwrap();
        assert_eq!(good, BTreeMap::from([("version", "2"), ("url", "https://x"), ("empty", "")].map(|(k, v)| (k.to_owned(), v.to_owned()))));
        assert!(parse(b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_value_is_named() {
        for (bad, line) in [("no value", 1), ("a=1\n=x", 2), ("a b=1", 1), ("a=\x1b[2J", 1), ("-a=1", 1)] {
            assert!(parse(bad.as_bytes()).unwrap_err().starts_with(&format!("line {line} of $TIDEGATE_OUTPUT is not key=value")), "{bad}");
        }
        assert!(parse(b"\xff=1").is_err());
    }

    proptest::proptest! {
        #[test]
        fn anything_at_all_is_a_map_or_a_complaint(bytes: Vec<u8>) {
            if let Ok(values) = parse(&bytes) {
                for (key, value) in values {
                    proptest::prop_assert!(!key.is_empty() && !value.contains('\n'));
                }
            }
        }
    }
}
