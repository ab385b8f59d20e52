//! Findings as SARIF 2.1.0, the form that code hosts read. Holds no secret, as a finding holds none.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::model::finding::{Finding, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// One run of one tool. Rules are listed once each, in the order of their ids.
pub fn sarif(tool: &str, version: &str, findings: &[Finding]) -> String {
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in findings {
        rules.entry(&finding.rule).or_insert(finding);
    }
    let index: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(at, id)| (*id, at)).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": tool,
                "version": version,
                "rules": rules.values().map(|finding| rule(finding)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": findings.iter().map(|finding| result(finding, index.get(finding.rule.as_str()).copied())).collect::<Vec<_>>(),
        }],
    });
    format!("{log:#}\n")
}

fn rule(finding: &Finding) -> Value {
    json!({
        "id": finding.rule,
        "shortDescription": { "text": finding.rule },
        "defaultConfiguration": { "level": level(finding.severity) },
        // What code hosts sort by.
        "properties": { "security-severity": score(finding.severity), "tags": ["security"] },
    })
}

fn result(finding: &Finding, rule: Option<usize>) -> Value {
    let mut location = json!({ "artifactLocation": { "uri": uri(&finding.path) } });
    // Line 0 is the file itself or its name: SARIF says so by leaving the region out.
    if finding.line > 0 {
        let column = (finding.column > 0).then_some(finding.column);
        location["region"] =
            column.map_or_else(|| json!({ "startLine": finding.line }), |column| json!({ "startLine": finding.line, "startColumn": column }));
    }
    json!({
        "ruleId": finding.rule,
        "ruleIndex": rule,
        "level": level(finding.severity),
        "message": { "text": finding.message },
        "locations": [{ "physicalLocation": location }],
        "partialFingerprints": { "tidegate/v1": finding.fingerprint },
        "properties": { "severity": finding.severity.word() },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "3.0",
    }
}

/// A path as a URI reference: what is special in one is escaped, byte by byte.
fn uri(path: &str) -> String {
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_a_name_look_like_this() {
        let finding = |path: &str, line| Finding {
            rule: "github-pat".into(),
            severity: Severity::Critical,
            message: "GitHub Personal Access Token".into(),
            path: path.into(),
            line,
            column: line,
            fingerprint: "0".repeat(32),
        };
        insta::assert_snapshot!(sarif("tidegate scan", "1.2.3", &[finding("a b/c:ü.txt", 3), finding("<github-pat>.txt", 0)]));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let findings: Vec<Finding> = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical]
            .into_iter()
            .map(|severity| Finding {
                rule: format!("rule-{}", severity.word()),
                severity,
                message: "What is wrong".into(),
                path: "a b/%41<ü>/c".into(),
                line: 3,
                column: 4,
                fingerprint: "0".repeat(32),
            })
            .collect();
        let read = crate::core::findings::read_sarif(sarif("t", "1", &findings).as_bytes());
        assert_eq!(read, Ok(crate::core::findings::Sarif { findings, more: 0 }));
    }

    #[test]
    fn no_findings_are_a_valid_empty_list() {
        let log: Value = serde_json::from_str(&sarif("t", "1", &[])).unwrap();
        assert_eq!(log["runs"][0]["results"], json!([]));
        assert_eq!(log["version"], "2.1.0");
    }
}
