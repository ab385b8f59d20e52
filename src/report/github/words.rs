//! The same words for pipelines and steps: signs, conclusions, and parts of what is given to templates.

use serde_json::{Value, json};

use crate::model::artifact::Artifact;
use crate::model::check::{CheckState, Conclusion};
use crate::model::egress::{Attempt, Egress, Verdict};
use crate::model::outcome::{Outcome, RunOutcome};
use crate::report::run::text::{bytes, duration};
use crate::report::run::view::{NodeView, Status};

use super::text::code;

/// Lines for each step. What they leave out is in the journal.
const MOST_BLOCKED: usize = 10;
/// Rows of a table.
pub(super) const MOST_ROWS: usize = 100;

/// Characters of a title, and of a check's name.
pub(super) const TITLE: usize = 200;

pub(super) fn state(status: &Status) -> CheckState {
    match status {
        Status::Held { approval: true, .. } => CheckState::Done(Conclusion::ActionRequired),
        Status::Waiting | Status::Held { .. } | Status::Queued => CheckState::Queued,
        Status::Running | Status::BackingOff { .. } | Status::Deploying => CheckState::Running,
        Status::Ended(outcome) => CheckState::Done(match outcome {
            Outcome::Succeeded | Outcome::Memoised { .. } => Conclusion::Success,
            // Not the commit's doing, but nobody knows whether the commit is good.
            Outcome::Failed { .. } | Outcome::Infrastructure { .. } => Conclusion::Failure,
            Outcome::TimedOut { .. } => Conclusion::TimedOut,
            Outcome::Cancelled { .. } => Conclusion::Cancelled,
            Outcome::Skipped { .. } => Conclusion::Neutral,
        }),
    }
}

pub(super) fn run_conclusion(outcome: RunOutcome, nodes: &[NodeView]) -> Conclusion {
    let ended = |is: fn(&Outcome) -> bool| nodes.iter().any(|node| matches!(&node.status, Status::Ended(outcome) if is(outcome)));
    match outcome {
        RunOutcome::Succeeded => Conclusion::Success,
        RunOutcome::Failed if ended(|it| matches!(it, Outcome::TimedOut { .. })) && !ended(|it| matches!(it, Outcome::Failed { .. })) => {
            Conclusion::TimedOut
        }
        RunOutcome::Failed | RunOutcome::Infrastructure => Conclusion::Failure,
        RunOutcome::Cancelled | RunOutcome::Interrupted => Conclusion::Cancelled,
    }
}

pub(super) fn sign(state: CheckState) -> &'static str {
    match state {
        CheckState::Queued => "⚪",
        CheckState::Running => "🔵",
        CheckState::Done(Conclusion::Success) => "✅",
        CheckState::Done(Conclusion::Failure | Conclusion::TimedOut) => "❌",
        CheckState::Done(Conclusion::Neutral) => "➖",
        CheckState::Done(Conclusion::Cancelled) => "⏹️",
        CheckState::Done(Conclusion::ActionRequired) => "✋",
    }
}

/// In words, for a person.
pub(super) fn result(status: &Status) -> &'static str {
    match status {
        Status::Waiting => "waiting",
        Status::Held { approval: true, .. } => "waiting for approval",
        Status::Held { .. } => "waiting for its environment",
        Status::Queued => "waiting for room",
        Status::Running => "running",
        Status::BackingOff { .. } => "will be tried again",
        Status::Deploying => "rolling out",
        Status::Ended(Outcome::TimedOut { .. }) => "timed out",
        Status::Ended(Outcome::Infrastructure { .. }) => "infrastructure trouble",
        Status::Ended(outcome) => outcome.word(),
    }
}

/// Only of what has ended: a time that still grows would have to be said anew all the time.
pub(super) fn took(node: &NodeView) -> String {
    match (&node.status, node.ended, node.started) {
        (Status::Ended(_), Some(ended), Some(started)) => duration(ended.since(started)),
        _ => String::new(),
    }
}

pub(super) fn artifacts<'a>(all: impl Iterator<Item = (String, &'a Artifact)>) -> Vec<Value> {
    let row =
        |(name, artifact): (String, &Artifact)| json!({ "name": code(&name), "size": bytes(artifact.size), "digest": code(artifact.digest.short()) });
    all.take(MOST_ROWS).map(row).collect()
}

/// What was kept from a step, a piece an attempt.
pub(super) fn blocked(egress: &Egress) -> Vec<String> {
    let one = |attempt: &Attempt| {
        let Verdict::Blocked { because } = &attempt.verdict else { return None };
        let times = if attempt.count > 1 { format!(", {} times", attempt.count) } else { String::new() };
        Some(format!("{} ({}{times})", code(&format!("{}:{}", attempt.host, attempt.port)), code(&because.to_string())))
    };
    let all: Vec<String> = egress.attempts.iter().filter_map(one).collect();
    let more = all.len().saturating_sub(MOST_BLOCKED);
    let mut shown: Vec<String> = all.into_iter().take(MOST_BLOCKED).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown
}
