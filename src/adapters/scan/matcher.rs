//! Text → matches. Pure.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use sha2::{Digest as _, Sha256};

use super::ScanError;
use super::rules::{self, Rule};

/// A rule's match in a text.
#[derive(Debug, Clone)]
pub(super) struct Hit<'r> {
    pub(super) rule: &'r Rule,
    /// Offsets of the secret.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) digest: [u8; 32],
}

#[derive(Debug)]
pub(super) struct Matcher {
    rules: Vec<Rule>,
    keywords: AhoCorasick,
    /// Rules by keyword.
    wanted_by: Vec<Vec<usize>>,
}

impl Matcher {
    pub(super) fn new() -> Result<Self, ScanError> {
        let rules = rules::load()?;
        let mut words: Vec<String> = rules.iter().flat_map(|rule| rule.keywords.iter().map(|word| word.to_ascii_lowercase())).collect();
        words.sort_unstable();
        words.dedup();
        let wants = |rule: &Rule, word: &String| rule.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(word));
        let wanted_by = words.iter().map(|word| (0..rules.len()).filter(|at| wants(&rules[*at], word)).collect()).collect();
        let keywords = AhoCorasick::builder().ascii_case_insensitive(true).build(&words).map_err(|error| ScanError::Rules(error.to_string()))?;
        Ok(Self { rules, keywords, wanted_by })
    }

    /// Where a text holds secrets. Of several rules that see the same place, the most severe speaks.
    pub(super) fn hits(&self, path: &str, text: &[u8]) -> Vec<Hit<'_>> {
        let mut hits: Vec<Hit<'_>> = Vec::new();
        for rule in self.candidates(text).into_iter().map(|at| &self.rules[at]).filter(|rule| rule.applies_to(path)) {
            for found in rule.pattern.captures_iter(text).filter_map(|groups| groups.get(rule.group)) {
                if rule.accepts(found.as_bytes()) {
                    let secret = whole(text, found.start(), found.end());
                    hits.push(Hit { rule, start: found.start(), end: found.end(), digest: Sha256::digest(secret).into() });
                }
            }
        }
        hits.sort_by(|a, b| b.rule.severity.cmp(&a.rule.severity).then(b.rule.sure.cmp(&a.rule.sure)).then(a.start.cmp(&b.start)));
        // By where they begin. They do not overlap, so that the last one that begins before this one's end is the only one that can reach into it: of a text that is
        // nothing but secrets, each is not held against all.
        let mut kept: BTreeMap<usize, Hit<'_>> = BTreeMap::new();
        for hit in hits {
            if kept.range(..hit.end).next_back().is_none_or(|(_, other)| other.end <= hit.start) {
                kept.insert(hit.start, hit);
            }
        }
        kept.into_values().collect()
    }

    /// Rules of which a keyword occurs.
    fn candidates(&self, text: &[u8]) -> Vec<usize> {
        let mut seen = vec![false; self.wanted_by.len()];
        for found in self.keywords.find_overlapping_iter(text) {
            seen[found.pattern().as_usize()] = true;
        }
        let mut wanted: Vec<usize> = (0..self.rules.len()).filter(|at| self.rules[*at].keywords.is_empty()).collect();
        wanted.extend(seen.iter().zip(&self.wanted_by).filter(|(seen, _)| **seen).flat_map(|(_, rules)| rules.iter().copied()));
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }
}

/// A PEM pattern sees the first line only, which all keys share: what tells two keys apart is what follows it.
fn whole(text: &[u8], start: usize, end: usize) -> &[u8] {
    const BODY: usize = 4096;
    if !text[start..end].starts_with(b"-----BEGIN") && !text[start..end].starts_with(b"PuTTY") {
        return &text[start..end];
    }
    let rest = &text[end..text.len().min(end + BODY)];
    let body = rest.windows(8).position(|eight| eight == b"-----END").unwrap_or(rest.len());
    &text[start..end + body]
}
