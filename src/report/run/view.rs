//! What the facts so far say, as a person wants to see it. Never fails: a fact that is not understood changes nothing.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize as _;

use crate::core::plan::Plan;
use crate::model::artifact::Artifact;
use crate::model::event::Event;
use crate::model::fact::RunFact;
use crate::model::id::{NodeId, RolloutId, RunId};
use crate::model::invocation::InvocationRecord;
use crate::model::outcome::{Outcome, RunOutcome};
use crate::model::policy::{Gate, Voice};
use crate::model::time::Timestamp;

use super::text;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Waiting,
    /// Its environment holds it up, until somebody has approved it or not.
    Held {
        environment: String,
        approval: bool,
        opens: Timestamp,
    },
    Queued,
    Running,
    BackingOff {
        until: Timestamp,
    },
    Deploying,
    Ended(Outcome),
}

#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    pub id: NodeId,
    /// The id, clean.
    pub name: String,
    pub status: Status,
    /// The last one that was started; 0 before the first.
    pub attempt: u32,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    pub record: Option<InvocationRecord>,
    pub artifacts: Vec<Artifact>,
    pub rollout: Option<RolloutId>,
    /// What the policy said of its environment.
    pub gate: Option<Gate>,
    /// Who has let it into its environment.
    pub approved: Option<Voice>,
    /// The last line that it said, clean.
    pub log_line: String,
}

impl NodeView {
    fn new(id: NodeId) -> Self {
        let name = text::clean(id.as_str());
        let (status, log_line) = (Status::Waiting, String::new());
        let (artifacts, rollout, gate, approved) = (Vec::new(), None, None, None);
        Self { id, name, status, attempt: 0, started: None, ended: None, record: None, artifacts, rollout, gate, approved, log_line }
    }

    /// How long its last attempt (or its rollout) has taken so far.
    pub fn took(&self, now: Timestamp) -> Option<Duration> {
        self.started.map(|started| self.ended.unwrap_or(now).since(started))
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    pub run: Option<RunId>,
    pub pipeline: String,
    pub event: Option<Event>,
    pub started: Option<Timestamp>,
    pub ended: Option<(Timestamp, RunOutcome)>,
    /// Why somebody stopped it.
    pub cancel: Option<String>,
    /// In the plan's order.
    pub nodes: Vec<NodeView>,
    index: HashMap<NodeId, usize>,
}

impl View {
    pub fn of<'a>(facts: impl IntoIterator<Item = (Timestamp, &'a RunFact)>) -> Self {
        let mut view = Self::default();
        facts.into_iter().for_each(|(at, fact)| view.apply(at, fact));
        view
    }

    pub fn apply(&mut self, at: Timestamp, fact: &RunFact) {
        match fact {
            RunFact::Started { run, pipeline, event, plan } => {
                (self.run, self.event, self.started) = (Some(run.clone()), Some(event.clone()), Some(at));
                self.pipeline = text::clean(pipeline);
                for node in Plan::deserialize(plan).map(|plan| plan.nodes).unwrap_or_default() {
                    self.node(&node.id).gate = node.environment;
                }
            }
            RunFact::NodeKept { node, from, artifacts, .. } => {
                let node = self.node(node);
                node.status = Status::Ended(Outcome::Memoised { from: from.to_string() });
                (node.ended, node.artifacts) = (Some(at), artifacts.clone());
            }
            RunFact::NodeHeld { node, environment, approval, opens, expires: _ } => {
                self.node(node).status = Status::Held { environment: text::clean(environment), approval: *approval, opens: *opens };
            }
            RunFact::NodeApproved { node, by } => {
                let node = self.node(node);
                node.approved = Some(by.clone());
                if let Status::Held { approval, .. } = &mut node.status {
                    *approval = false;
                }
            }
            RunFact::NodeRejected { .. } => {}
            RunFact::NodeQueued { node } => self.node(node).status = Status::Queued,
            RunFact::InvocationStarted { node, attempt, .. } => {
                let node = self.node(node);
                (node.status, node.attempt, node.started, node.ended) = (Status::Running, *attempt, Some(at), None);
                node.log_line.clear();
            }
            RunFact::InvocationEnded { node, record, artifacts, .. } => {
                let node = self.node(node);
                (node.ended, node.record, node.artifacts) = (Some(at), record.clone(), artifacts.clone());
            }
            RunFact::RetryScheduled { node, at: until, .. } => self.node(node).status = Status::BackingOff { until: *until },
            RunFact::RolloutAttached { node, rollout } => {
                let node = self.node(node);
                (node.status, node.started, node.rollout) = (Status::Deploying, Some(at), Some(rollout.clone()));
            }
            RunFact::NodeEnded { node, outcome } => {
                let node = self.node(node);
                node.status = Status::Ended(outcome.clone());
                node.ended = node.ended.or(Some(at));
            }
            RunFact::CancelRequested { reason } => self.cancel = Some(text::clean(reason)),
            RunFact::Ended { outcome } => self.ended = Some((at, *outcome)),
        }
    }

    pub fn get(&self, node: &NodeId) -> Option<&NodeView> {
        self.index.get(node).map(|at| &self.nodes[*at])
    }

    /// Notes what a node has just said; only the last full line is kept.
    pub fn said(&mut self, node: &NodeId, line: &str) {
        let line = text::clean(line.trim_end().rsplit(['\r', '\n']).next().unwrap_or_default());
        if !line.trim().is_empty() {
            self.node(node).log_line = line;
        }
    }

    /// `main 01234567 Add a door`, as far as it is known.
    pub fn subject(&self) -> String {
        let Some(event) = &self.event else { return String::new() };
        text::clean(&format!("{} {} {}", event.branch.as_deref().unwrap_or(""), event.commit.short(), event.subject)).trim().to_owned()
    }

    pub fn took(&self, now: Timestamp) -> Duration {
        let end = self.ended.map_or(now, |(at, _)| at);
        self.started.map_or(Duration::ZERO, |started| end.since(started))
    }

    /// How many nodes stand how, in words, in the order in which people care.
    pub fn counts(&self) -> Vec<(&'static str, usize)> {
        let words = ["failed", "timed-out", "infrastructure", "cancelled", "running", "waiting", "succeeded", "memoised", "skipped"];
        let mut counts: Vec<(&'static str, usize)> = words.into_iter().map(|word| (word, 0)).collect();
        for node in &self.nodes {
            let word = match &node.status {
                Status::Waiting | Status::Held { .. } | Status::Queued | Status::BackingOff { .. } => "waiting",
                Status::Running | Status::Deploying => "running",
                Status::Ended(outcome) => outcome.word(),
            };
            if let Some(count) = counts.iter_mut().find(|count| count.0 == word) {
                count.1 += 1;
            }
        }
        counts.retain(|(_, n)| *n > 0);
        counts
    }

    fn node(&mut self, id: &NodeId) -> &mut NodeView {
        let at = *self.index.entry(id.clone()).or_insert_with(|| {
            self.nodes.push(NodeView::new(id.clone()));
            self.nodes.len() - 1
        });
        &mut self.nodes[at]
    }
}

/// Why its environment holds a node up.
pub fn held(environment: &str, approval: bool, opens: Timestamp, now: Timestamp) -> String {
    match (approval, opens > now) {
        (true, _) => format!("waits for approval: {environment}"),
        (false, true) => format!("{environment} opens in {}", text::duration(opens.since(now))),
        (false, false) => format!("waits for {environment}, where another one is"),
    }
}

/// What to say besides the word for an outcome.
pub fn reason(outcome: &Outcome) -> Option<String> {
    let reason = match outcome {
        Outcome::Succeeded => return None,
        Outcome::Failed { reason, .. } | Outcome::Cancelled { reason } | Outcome::Skipped { reason } | Outcome::Infrastructure { reason } => {
            reason.clone()
        }
        Outcome::TimedOut { after_ms } => format!("after {}", text::duration(Duration::from_millis(*after_ms))),
        Outcome::Memoised { from } => format!("as in {from}"),
    };
    Some(text::clean(&reason)).filter(|reason| !reason.is_empty())
}

/// What became of a rollout, without its reasons and numbers: these are told with the rollout.
pub fn short_reason(node: &NodeView) -> Option<String> {
    node.rollout.as_ref()?;
    match &node.status {
        Status::Ended(Outcome::Failed { reason, .. }) => {
            let word = ["rolled back", "aborted", "stuck, a person must look"].into_iter().find(|word| reason.starts_with(word));
            Some(word.unwrap_or("not rolled out").to_owned())
        }
        _ => None,
    }
}
