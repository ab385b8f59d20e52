//! Text that goes out of the house, without what looks like a secret.

use std::sync::Arc;

use super::ScanError;
use super::matcher::Matcher;

/// What stands where a secret was.
const MASK: &str = "***";

/// Bytes that the end of a key is looked for in, and what is taken for one whose end is not there.
const LONGEST_KEY: usize = 64 << 10;
const SHORT_KEY: usize = 4 << 10;

/// Knows the rules of the scan. Clones share them.
#[derive(Debug, Clone)]
pub struct Masker {
    matcher: Arc<Matcher>,
}

impl Masker {
    pub fn new() -> Result<Self, ScanError> {
        Ok(Self { matcher: Arc::new(Matcher::new()?) })
    }

    pub fn mask(&self, text: &str) -> String {
        let bytes = text.as_bytes();
        let mut masked: Vec<u8> = Vec::with_capacity(bytes.len());
        let mut at = 0;
        let mut hits: Vec<(usize, usize)> = self.matcher.hits("log", bytes).into_iter().map(|hit| (hit.start, hit.end)).collect();
        hits.extend(rest_of_key(bytes));
        hits.sort_unstable();
        for (start, stop) in hits {
            if start < at {
                continue;
            }
            masked.extend_from_slice(bytes.get(at..start).unwrap_or_default());
            masked.extend_from_slice(MASK.as_bytes());
            at = end(bytes, start, stop);
        }
        masked.extend_from_slice(bytes.get(at..).unwrap_or_default());
        String::from_utf8_lossy(&masked).into_owned()
    }
}

/// Where a secret ends. The pattern of a key knows its first line only: what is secret about it comes behind that.
fn end(text: &[u8], start: usize, end: usize) -> usize {
    if !text[start..end].starts_with(b"-----BEGIN") {
        return end;
    }
    let rest = &text[end..text.len().min(end + LONGEST_KEY)];
    let there = rest.windows(8).position(|eight| eight == b"-----END");
    // Where it is cut off, all that looks like one.
    let looks = || rest.iter().position(|byte| !is_of_key(*byte)).unwrap_or(rest.len());
    end + there.unwrap_or_else(|| rest.len().min(SHORT_KEY).max(looks()))
}

/// The end of a key whose beginning a text does not have, as where only the end of a log is shown.
fn rest_of_key(text: &[u8]) -> Option<(usize, usize)> {
    let text = &text[..text.len().min(LONGEST_KEY)];
    let dashes = text.windows(5).position(|five| five == b"-----")?;
    let last = text[dashes..].starts_with(b"-----END") && text[dashes..].iter().take_while(|byte| **byte != b'\n').count() > 8;
    let start = text[..dashes].iter().rposition(|byte| !is_of_key(*byte)).map_or(0, |at| at + 1);
    (last && start < dashes).then_some((start, dashes))
}

fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_nothing_is_left_also_where_its_end_is_missing() {
        let masker = Masker::new().expect("the rules load");
        let (begin, body) = (format!("-----BEGIN {}PRIVATE KEY-----\n", ""), "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n".repeat(200));
        let masked = masker.mask(&format!("the key is\n{begin}{body}-----END PRIVATE KEY-----\nand that was it"));
        assert_eq!(masked, "the key is\n***-----END PRIVATE KEY-----\nand that was it");
        let cut = &body[..3000];
        assert_eq!(masker.mask(&format!("the key is\n{begin}{cut}")), "the key is\n***");
        assert_eq!(masker.mask(&format!("the key is\n{begin}{body}")), "the key is\n***", "however long");
        // Nor where its beginning is.
        let rest = format!("that is it:\n{cut}\n-----END PRIVATE KEY-----\nand that was it\n-----END\n");
        assert_eq!(masker.mask(&rest), "that is it:***-----END PRIVATE KEY-----\nand that was it\n-----END\n");
    }

    /// Each of them would be held against all others, if they were not in order.
    #[test]
    fn a_text_that_is_nothing_but_secrets_is_masked_all_the_same() {
        let masker = Masker::new().expect("the rules load");
        let token = format!("ghp{}{} ", "_", "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW1xY2");
        assert_eq!(masker.mask(&token.repeat(50_000)), "*** ".repeat(50_000));
    }

    #[test]
    fn what_a_scan_would_find_is_not_said() {
        let masker = Masker::new().expect("the rules load");
        // Put together here, so that no scan of this file finds it.
        let token = format!("ghp{}{}", "_", "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW1xY2");
        let masked = masker.mask(&format!("cloning with {token} …\nüber alles {token}\ndone"));
        assert!(!masked.contains(&token), "{masked}");
        assert!(masked.starts_with("cloning with ***") && masked.ends_with("\ndone") && masked.contains("über alles ***"), "{masked}");
        assert_eq!(masker.mask("nothing in it"), "nothing in it");
    }
}
