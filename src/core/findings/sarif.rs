//! SARIF 2.1.0 → findings: what a step left in `$TIDEGATE_FINDINGS`, whichever scanner wrote it.
//!
//! Reads what a gate needs and passes over the rest. Severity is `security-severity` where there is one (as code hosts read it), else the level.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::model::finding::{Finding, Severity};

/// Longest file, and most results in it.
const MOST_BYTES: usize = 16 << 20;
const MOST_RESULTS: usize = 25_000;
/// Longest text that is kept of each field.
const MOST_TEXT: usize = 2_000;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SarifError {
    #[error("the findings are {found} bytes long; at most {MOST_BYTES} are read")]
    TooLong { found: usize },
    #[error("the findings hold {found} results; at most {MOST_RESULTS} are read")]
    TooMany { found: usize },
    #[error("the findings are not SARIF 2.1.0: {0}")]
    NotSarif(String),
}

#[derive(Deserialize)]
struct Log {
    version: String,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    tool: Tool,
    #[serde(default)]
    results: Option<Vec<Outcome>>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize)]
struct Driver {
    #[serde(default)]
    rules: Vec<Rule>,
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
    security_severity: Option<serde_json::Value>,
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
    locations: Vec<Location>,
    #[serde(default)]
    partial_fingerprints: std::collections::BTreeMap<String, String>,
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

/// All results of all runs in it. An empty text is no findings: a scanner that found none may write none.
pub fn read_sarif(text: &str) -> Result<Vec<Finding>, SarifError> {
    if text.len() > MOST_BYTES {
        return Err(SarifError::TooLong { found: text.len() });
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let log: Log = serde_json::from_str(text).map_err(|error| SarifError::NotSarif(error.to_string()))?;
    if !log.version.starts_with("2.1") {
        return Err(SarifError::NotSarif(format!("version 2.1.0 was expected, found {:?}", cut(&log.version))));
    }
    let found = log.runs.iter().map(|run| run.results.as_ref().map_or(0, Vec::len)).sum();
    if found > MOST_RESULTS {
        return Err(SarifError::TooMany { found });
    }
    Ok(log.runs.iter().flat_map(|run| run.results.iter().flatten().map(|result| finding(&run.tool.driver.rules, result))).collect())
}

fn finding(rules: &[Rule], result: &Outcome) -> Finding {
    let by_index = result.rule_index.and_then(|at| usize::try_from(at).ok()).and_then(|at| rules.get(at));
    let rule = by_index.or_else(|| rules.iter().find(|rule| Some(&rule.id) == result.rule_id.as_ref()));
    let id = result.rule_id.clone().or_else(|| rule.map(|rule| rule.id.clone())).unwrap_or_else(|| "unnamed".to_owned());
    let physical = result.locations.first().and_then(|location| location.physical_location.as_ref());
    let path = physical.and_then(|at| at.artifact_location.as_ref()).and_then(|artifact| artifact.uri.as_deref()).map(path_of).unwrap_or_default();
    let region = physical.and_then(|at| at.region).unwrap_or_default();
    let message = result.message.text.clone().unwrap_or_default();
    Finding {
        severity: severity(rule, result),
        fingerprint: fingerprint(result, &id, &path, &message),
        rule: cut(&id),
        message: cut(&message),
        path: cut(&path),
        line: region.start_line,
        column: region.start_column,
    }
}

fn severity(rule: Option<&Rule>, result: &Outcome) -> Severity {
    let score = rule.and_then(|rule| rule.properties.as_ref()).and_then(|properties| properties.security_severity.as_ref());
    let score = score.and_then(|score| score.as_f64().or_else(|| score.as_str().and_then(|text| text.trim().parse().ok())));
    match score {
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
    if let Some(given) = result.partial_fingerprints.get("tidegate/v1").or_else(|| result.partial_fingerprints.values().next()) {
        return cut(given);
    }
    let mut hash = Sha256::new();
    for part in ["tidegate finding 1", rule, path, message] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A URI reference back to a path.
fn path_of(uri: &str) -> String {
    let uri = uri.strip_prefix("file://").unwrap_or(uri).as_bytes();
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
fn cut(text: &str) -> String {
    text.chars().take(MOST_TEXT).map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
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
        let found = read_sarif(text).unwrap();
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
        assert_eq!(read_sarif(" \n"), Ok(Vec::new()));
        assert!(matches!(read_sarif("found nothing"), Err(SarifError::NotSarif(_))));
        assert!(matches!(read_sarif(r#"{"version":"1.0","runs":[]}"#), Err(SarifError::NotSarif(_))));
        assert!(matches!(read_sarif(&" ".repeat(MOST_BYTES + 1)), Err(SarifError::TooLong { .. })));
        let many = format!(r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{}}}},"results":[{}{{}}]}}]}}"#, "{},".repeat(MOST_RESULTS));
        assert_eq!(read_sarif(&many), Err(SarifError::TooMany { found: MOST_RESULTS + 1 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_read_or_refused(text in ".*", uri in "[%a-f0-9/]{0,20}") {
            let _ = read_sarif(&text);
            let _ = path_of(&uri);
        }
    }
}
