//! Text that goes out of the house, without what looks like a secret.

use std::sync::Arc;

use super::ScanError;
use super::matcher::Matcher;

/// What stands where a secret was.
const MASK: &str = "***";

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
        for hit in self.matcher.hits("log", bytes) {
            masked.extend_from_slice(bytes.get(at..hit.start).unwrap_or_default());
            masked.extend_from_slice(MASK.as_bytes());
            at = hit.end;
        }
        masked.extend_from_slice(bytes.get(at..).unwrap_or_default());
        String::from_utf8_lossy(&masked).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
