//! SARIF 2.1.0 → findings: what a step left in `$TIDEGATE_FINDINGS`, whichever scanner wrote it.
//!
//! Reads what a gate needs and passes over the rest, which takes no memory. Severity is `security-severity` where there is one (as code hosts read it), else the level.

use std::collections::HashMap;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::few::{Few, OneOf, Score};
use crate::model::finding::{Finding, Severity};
use crate::model::invocation::WORKSPACE;
use crate::model::text::hidden;

/// Longest file, and most runs and results in it, as code hosts take them.
const MOST_BYTES: usize = 16 << 20;
const MOST_RUNS: usize = 20;
const MOST_RESULTS: usize = 25_000;
const MOST_RULES: usize = 25_000;
/// Longest text that is kept of each field.
const MOST_TEXT: usize = 2_000;
const MOST_PATH: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SarifError {
    #[error("the findings are {found} bytes long; at most {MOST_BYTES} are read")]
    TooLong { found: usize },
    #[error("the findings are not text in UTF-8: byte {at} is not")]
    NotText { at: usize },
    #[error("the findings are not SARIF 2.1.0: {0}")]
    NotSarif(String),
}

/// What was read of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sarif {
    pub findings: Vec<Finding>,
    /// Results past the limits, of which nothing is known but that they are there.
    pub more: usize,
}

#[derive(Deserialize)]
struct Log {
    version: String,
    runs: Few<Run, MOST_RUNS>,
}

#[derive(Deserialize)]
struct Run {
    tool: Tool,
    #[serde(default)]
    results: Option<Few<Outcome, MOST_RESULTS>>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize)]
struct Driver {
    #[serde(default)]
    rules: Few<Rule, MOST_RULES>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    #[serde(default)]
    default_configuration: Option<Configuration>,
    #[serde(default)]
    properties: Option<Properties>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    level: Option<String>,
}

#[derive(Deserialize, Default)]
struct Properties {
    #[serde(default, rename = "security-severity")]
    security_severity: Score,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    #[serde(default)]
    rule_id: Option<String>,
    #[serde(default)]
    rule_index: Option<i64>,
    #[serde(default)]
    level: Option<String>,
    #[serde(default)]
    message: Message,
    #[serde(default)]
    locations: Few<Location, 1>,
    #[serde(default)]
    partial_fingerprints: OneOf,
}

#[derive(Deserialize, Default)]
struct Message {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(default)]
    physical_location: Option<Physical>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    #[serde(default)]
    artifact_location: Option<Artifact>,
    #[serde(default)]
    region: Option<Region>,
}

#[derive(Deserialize)]
struct Artifact {
    #[serde(default)]
    uri: Option<String>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase")]
struct Region {
    #[serde(default)]
    start_line: u32,
    #[serde(default)]
    start_column: u32,
}

/// All results of all runs in it. An empty file is no findings: a scanner that found none may write none.
pub fn read_sarif(bytes: &[u8]) -> Result<Sarif, SarifError> {
    let text = text_of(bytes)?;
    if text.trim().is_empty() {
        return Ok(Sarif::default());
    }
    let log: Log = serde_json::from_str(text).map_err(|error| SarifError::NotSarif(error.to_string()))?;
    if !log.version.starts_with("2.1") {
        return Err(SarifError::NotSarif(format!("version 2.1.0 was expected, found {:?}", line(&log.version, MOST_PATH))));
    }
    if log.runs.more > 0 {
        return Err(SarifError::NotSarif(format!("it has more than {MOST_RUNS} runs: write one for each tool")));
    }
    let mut sarif = Sarif::default();
    for Run { tool, results } in &log.runs.some {
        let Some(results) = results else { continue };
        let rules = Rules::of(&tool.driver.rules.some);
        let left = MOST_RESULTS - sarif.findings.len();
        sarif.findings.extend(results.some.iter().take(left).map(|result| finding(&rules, result)));
        sarif.more += results.more + results.some.len().saturating_sub(left);
    }
    Ok(sarif)
}

/// What is read of a file at all.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, SarifError> {
    if bytes.len() > MOST_BYTES {
        return Err(SarifError::TooLong { found: bytes.len() });
    }
    // Some writers begin with a mark of the byte order.
    let text = std::str::from_utf8(bytes).map_err(|error| SarifError::NotText { at: error.valid_up_to() + 1 })?;
    Ok(text.trim_start_matches('\u{feff}'))
}

struct Rules<'a> {
    all: &'a [Rule],
    by_id: HashMap<&'a str, &'a Rule>,
}

impl<'a> Rules<'a> {
    fn of(all: &'a [Rule]) -> Self {
        // The first of two with one id.
        Self { all, by_id: all.iter().rev().map(|rule| (rule.id.as_str(), rule)).collect() }
    }

    fn get(&self, result: &Outcome) -> Option<&'a Rule> {
        let by_index = result.rule_index.and_then(|at| usize::try_from(at).ok()).and_then(|at| self.all.get(at));
        by_index.or_else(|| self.by_id.get(result.rule_id.as_deref()?).copied())
    }
}

fn finding(rules: &Rules<'_>, result: &Outcome) -> Finding {
    let rule = rules.get(result);
    // Cut before anything is made of it: thousands of results may share one that is megabytes long.
    let id = line(result.rule_id.as_deref().or_else(|| rule.map(|rule| rule.id.as_str())).unwrap_or("unnamed"), MOST_PATH);
    let physical = result.locations.some.first().and_then(|location| location.physical_location.as_ref());
    let path = physical.and_then(|at| at.artifact_location.as_ref()).and_then(|artifact| artifact.uri.as_deref()).map(path_of).unwrap_or_default();
    let region = physical.and_then(|at| at.region).unwrap_or_default();
    let message = result.message.text.clone().unwrap_or_default();
    Finding {
        severity: severity(rule, result),
        fingerprint: fingerprint(result, &id, &path, &message),
        rule: id,
        message: lines(&message, MOST_TEXT),
        path: line(&path, MOST_PATH),
        line: region.start_line,
        column: region.start_column,
    }
}

fn severity(rule: Option<&Rule>, result: &Outcome) -> Severity {
    match rule.and_then(|rule| rule.properties.as_ref()).and_then(|properties| properties.security_severity.0) {
        Some(score) if score >= 9.0 => return Severity::Critical,
        Some(score) if score >= 7.0 => return Severity::High,
        Some(score) if score >= 4.0 => return Severity::Medium,
        Some(score) if score >= 0.0 => return Severity::Low,
        _ => {}
    }
    let of_rule = || rule.and_then(|rule| rule.default_configuration.as_ref()).and_then(|configuration| configuration.level.as_deref());
    match result.level.as_deref().or_else(of_rule) {
        Some("error") => Severity::High,
        Some("note" | "none") => Severity::Low,
        // The standard's default.
        _ => Severity::Medium,
    }
}

/// The scanner's own where it gives one; else of what does not change with the line.
fn fingerprint(result: &Outcome, rule: &str, path: &str, message: &str) -> String {
    if let Some(given) = &result.partial_fingerprints.value {
        return line(given, MOST_PATH);
    }
    let mut hash = Sha256::new();
    for part in ["tidegate finding 1", rule, path, message] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A URI reference back to a path, below the commit's top where it says so itself.
fn path_of(uri: &str) -> String {
    let path = decoded(uri.strip_prefix("file://").unwrap_or(uri));
    let inside = path.strip_prefix(WORKSPACE).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&path);
    inside.strip_prefix("./").unwrap_or(inside).to_owned()
}

pub(super) fn decoded(uri: &str) -> String {
    let uri = uri.as_bytes();
    let mut path = Vec::with_capacity(uri.len());
    let mut at = 0;
    while at < uri.len() {
        let digits = uri.get(at + 1..at + 3).filter(|_| uri[at] == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                path.push(byte);
                at += 3;
            }
            None => {
                path.push(uri[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&path).into_owned()
}

/// Short enough to show, and without what moves a terminal's cursor.
fn lines(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if hidden(c) && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The same of what is one line.
fn line(text: &str, most: usize) -> String {
    lines(text, most).replace('\n', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_foreign_scanners_results_are_read() {
        let text = r#"{ "version": "2.1.0", "runs": [{
            "tool": { "driver": { "name": "x", "rules": [
                { "id": "CVE-1", "properties": { "security-severity": "9.8" } }, { "id": "style", "defaultConfiguration": { "level": "note" } } ] } },
            "results": [
                { "ruleIndex": 0, "message": { "text": "bad" }, "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": "src/a%20b.rs" }, "region": { "startLine": 7 } } }] },
                { "ruleId": "style", "message": { "text": "meh\u001b[2J" } },
                { "message": { "markdown": "only" } } ] }] }"#;
        let found = read_sarif(text.as_bytes()).unwrap().findings;
        let short: Vec<_> = found.iter().map(|f| (f.rule.as_str(), f.severity, f.path.as_str(), f.line, f.message.as_str())).collect();
        assert_eq!(
            short,
            [
                ("CVE-1", Severity::Critical, "src/a b.rs", 7, "bad"),
                ("style", Severity::Low, "", 0, "meh\u{fffd}[2J"),
                ("unnamed", Severity::Medium, "", 0, "")
            ]
        );
        assert!(found.iter().all(|finding| finding.fingerprint.len() == 32));
    }

    #[test]
    fn what_is_no_sarif_is_refused_and_nothing_is_no_findings() {
        assert_eq!(read_sarif(b" \n"), Ok(Sarif::default()));
        assert!(matches!(read_sarif(br#"{"version":"1.0","runs":[]}"#), Err(SarifError::NotSarif(_))));
        assert!(matches!(read_sarif(&b" ".repeat(MOST_BYTES + 1)), Err(SarifError::TooLong { .. })));
        assert_eq!(read_sarif(b"{\"version\": \"\xff\""), Err(SarifError::NotText { at: 14 }));
        for (text, said) in [
            ("found nothing", "the findings are not SARIF 2.1.0: expected ident at line 1 column 2"),
            ("{\n\"version\": 2}", "the findings are not SARIF 2.1.0: invalid type: integer `2`, expected a string at line 2 column 12"),
            ("{\"version\": \"2.1.0\", \"runs\": 1}", "invalid type: integer `1`, expected a list at line 1 column 30"),
        ] {
            let error = read_sarif(text.as_bytes()).unwrap_err().to_string();
            assert!(error.ends_with(said), "{error}");
        }
        let runs = format!(r#"{{"version":"2.1.0","runs":[{}{{"tool":{{"driver":{{}}}}}}]}}"#, r#"{"tool":{"driver":{}}},"#.repeat(MOST_RUNS));
        assert!(matches!(read_sarif(runs.as_bytes()), Err(SarifError::NotSarif(_))));
    }

    #[test]
    fn whatever_stands_for_a_score_is_passed_over_and_an_endless_name_is_cut() {
        for (score, severity) in [
            ("9.1", Severity::Critical),
            ("7", Severity::High),
            ("\" 4.5 \"", Severity::Medium),
            ("-1", Severity::Medium),
            ("\"high\"", Severity::Medium),
            ("null", Severity::Medium),
            ("true", Severity::Medium),
            ("[0, [1], {}]", Severity::Medium),
            ("{\"a\": {\"b\": 1}}", Severity::Medium),
        ] {
            let name = "x".repeat(100_000);
            let rule = format!(r#"{{"id": "{name}", "properties": {{"security-severity": {score}}}}}"#);
            let text =
                format!(r#"{{"version": "2.1.0", "runs": [{{"tool": {{"driver": {{"rules": [{rule}]}}}}, "results": [{{"ruleIndex": 0}}]}}]}}"#);
            let found = read_sarif(text.as_bytes()).unwrap().findings;
            assert_eq!((found[0].severity, found[0].rule.len()), (severity, MOST_PATH), "{score}");
        }
    }

    #[test]
    fn a_million_results_are_counted_and_not_kept() {
        let many = format!(r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{}}}},"results":[{}{{}}]}}]}}"#, "{},".repeat(999_999));
        let found = read_sarif(many.as_bytes()).unwrap();
        assert_eq!((found.findings.len(), found.more), (MOST_RESULTS, 1_000_000 - MOST_RESULTS));
        let run = format!(r#"{{"tool":{{"driver":{{}}}},"results":[{}{{}}]}}"#, "{},".repeat(MOST_RESULTS - 1));
        let found = read_sarif(format!(r#"{{"version":"2.1.0","runs":[{run},{run}]}}"#).as_bytes()).unwrap();
        assert_eq!((found.findings.len(), found.more), (MOST_RESULTS, MOST_RESULTS));
    }

    #[test]
    fn paths_are_below_the_commit_where_they_say_so_and_hide_nothing() {
        for (uri, path) in [
            ("src/a.rs", "src/a.rs"),
            ("./src/a.rs", "src/a.rs"),
            ("file:///workspace/src/a.rs", "src/a.rs"),
            ("/workspace/src/a.rs", "src/a.rs"),
            ("/workspacesrc/a.rs", "/workspacesrc/a.rs"),
            ("file:///etc/passwd", "/etc/passwd"),
            ("../../etc/passwd", "../../etc/passwd"),
            ("a%0A%3A%3Aerror::b", "a\u{fffd}::error::b"),
            ("a\u{202e}b\u{1b}[2J", "a\u{fffd}b\u{fffd}[2J"),
            ("%ff%", "\u{fffd}%"),
        ] {
            assert_eq!(line(&path_of(uri), MOST_PATH), path, "{uri}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, uri in "[%a-f0-9/]{0,20}") {
            let _ = read_sarif(&bytes);
            let _ = path_of(&uri);
        }
    }
}
