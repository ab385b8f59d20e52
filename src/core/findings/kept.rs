//! What stands in the record of an invocation of all that its step has found.

use crate::model::finding::{Finding, Found};

use super::sarif::{Sarif, SarifError};

/// Notes what the file says, or why it says nothing.
pub fn note(found: &mut Found, read: Result<Sarif, SarifError>) {
    let Sarif { mut findings, more } = match read {
        Ok(sarif) => sarif,
        Err(error) => {
            found.problem = Some(format!("$TIDEGATE_FINDINGS: {error}"));
            return;
        }
    };
    if more > 0 {
        found.problem = Some(format!("$TIDEGATE_FINDINGS holds {} results: the first {} were read", findings.len() + more, findings.len()));
    }
    for finding in &findings {
        *found.counts.entry(finding.severity).or_default() += 1;
    }
    // Among equals the order of the file, which is the scanner's own.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut left = Found::MOST_TEXT;
    let fits = |finding: &Finding| {
        let length = finding.rule.len() + finding.message.len() + finding.path.len() + finding.fingerprint.len();
        left = left.saturating_sub(length);
        left > 0
    };
    found.worst = findings.into_iter().take(Found::MOST).take_while(fits).collect();
}

#[cfg(test)]
mod tests {
    use crate::model::finding::Severity;

    use super::*;

    fn finding(severity: Severity, message: String) -> Finding {
        let text = String::new;
        Finding { rule: "r".into(), severity, message, path: text(), line: 0, column: 0, fingerprint: text() }
    }

    fn noted(findings: Vec<Finding>, more: usize) -> Found {
        let mut found = Found::default();
        note(&mut found, Ok(Sarif { findings, more }));
        found
    }

    #[test]
    fn the_worst_are_kept_and_all_are_counted() {
        let mut findings: Vec<Finding> = (0..2_000).map(|n| finding(Severity::Low, n.to_string())).collect();
        findings.push(finding(Severity::Critical, "last".into()));
        let found = noted(findings, 0);
        assert_eq!((found.worst.len(), found.total(), found.counts[&Severity::Low]), (Found::MOST, 2_001, 2_000));
        assert_eq!(found.worst[..3].iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>(), ["last", "0", "1"]);
        assert_eq!(found.problem, None);
    }

    #[test]
    fn the_journal_is_not_filled_by_them() {
        let found = noted((0..Found::MOST).map(|_| finding(Severity::High, "x".repeat(2_000))).collect(), 7);
        assert!(found.worst.len() > 100 && found.worst.len() < 132, "{}", found.worst.len());
        assert_eq!(found.total(), Found::MOST as u64);
        assert_eq!(found.problem.as_deref(), Some("$TIDEGATE_FINDINGS holds 507 results: the first 500 were read"));
    }

    #[test]
    fn what_can_not_be_read_is_said() {
        let mut found = Found::default();
        note(&mut found, Err(SarifError::NotText { at: 3 }));
        assert_eq!(found.problem.as_deref(), Some("$TIDEGATE_FINDINGS: the findings are not text in UTF-8: byte 3 is not"));
        assert!(found.worst.is_empty());
    }
}
