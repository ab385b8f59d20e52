//! Findings as lines for people, and the one line that sums a scan up.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::model::finding::{Finding, Severity};

/// What a scan came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Not shown any more, past the limit.
    pub more: u64,
    pub allowed: usize,
    pub files: u64,
    pub bytes: u64,
    pub ignored: u64,
    pub took: Duration,
}

/// A line a finding, most severe first: `high  github-pat  path:line:column  what it is`. With colours; the printer takes them out where they are not wanted.
pub fn listing(findings: &[Finding]) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column))));
    let widest = sorted.iter().map(|finding| finding.rule.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in sorted {
        let style = style(finding.severity);
        let place =
            if finding.line == 0 { format!("{} (its name)", finding.path) } else { format!("{}:{}:{}", finding.path, finding.line, finding.column) };
        let _ = writeln!(text, "{style}{:<8}{style:#}  {:<widest$}  {place}  {}", finding.severity.word(), finding.rule, finding.message);
        let _ = writeln!(text, "{DIM}{:>8}  fingerprint {}{DIM:#}", "", finding.fingerprint);
    }
    text
}

const DIM: Style = Style::new().dimmed();

fn style(severity: Severity) -> Style {
    let colour = match severity {
        Severity::Critical | Severity::High => AnsiColor::Red,
        Severity::Medium => AnsiColor::Yellow,
        Severity::Low => AnsiColor::Cyan,
    };
    let style = Style::new().fg_color(Some(colour.into()));
    if severity == Severity::Critical { style.bold() } else { style }
}

/// `2 findings in 31 files (1.2 MiB) in 14 ms`.
pub fn summary(findings: usize, summary: &Summary) -> String {
    let Summary { more, allowed, files, bytes, ignored, took } = summary;
    let all = findings as u64 + more;
    let mut text = format!("{} in {} ({}) in {}", count(all, "finding"), count(*files, "file"), size(*bytes), duration(*took));
    let mut notes = Vec::new();
    if *more > 0 {
        notes.push(format!("{more} of them not shown"));
    }
    if *allowed > 0 {
        notes.push(format!("{} allowed", count(*allowed as u64, "more finding")));
    }
    if *ignored > 0 {
        notes.push(format!("{} left out that git ignores", count(*ignored, "file or folder").replace("file or folders", "files or folders")));
    }
    if !notes.is_empty() {
        let _ = write!(text, "; {}", notes.join(", "));
    }
    text
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => count(bytes, "byte"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn duration(took: Duration) -> String {
    if took.as_secs() >= 1 { format!("{:.1} s", took.as_secs_f64()) } else { format!("{} ms", took.as_millis()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_a_name_says_that_it_is_one() {
        let finding = |severity, path: &str, line| Finding {
            rule: "some-rule".into(),
            severity,
            message: "Some Key".into(),
            path: path.into(),
            line,
            column: 7,
            fingerprint: "f".repeat(32),
        };
        let text = listing(&[finding(Severity::Medium, "a", 1), finding(Severity::Critical, "b/<some-rule>.txt", 0)]);
        insta::assert_snapshot!(anstream::adapter::strip_str(&text), @r"
        critical  some-rule  b/<some-rule>.txt (its name)  Some Key
                  fingerprint ffffffffffffffffffffffffffffffff
        medium    some-rule  a:1:7  Some Key
                  fingerprint ffffffffffffffffffffffffffffffff
        ");
    }

    #[test]
    fn the_summary_counts_and_explains() {
        let clean = Summary { files: 1, bytes: 12, took: Duration::from_millis(3), ..Summary::default() };
        assert_eq!(summary(0, &clean), "0 findings in 1 file (12 bytes) in 3 ms");
        let rest = Summary { more: 2, allowed: 1, files: 31, bytes: 3 << 20, ignored: 2, took: Duration::from_millis(1_250) };
        assert_eq!(
            summary(1, &rest),
            "3 findings in 31 files (3.0 MiB) in 1.2 s; 2 of them not shown, 1 more finding allowed, 2 files or folders left out that git ignores"
        );
    }
}
