//! What the steps of a run have found, and what they say of themselves.

use crate::model::finding::{Finding, Found, Severity, StepSummary};

use super::look::{BOLD, FAINT, Look};
use super::text::{bytes, clean, count, fit, wrap};
use super::view::{NodeView, View};

/// Findings and lines for each step. What they leave out is in the journal, and in the file of findings.
const FINDINGS: usize = 10;
const LINES: usize = 40;

/// The parts of a summary, each with an empty line before it; nothing when there is nothing to say.
pub(super) fn found(view: &View, look: Look) -> Vec<String> {
    let records = || view.nodes.iter().filter_map(|node| Some((node, node.record.as_ref()?)));
    let findings = records().filter(|(_, record)| !record.found.is_empty()).map(|(node, record)| (node, findings(&record.found, look)));
    let summaries = records().filter(|(_, record)| !record.summary.is_empty()).map(|(node, record)| (node, summary(&record.summary, look)));
    let mut out = section("Findings", findings, look);
    out.extend(section("What steps say", summaries, look));
    out
}

fn section<'a>(title: &str, nodes: impl Iterator<Item = (&'a NodeView, Vec<String>)>, look: Look) -> Vec<String> {
    let mut out = Vec::new();
    for (node, lines) in nodes.filter(|(_, lines)| !lines.is_empty()) {
        if out.is_empty() {
            out.extend([String::new(), format!("  {}", look.paint(BOLD, title))]);
        }
        out.push(format!("    {}", fit(&node.name, look.width.saturating_sub(4))));
        out.extend(lines.into_iter().map(|line| format!("      {}", look.paint(FAINT, &line))));
    }
    out
}

/// `3 findings: 1 critical, 2 low`. Nothing where there are none.
pub fn counted(found: &Found) -> Option<String> {
    if found.total() == 0 {
        return None;
    }
    let severities = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low];
    let each = severities.into_iter().filter_map(|severity| Some(format!("{} {}", found.counts.get(&severity)?, severity.word())));
    let each: Vec<String> = each.collect();
    Some(format!("{}: {}", count(usize::try_from(found.total()).unwrap_or(usize::MAX), "finding"), each.join(", ")))
}

fn findings(found: &Found, look: Look) -> Vec<String> {
    let room = look.width.saturating_sub(6);
    let mut lines: Vec<String> = counted(found).into_iter().flat_map(|line| wrap(&line, room)).collect();
    lines.extend(found.worst.iter().take(FINDINGS).map(|finding| fit(&row(finding), room)));
    let shown = u64::try_from(found.worst.len().min(FINDINGS)).unwrap_or(u64::MAX);
    if found.total() > shown {
        lines.push(fit(&format!("and {} more", found.total() - shown), room));
    }
    lines.extend(found.problem.iter().flat_map(|why| wrap(&clean(why), room)));
    lines
}

fn row(finding: &Finding) -> String {
    let place = match (finding.path.as_str(), finding.line) {
        ("", _) => String::new(),
        (path, 0) => format!("{path}  "),
        (path, line) => format!("{path}:{line}  "),
    };
    clean(&format!("{:<8}  {}  {place}{}", finding.severity.word(), finding.rule, finding.message))
}

/// As it is written, but for what commands a terminal.
fn summary(summary: &StepSummary, look: Look) -> Vec<String> {
    let room = look.width.saturating_sub(6);
    let mut lines: Vec<String> = summary.text.lines().take(LINES).map(|line| fit(clean(line).trim_end(), room)).collect();
    let more = summary.text.lines().count().saturating_sub(LINES);
    if more > 0 {
        lines.push(fit(&format!("and {more} more lines"), room));
    }
    if summary.dropped_bytes > 0 {
        lines.extend(wrap(&format!("{} past the limit were dropped", bytes(summary.dropped_bytes)), room));
    }
    lines.extend(summary.problem.iter().flat_map(|why| wrap(&clean(why), room)));
    lines
}
