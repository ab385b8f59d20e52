//! The rules, ready to match on bytes.

use globset::{Glob, GlobSet, GlobSetBuilder};
use nosecrets_rules::{Rule as Source, RulePaths, RuleValidate};
use regex::bytes::{Regex, RegexBuilder};

use crate::model::finding::Severity;

use super::ScanError;

const OURS: &str = include_str!("rules.toml");

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) severity: Severity,
    pub(super) sure: bool,
    pub(super) pattern: Regex,
    pub(super) group: usize,
    /// One of them, in any case, is in every text that can match.
    pub(super) keywords: Vec<String>,
    allowed: Vec<Regex>,
    allowed_values: Vec<String>,
    validate: RuleValidate,
    charset: Option<Regex>,
    exclude: GlobSet,
}

/// The library's rules, then ours.
pub(super) fn load() -> Result<Vec<Rule>, ScanError> {
    let broken = |error: &dyn std::fmt::Display| ScanError::Rules(error.to_string());
    let theirs = nosecrets_rules::load_builtin_rules().map_err(|error| broken(&error))?;
    let ours = nosecrets_rules::parse_rules(OURS, "rules.toml").map_err(|error| broken(&error))?;
    theirs.into_iter().chain(ours).map(Rule::new).collect()
}

impl Rule {
    fn new(source: Source) -> Result<Self, ScanError> {
        let fault = |what: &str| ScanError::Rules(format!("rule {}: {what}", source.id));
        // ASCII classes: tokens are ASCII, and bytes that are no text must not stop a match.
        let compile = |pattern: &str| RegexBuilder::new(pattern).unicode(false).build().map_err(|error| fault(&error.to_string()));
        let validate = source.validate.clone().unwrap_or_default();
        let severity = severity(source.severity);
        let pattern = compile(&source.pattern)?;
        if source.capture >= pattern.captures_len() {
            return Err(fault("its capture group does not exist"));
        }
        let exact = source.validate.is_none() || !validate.prefix.is_empty() || validate.length.is_some();
        let sure = exact && severity >= Severity::High;
        let allow = source.allow.clone().unwrap_or_default();
        Ok(Self {
            severity,
            sure,
            pattern,
            group: source.capture,
            allowed: allow.patterns.iter().map(|pattern| compile(pattern)).collect::<Result<_, _>>()?,
            allowed_values: allow.values,
            charset: validate.charset.as_ref().map(|charset| compile(&format!("^[{charset}]+$"))).transpose()?,
            // Where a rule only guesses, it may know folders in which it guesses wrongly; a key is a key everywhere.
            exclude: if sure { GlobSet::empty() } else { globs(source.paths.as_ref()).map_err(|error| fault(&error.to_string()))? },
            validate,
            keywords: source.keywords,
            id: source.id,
            title: source.name,
        })
    }

    pub(super) fn applies_to(&self, path: &str) -> bool {
        self.exclude.is_empty() || !self.exclude.is_match(path)
    }

    /// Whether what the pattern found is one: right length and letters, not a stand-in, and, where the rule guesses, random enough.
    pub(super) fn accepts(&self, secret: &[u8]) -> bool {
        let RuleValidate { prefix, length, min_length, max_length, .. } = &self.validate;
        length.is_none_or(|length| secret.len() == length)
            && min_length.is_none_or(|least| secret.len() >= least)
            && max_length.is_none_or(|most| secret.len() <= most)
            && (prefix.is_empty() || prefix.iter().any(|prefix| secret.starts_with(prefix.as_bytes())))
            && self.charset.as_ref().is_none_or(|charset| charset.is_match(secret))
            && !self.allowed_values.iter().any(|value| value.as_bytes() == secret)
            && !self.allowed.iter().any(|allowed| allowed.is_match(secret))
            && (self.sure || looks_random(secret))
    }
}

fn severity(theirs: nosecrets_rules::Severity) -> Severity {
    match theirs {
        nosecrets_rules::Severity::Critical => Severity::Critical,
        nosecrets_rules::Severity::High => Severity::High,
        nosecrets_rules::Severity::Medium => Severity::Medium,
        nosecrets_rules::Severity::Low => Severity::Low,
    }
}

fn globs(paths: Option<&RulePaths>) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in paths.into_iter().flat_map(|paths| &paths.exclude) {
        match pattern.strip_suffix('/') {
            Some(folder) => {
                set.add(Glob::new(&format!("{folder}/**"))?);
                set.add(Glob::new(&format!("**/{folder}/**"))?);
            }
            None => {
                set.add(Glob::new(pattern)?);
            }
        }
    }
    set.build()
}

/// A name made of words (`checkout-api-key`, `${PASSWORD}`) is no secret: it has no digit, or says the same few letters again and again.
fn looks_random(value: &[u8]) -> bool {
    let placeholder = value.iter().any(|byte| matches!(byte, b'$' | b'{' | b'<' | b'%')) || !value.iter().any(u8::is_ascii_digit);
    !placeholder && bits_per_byte(value) >= 3.0
}

/// Shannon entropy.
fn bits_per_byte(value: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    value.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let all = value.len().max(1) as f64;
    counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / all).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_loads_and_has_a_name_of_its_own() {
        let rules = load().unwrap();
        let mut ids: Vec<_> = rules.iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rules.len());
        for expected in ["aws-access-key", "github-pat", "github-refresh-token", "private-key", "vault-token"] {
            assert!(ids.contains(&expected), "{expected} is gone from the library");
        }
    }

    #[test]
    fn words_are_not_random_and_tokens_are() {
        for words in ["checkout-api-key", "${API_KEY_2}", "aaaaaaaaaaaaaaaa1", "<your-token-1>", "{{ secret_2 }}", ""] {
            assert!(!looks_random(words.as_bytes()), "{words}");
        }
        assert!(looks_random(b"f81d4fae7dec11d0a765"));
    }
}
