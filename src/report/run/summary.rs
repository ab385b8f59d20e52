//! The last word on a run: what each node did and took, why what failed did, what is there now. Its rollouts have summaries of their own.

use std::fmt::Write as _;
use std::time::Duration;

use crate::model::id::NodeId;
use crate::model::invocation::InvocationRecord;
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;

use super::found::{counted, found};
use super::look::{BOLD, FAINT, Look, run_sign, sign};
use super::network::network;
use super::text::{bytes, clean, count, duration, fit, pad, width, wrap, wrap_parts};
use super::view::{NodeView, Status, View, held, reason, short_reason};

/// Narrower screens than this get lines that wrap.
const NARROWEST: usize = 24;
/// Columns of the time that a node took.
const TIME: usize = 11;

/// The end of what a node said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogTail {
    pub node: NodeId,
    /// As they were said; cleaned here.
    pub lines: Vec<String>,
}

/// With a line break after every line. `tails` are shown for the nodes that went wrong; `now` stands for the end of a run that has none.
pub fn summary(view: &View, tails: &[LogTail], now: Timestamp, look: Look) -> String {
    let look = Look { width: look.width.max(NARROWEST), ..look };
    let mut out = Vec::new();
    out.extend(title(view, now, look));
    let names = view.nodes.iter().map(|node| width(&node.name)).max().unwrap_or(0).min(look.width / 4);
    view.nodes.iter().for_each(|node| out.extend(node_lines(node, names, now, look)));
    out.extend(artifacts(view, look));
    out.extend(network(view, look));
    out.extend(found(view, look));
    // Why a rollout went wrong is told with the rollout, which comes next.
    for node in view.nodes.iter().filter(|node| went_wrong(node) && node.rollout.is_none()) {
        out.extend(cause(view, node, tails, look));
    }
    out.push(String::new());
    out.extend(wrap_parts(&totals(view), look.width.saturating_sub(2)).into_iter().map(|line| format!("  {}", look.paint(FAINT, &line))));
    out.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{}", line.trim_end());
        text
    })
}

fn title(view: &View, now: Timestamp, look: Look) -> Vec<String> {
    let ((mark, style), word) = match view.ended {
        Some((_, outcome)) => (run_sign(outcome), format!("{} in {}", outcome.word(), duration(view.took(now)))),
        None => (sign(&Status::Running), format!("running for {}", duration(view.took(now)))),
    };
    let text = fit(&format!("{} {word}", view.pipeline), look.width.saturating_sub(2));
    let mut lines = vec![format!("{} {}", look.paint(style, mark), look.paint(BOLD, &text))];
    let about = fit(&view.subject(), look.width.saturating_sub(2));
    if !about.is_empty() {
        lines.push(format!("  {}", look.paint(FAINT, &about)));
    }
    if let Some(why) = &view.cancel {
        lines.push(format!("  {}", fit(&format!("cancelled: {why}"), look.width.saturating_sub(2))));
    }
    lines.push(String::new());
    lines
}

/// One line where it fits, else the details below.
fn node_lines(node: &NodeView, names: usize, now: Timestamp, look: Look) -> Vec<String> {
    let (mark, style) = sign(&node.status);
    let time = node.took(now).map_or_else(String::new, duration);
    let name = pad(&fit(&node.name, names), names);
    let head = format!("  {} {name}  {}", look.paint(style, mark), pad(&time, TIME));
    let details = details(node, now);
    let room = look.width.saturating_sub(names + TIME + 8);
    if details.is_empty() {
        return vec![head];
    }
    let one_line = details.join(" · ");
    if width(&one_line) <= room {
        return vec![format!("{head}  {}", look.paint(FAINT, &one_line))];
    }
    let below = wrap_parts(&details, look.width.saturating_sub(6));
    std::iter::once(head).chain(below.into_iter().map(|line| format!("      {}", look.paint(FAINT, &line)))).collect()
}

fn details(node: &NodeView, now: Timestamp) -> Vec<String> {
    let mut parts = Vec::new();
    let short = short_reason(node);
    match &node.status {
        Status::Ended(_) if short.is_some() => parts.extend(short.map(|short| format!("{short}, see below"))),
        Status::Ended(outcome) => match (outcome, reason(outcome)) {
            (Outcome::Succeeded, _) => {}
            (_, Some(why)) => parts.push(format!("{}: {why}", outcome.word())),
            (_, None) => parts.push(outcome.word().to_owned()),
        },
        Status::Held { environment, approval, opens } => parts.push(held(environment, *approval, *opens, now)),
        Status::Waiting | Status::Queued | Status::BackingOff { .. } => parts.push("has not run".to_owned()),
        Status::Running | Status::Deploying => parts.push("still running".to_owned()),
    }
    if node.attempt > 1 {
        parts.push(format!("attempt {}", node.attempt));
    }
    if let Some(record) = &node.record {
        parts.extend(counted(&record.found));
        if record.phases.cold_start_us() > 0 {
            parts.push(format!("cold start {}", duration(Duration::from_micros(record.phases.cold_start_us()))));
        }
        if let Some(peak) = record.peak_memory_bytes.filter(|peak| *peak > 0) {
            parts.push(format!("peak {}", bytes(peak)));
        }
        if record.discarded.files > 0 {
            let files = count(usize::try_from(record.discarded.files).unwrap_or(usize::MAX), "file");
            parts.push(format!("{files} ({}) discarded", bytes(record.discarded.bytes)));
        }
        if record.log_dropped_bytes > 0 {
            parts.push(format!("{} of log past the limit dropped", bytes(record.log_dropped_bytes)));
        }
    }
    parts
}

fn artifacts(view: &View, look: Look) -> Vec<String> {
    let mut lines = Vec::new();
    for node in &view.nodes {
        for artifact in &node.artifacts {
            if lines.is_empty() {
                lines.extend([String::new(), format!("  {}", look.paint(BOLD, "Artifacts"))]);
            }
            let name = clean(&format!("{}.{}", node.id, artifact.name));
            let facts = format!("{}  sha256:{}  {}", bytes(artifact.size), artifact.digest.short(), clean(&artifact.path));
            if width(&name) + 6 + width(&facts) <= look.width {
                lines.push(format!("    {name}  {}", look.paint(FAINT, &facts)));
            } else {
                lines.push(format!("    {}", fit(&name, look.width.saturating_sub(4))));
                lines.push(format!("      {}", look.paint(FAINT, &fit(&facts, look.width.saturating_sub(6)))));
            }
        }
    }
    lines
}

fn went_wrong(node: &NodeView) -> bool {
    matches!(&node.status, Status::Ended(Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Infrastructure { .. }))
}

fn cause(view: &View, node: &NodeView, tails: &[LogTail], look: Look) -> Vec<String> {
    let Status::Ended(outcome) = &node.status else { return Vec::new() };
    let (mark, style) = sign(&node.status);
    let why = reason(outcome).map_or_else(String::new, |why| format!(": {why}"));
    let mut heading = wrap(&format!("{} {}{why}", node.name, outcome.word()), look.width.saturating_sub(4)).into_iter();
    let mut lines = vec![String::new(), format!("  {} {}", look.paint(style, mark), look.paint(BOLD, &heading.next().unwrap_or_default()))];
    lines.extend(heading.map(|line| format!("    {}", look.paint(BOLD, &line))));
    let Some(tail) = tails.iter().find(|tail| tail.node == node.id && !tail.lines.is_empty()) else { return lines };
    for line in &tail.lines {
        lines.push(format!("    {} {}", look.paint(style, "│"), fit(&clean(line), look.width.saturating_sub(6))));
    }
    if let Some(run) = &view.run {
        let hint = clean(&format!("all of it: tidegate runs logs {run} {}", quoted(&node.id)));
        lines.extend(wrap(&hint, look.width.saturating_sub(4)).into_iter().map(|line| format!("    {}", look.paint(FAINT, &line))));
    }
    lines
}

/// As a shell takes it.
fn quoted(node: &NodeId) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if node.as_str().chars().all(plain) { node.to_string() } else { format!("'{}'", node.as_str().replace('\'', r"'\''")) }
}

fn totals(view: &View) -> Vec<String> {
    let mut parts = vec![count(view.nodes.len(), "node")];
    parts.extend(view.counts().into_iter().map(|(word, n)| format!("{n} {word}")));
    let records = || view.nodes.iter().filter_map(|node| node.record.as_ref());
    let processor: u64 = records().filter_map(InvocationRecord::cpu_us).fold(0, u64::saturating_add);
    if processor > 0 {
        let without = records().any(|record| record.started && record.cpu_us().is_none());
        let least = if without { "at least " } else { "" };
        parts.push(format!("{least}{} of processor time", duration(Duration::from_micros(processor))));
    }
    if let Some(peak) = records().filter_map(|record| record.peak_memory_bytes).max().filter(|peak| *peak > 0) {
        parts.push(format!("peak memory {}", bytes(peak)));
    }
    if let Some(run) = &view.run {
        parts.push(clean(&format!("run {run}")));
    }
    parts
}
