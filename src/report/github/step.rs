//! The check of one step.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::check::{Action, Annotation, Check, Level};
use crate::model::finding::{Finding, Severity};
use crate::model::outcome::Outcome;
use crate::report::run::text::{bytes, count, duration};
use crate::report::run::view::{NodeView, Status, reason};

use super::markdown::harmless;
use super::text::{code, fenced, plain};
use super::words::{MOST_ROWS, TITLE, artifacts, blocked, result, sign, state, took};
use super::{Name, Scene};

/// Bytes of the end of a log.
const MOST_LOG: usize = 60_000;
/// Bytes of its own summary: most of what one check shows.
const MOST_SUMMARY: usize = 32 << 10;
/// Remarks at lines of files. GitHub takes 50 at a time.
const MOST_ANNOTATIONS: usize = 500;

pub(super) fn check(scene: &Scene<'_>, node: &NodeView) -> Check {
    let state = state(&node.status);
    let found = Findings::of(scene, node);
    let over = matches!(node.status, Status::Ended(_));
    Check {
        external: scene.external(Some(&node.id)),
        name: format!("{} / {}", super::pipeline::name(&scene.view.pipeline), plain(&node.name, TITLE)),
        state,
        started: node.started,
        ended: node.ended.filter(|_| over),
        title: title(node, &found),
        summary: scene.house.templates.render(Name::Step, &data(scene, node, &found)),
        text: log(scene, node),
        // GitHub takes none back: they are said when all is known.
        annotations: if over { found.worst.iter().copied().filter_map(annotation).take(MOST_ANNOTATIONS).collect() } else { Vec::new() },
        actions: match (&node.status, over) {
            (Status::Deploying, _) => vec![Action::Promote, Action::RollBack],
            (Status::Held { approval: true, .. }, _) => vec![Action::Approve, Action::Reject],
            // At once, and not when the run has ended: that would be one more request for each step.
            (_, true) => vec![Action::Rerun],
            _ => Vec::new(),
        },
        details: scene.house.link(scene.run),
    }
}

/// Of its file of findings, and of the outputs that are such files.
struct Findings<'a> {
    worst: Vec<&'a Finding>,
    total: usize,
    problem: Option<&'a str>,
}

impl<'a> Findings<'a> {
    fn of(scene: &'a Scene<'_>, node: &'a NodeView) -> Self {
        let told = node.record.as_ref().map(|record| &record.found);
        let mut worst: Vec<&Finding> = told.map(|found| found.worst.iter().collect()).unwrap_or_default();
        let mut total = told.map_or(0, |found| usize::try_from(found.total()).unwrap_or(usize::MAX));
        let known: HashSet<&Finding> = worst.iter().copied().collect();
        // Who leaves a file in both places has not found everything twice.
        let others = scene.known.findings.get(&node.id).into_iter().flatten().filter(|finding| !known.contains(finding));
        let others: Vec<&Finding> = others.collect();
        total = total.saturating_add(others.len());
        worst.extend(others);
        worst.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Self { worst, total, problem: told.and_then(|found| found.problem.as_deref()) }
    }
}

fn title(node: &NodeView, found: &Findings<'_>) -> String {
    let why = match &node.status {
        Status::Ended(outcome) => reason(outcome).map(|why| format!(": {why}")).unwrap_or_default(),
        Status::Held { approval: true, environment, .. } => format!(": {environment}"),
        _ => String::new(),
    };
    let found = if found.total == 0 { String::new() } else { format!(", {}", count(found.total, "finding")) };
    let word = result(&node.status);
    let again = if node.attempt > 1 { format!(" (attempt {})", node.attempt) } else { String::new() };
    let mut said = format!("{word}{again}{found}{why}");
    if let Some(first) = said.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    plain(&said, TITLE)
}

fn data(scene: &Scene<'_>, node: &NodeView, found: &Findings<'_>) -> Value {
    let why = match &node.status {
        Status::Ended(outcome) => reason(outcome).map(|why| code(&why)),
        _ => None,
    };
    let why: Vec<String> = why.into_iter().chain(super::gate::said(scene, node)).collect();
    let rollout = node.rollout.as_ref().and_then(|id| scene.pictures.get(id)).map(super::pipeline::rollout_text);
    let rows: Vec<Value> = found.worst.iter().copied().take(MOST_ROWS).map(row).collect();
    let network = node.record.as_ref().map(|record| blocked(&record.egress)).unwrap_or_default();
    json!({
        "sign": sign(state(&node.status)),
        "result": result(&node.status),
        "took": took(node),
        "why": (!why.is_empty()).then(|| why.join("\n\n")),
        "details": details(node),
        "rollout": rollout,
        "found": count(found.total, "finding"),
        "more": found.total.saturating_sub(rows.len()),
        "findings": rows,
        "unread": found.problem.map(code),
        "summary": said(node),
        "artifacts": artifacts(node.artifacts.iter().map(|artifact| (artifact.name.clone(), artifact))),
        "network": network.into_iter().map(|what| json!({ "what": what })).collect::<Vec<_>>(),
    })
}

fn details(node: &NodeView) -> Vec<String> {
    let Some(record) = &node.record else { return Vec::new() };
    let mut parts = Vec::new();
    if node.attempt > 1 {
        parts.push(format!("attempt {}", node.attempt));
    }
    if let Some(image) = &record.image {
        parts.push(format!("in {} ({})", code(&image.reference), code(&image.digest)));
    }
    if record.phases.cold_start_us() > 0 {
        parts.push(format!("cold start {}", duration(Duration::from_micros(record.phases.cold_start_us()))));
    }
    if let Some(peak) = record.peak_memory_bytes.filter(|peak| *peak > 0) {
        parts.push(format!("at most {} of memory", bytes(peak)));
    }
    if record.log_dropped_bytes > 0 {
        parts.push(format!("{} of its log were over the limit and dropped", bytes(record.log_dropped_bytes)));
    }
    if !record.unheld.is_empty() {
        let names: Vec<String> = record.unheld.iter().map(|name| code(name)).collect();
        parts.push(format!("the machine could not hold: {}", names.join(", ")));
    }
    parts
}

fn log(scene: &Scene<'_>, node: &NodeView) -> String {
    let wrong = matches!(&node.status, Status::Ended(Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Infrastructure { .. }));
    let tail = scene.known.tails.iter().find(|tail| wrong && tail.node == node.id && !tail.lines.is_empty());
    let Some(tail) = tail else { return String::new() };
    let hint = code(&format!("tidegate runs logs {} {}", scene.run, node.id));
    format!("The end of its log ({hint} has all of it):\n\n{}", fenced(&tail.lines, MOST_LOG))
}

/// What it says of itself.
fn said(node: &NodeView) -> Option<String> {
    let summary = &node.record.as_ref()?.summary;
    let mut parts = vec![harmless(&summary.text, MOST_SUMMARY)];
    if summary.dropped_bytes > 0 {
        parts.push(format!("({} past the limit were dropped)", bytes(summary.dropped_bytes)));
    }
    parts.extend(summary.problem.as_deref().map(code));
    parts.retain(|part| !part.is_empty());
    Some(parts.join("\n\n")).filter(|said| !said.is_empty())
}

fn row(finding: &Finding) -> Value {
    let place = if finding.line == 0 { finding.path.clone() } else { format!("{}:{}", finding.path, finding.line) };
    json!({ "severity": finding.severity.word(), "rule": code(&finding.rule), "place": code(&place), "message": code(&finding.message) })
}

/// Where there is a file of the repository to put it to.
fn annotation(finding: &Finding) -> Option<Annotation> {
    let path = plain(&finding.path, 1000);
    // What was made harmless is no name of a file any more.
    let whole = path == finding.path && !path.contains('\u{fffd}');
    let inside = !path.is_empty() && whole && !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    inside.then(|| Annotation {
        path,
        line: finding.line.max(1),
        level: match finding.severity {
            Severity::Low => Level::Notice,
            Severity::Medium => Level::Warning,
            Severity::High | Severity::Critical => Level::Failure,
        },
        title: plain(&finding.rule, TITLE),
        message: Some(plain(&finding.message, 2_000)).filter(|message| !message.is_empty()).unwrap_or_else(|| "(without a message)".to_owned()),
    })
}
