//! The list of findings that a person has looked at and allowed: `.tidegate/secrets-allow`.
//!
//! One fingerprint a line, and why behind it: `3f1c… # the example key of the vendor's manual`. It names fingerprints, not lines or patterns, so a new
//! secret is never allowed by an old entry.

use std::collections::BTreeMap;

use crate::model::finding::Finding;

/// Longest file and most entries.
const MOST_BYTES: usize = 1 << 20;
const DIGITS: usize = 32;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    /// Fingerprint → its line.
    entries: BTreeMap<String, usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowError {
    #[error("line {line}: expected the {DIGITS} hex digits of a fingerprint, then ` # ` and the reason; found {found:?}")]
    NotAFingerprint { line: usize, found: String },
    #[error("line {line}: say why this finding is allowed: `{fingerprint} # the reason`")]
    NoReason { line: usize, fingerprint: String },
    #[error("the list of allowed findings is longer than 1 MiB: allow fewer, and mend what was found")]
    TooLong,
}

/// Findings, sorted by what the list says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sorted {
    pub found: Vec<Finding>,
    pub allowed: Vec<Finding>,
    /// Lines of the list that allow nothing any more.
    pub unused: Vec<usize>,
}

impl AllowList {
    pub fn parse(text: &str) -> Result<Self, AllowError> {
        if text.len() > MOST_BYTES {
            return Err(AllowError::TooLong);
        }
        let mut entries = BTreeMap::new();
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (fingerprint, reason) = line.split_once('#').unwrap_or((line, ""));
            let fingerprint = fingerprint.trim();
            if fingerprint.len() != DIGITS || !fingerprint.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(AllowError::NotAFingerprint { line: number, found: fingerprint.chars().take(DIGITS + 8).collect() });
            }
            if reason.trim().is_empty() {
                return Err(AllowError::NoReason { line: number, fingerprint: fingerprint.to_owned() });
            }
            entries.insert(fingerprint.to_owned(), number);
        }
        Ok(Self { entries })
    }

    pub fn sort(&self, findings: Vec<Finding>) -> Sorted {
        let (allowed, found): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| self.entries.contains_key(&finding.fingerprint));
        let used = |fingerprint: &String| allowed.iter().any(|finding| &finding.fingerprint == fingerprint);
        let mut unused: Vec<usize> = self.entries.iter().filter(|(fingerprint, _)| !used(fingerprint)).map(|(_, line)| *line).collect();
        unused.sort_unstable();
        Sorted { found, allowed, unused }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::finding::Severity;

    use super::*;

    fn finding(fingerprint: &str) -> Finding {
        let text = String::new;
        Finding { rule: text(), severity: Severity::High, message: text(), path: text(), line: 1, column: 1, fingerprint: fingerprint.to_owned() }
    }

    #[test]
    fn allowed_findings_are_told_from_the_rest_and_stale_entries_are_named() {
        let (a, b, c) = ("a".repeat(32), "b".repeat(32), "c".repeat(32));
        let list = AllowList::parse(&format!("# reviewed\n\n{a} # the vendor's example\n{c} # gone by now\n")).unwrap();
        let sorted = list.sort(vec![finding(&a), finding(&b)]);
        assert_eq!(sorted, Sorted { found: vec![finding(&b)], allowed: vec![finding(&a)], unused: vec![4] });
    }

    #[test]
    fn what_is_no_entry_is_refused_with_its_line() {
        let a = "a".repeat(32);
        assert!(matches!(AllowList::parse("\nsrc/main.rs"), Err(AllowError::NotAFingerprint { line: 2, .. })));
        assert!(matches!(AllowList::parse(&a.to_uppercase()), Err(AllowError::NotAFingerprint { line: 1, .. })));
        assert!(matches!(AllowList::parse(&a), Err(AllowError::NoReason { line: 1, .. })));
        assert!(matches!(AllowList::parse(&"#".repeat(MOST_BYTES + 1)), Err(AllowError::TooLong)));
        assert_eq!(AllowList::parse(""), Ok(AllowList::default()));
    }
}
