//! A run as a trace: the run, its steps, their invocations and the phases of these, each with when it began and ended. From facts alone.

use std::collections::HashMap;

use crate::model::fact::{Entry, Fact, RunFact};
use crate::model::id::NodeId;
use crate::model::invocation::Phases;
use crate::model::outcome::{Outcome, RunOutcome};
use crate::model::time::Timestamp;

/// Spans of one run. One of more is told without the rest, and says so.
pub const MAX_SPANS: usize = 20_000;
/// Bytes of a text in a span.
const TEXT: usize = 500;

#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The same for the same thing, whenever it is told: unique within the run.
    pub id: String,
    /// The `id` that it is part of; of the run itself none.
    pub parent: Option<String>,
    pub name: String,
    pub begin: Timestamp,
    pub end: Timestamp,
    pub attributes: Vec<(&'static str, Value)>,
    pub events: Vec<(Timestamp, String)>,
    /// Why it did not go well.
    pub failed: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Number(u64),
}

fn text(text: &str) -> Value {
    Value::Text(short(text))
}

fn short(text: &str) -> String {
    text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= TEXT).map(|(_, c)| c).collect()
}

const ROOT: &str = "run";

/// The run first; empty if it has not ended.
pub fn spans(entries: &[Entry]) -> Vec<Span> {
    let mut all: Vec<Span> = Vec::new();
    let mut invocations: HashMap<(NodeId, u32), Timestamp> = HashMap::new();
    let mut root: Option<Span> = None;
    let mut left_out: u64 = 0;
    for Entry { at, fact, .. } in entries {
        let Fact::Run(fact) = fact else { continue };
        match fact {
            RunFact::Started { run, pipeline, event, .. } => {
                let attributes = vec![
                    ("tidegate.run", text(run.as_str())),
                    ("tidegate.pipeline", text(pipeline)),
                    ("tidegate.repository", text(&event.repository)),
                    ("tidegate.event", text(event.kind.word())),
                    ("tidegate.commit", text(event.commit.as_str())),
                ];
                root = Some(Span::new(ROOT.to_owned(), None, format!("run {pipeline}"), *at, *at, attributes));
            }
            RunFact::InvocationStarted { node, attempt, .. } => drop(invocations.insert((node.clone(), *attempt), *at)),
            RunFact::InvocationEnded { .. } if all.len() >= MAX_SPANS => left_out += 1,
            RunFact::InvocationEnded { node, attempt, outcome, record, .. } => {
                let begin = invocations.remove(&(node.clone(), *attempt)).unwrap_or(*at);
                let id = format!("{node}.{attempt}");
                let mut attributes = vec![
                    ("tidegate.node", text(node.as_str())),
                    ("tidegate.attempt", Value::Number(u64::from(*attempt))),
                    ("tidegate.outcome", text(outcome.word())),
                ];
                if let Some(record) = record {
                    attributes.extend([
                        ("tidegate.executor", text(&record.executor)),
                        ("tidegate.cold_start_us", Value::Number(record.phases.cold_start_us())),
                    ]);
                    let measured = [
                        ("tidegate.cpu_us", record.cpu_us()),
                        ("tidegate.peak_memory_bytes", record.peak_memory_bytes),
                        ("tidegate.read_bytes", record.read_bytes),
                        ("tidegate.written_bytes", record.written_bytes),
                    ];
                    attributes.extend(measured.into_iter().filter_map(|(name, figure)| Some((name, Value::Number(figure?)))));
                    if record.found.total() > 0 {
                        attributes.push(("tidegate.findings", Value::Number(record.found.total())));
                    }
                }
                let mut span = Span::new(id.clone(), Some(ROOT.to_owned()), format!("invocation {node}"), begin, *at, attributes);
                span.failed = failed(outcome);
                all.push(span);
                if let Some(record) = record {
                    all.extend(phases(&id, begin, &record.phases));
                }
            }
            RunFact::RolloutAttached { node, rollout } => {
                if let Some(root) = &mut root {
                    root.events.push((*at, short(&format!("rollout {rollout} of {node}"))));
                }
            }
            RunFact::RetryScheduled { node, attempt, .. } => {
                if let Some(root) = &mut root {
                    root.events.push((*at, short(&format!("{node} is tried again (attempt {attempt})"))));
                }
            }
            RunFact::CancelRequested { reason } => {
                if let Some(root) = &mut root {
                    root.events.push((*at, short(&format!("cancelled: {reason}"))));
                }
            }
            RunFact::NodeHeld { node, environment, .. } => {
                if let Some(root) = &mut root {
                    root.events.push((*at, short(&format!("{node} waits for {environment}"))));
                }
            }
            RunFact::NodeApproved { node, .. } | RunFact::NodeRejected { node, .. } => {
                if let Some(root) = &mut root {
                    root.events.push((*at, short(&format!("somebody has decided about {node}"))));
                }
            }
            RunFact::NodeQueued { .. } | RunFact::NodeKept { .. } | RunFact::NodeEnded { .. } => {}
            RunFact::Ended { outcome } => {
                let Some(mut root) = root.take() else { return Vec::new() };
                root.end = (*at).max(root.begin);
                root.attributes.push(("tidegate.outcome", text(outcome.word())));
                if left_out > 0 {
                    root.attributes.push(("tidegate.spans_left_out", Value::Number(left_out)));
                }
                root.events.truncate(128);
                root.failed = (*outcome != RunOutcome::Succeeded).then(|| outcome.word().to_owned());
                all.insert(0, root);
                return all;
            }
        }
    }
    Vec::new()
}

impl Span {
    fn new(id: String, parent: Option<String>, name: String, begin: Timestamp, end: Timestamp, attributes: Vec<(&'static str, Value)>) -> Self {
        Self { id, parent, name: short(&name), begin, end: end.max(begin), attributes, events: Vec::new(), failed: None }
    }
}

fn failed(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Failed { reason, .. } | Outcome::Infrastructure { reason } => Some(short(reason)),
        Outcome::TimedOut { after_ms } => Some(format!("timed out after {after_ms} ms")),
        Outcome::Succeeded | Outcome::Memoised { .. } | Outcome::Cancelled { .. } | Outcome::Skipped { .. } => None,
    }
}

/// One behind the other, from when the invocation began. Waiting for room lies before that.
fn phases(of: &str, begin: Timestamp, phases: &Phases) -> Vec<Span> {
    let all = [
        ("workspace", phases.workspace_us),
        ("setup", phases.setup_us),
        ("exec", phases.exec_us),
        ("run", phases.run_us),
        ("collect", phases.collect_us),
    ];
    let mut at = begin;
    let mut spans = Vec::new();
    for (name, us) in all {
        let end = Timestamp::from_micros(at.as_micros().saturating_add(us));
        if us > 0 {
            spans.push(Span::new(format!("{of}/{name}"), Some(of.to_owned()), name.to_owned(), at, end, Vec::new()));
        }
        at = end;
    }
    spans
}
