//! Plain lines, one a fact that matters: for pipes and for terminals that can not move their cursor.

use crate::model::fact::RunFact;
use crate::model::id::NodeId;
use crate::model::time::Timestamp;

use super::look::{BOLD, FAINT, Look, run_sign, sign};
use super::text::{clean, clock, duration, fit, pad, width};
use super::view::{NodeView, View, held, reason, short_reason};

/// Names take at most so many columns; longer ones push the rest of their line to the right.
const NAMES: usize = 24;

/// Turns facts into lines as they come.
#[derive(Debug, Clone)]
pub struct Plain {
    look: Look,
    view: View,
    names: usize,
}

impl Plain {
    pub fn new(look: Look) -> Self {
        Self { look, view: View::default(), names: 0 }
    }

    /// What to print for this fact, without the end of line. Not cut: a pipe has no width.
    pub fn line(&mut self, at: Timestamp, fact: &RunFact) -> Option<String> {
        self.view.apply(at, fact);
        let (who, what) = match fact {
            RunFact::Started { run, .. } => {
                let names = self.view.nodes.iter().map(|node| width(&node.name)).chain([width(&self.view.pipeline)]);
                self.names = names.max().unwrap_or(0).clamp(3, NAMES);
                (self.own_name(), format!("  run {} of {}", clean(run.as_str()), self.view.subject()))
            }
            RunFact::NodeKept { node, from, .. } => {
                (self.node(node)?.name.clone(), format!("{} memoised: as in {}", self.sign(node)?, clean(from.as_str())))
            }
            RunFact::InvocationStarted { node, attempt, .. } => (self.node(node)?.name.clone(), format!("  started (attempt {attempt})")),
            RunFact::InvocationEnded { .. } | RunFact::NodeQueued { .. } | RunFact::NodeRejected { .. } => return None,
            // Only what takes its time.
            RunFact::NodeHeld { approval: false, opens, .. } if *opens <= at => return None,
            RunFact::NodeHeld { node, environment, approval, opens, .. } => {
                (self.node(node)?.name.clone(), format!("{} {}", self.sign(node)?, held(&clean(environment), *approval, *opens, at)))
            }
            RunFact::NodeApproved { node, by } => {
                (self.node(node)?.name.clone(), format!("{} approved by {}", self.sign(node)?, clean(&by.to_string())))
            }
            RunFact::RetryScheduled { node, attempt, at: until } => {
                (self.node(node)?.name.clone(), format!("{} attempt {attempt} follows in {}", self.sign(node)?, duration(until.since(at))))
            }
            RunFact::RolloutAttached { node, rollout } => {
                (self.node(node)?.name.clone(), format!("{} rollout {}", self.sign(node)?, clean(rollout.as_str())))
            }
            RunFact::NodeEnded { node, outcome } => {
                let took = self.node(node)?.took(at).map_or_else(String::new, |took| format!(" {}", duration(took)));
                // The lines of a rollout have given its numbers already.
                let short = short_reason(self.node(node)?);
                let why = short.or_else(|| reason(outcome)).map_or_else(String::new, |why| format!(": {why}"));
                (self.node(node)?.name.clone(), format!("{} {}{took}{why}", self.sign(node)?, outcome.word()))
            }
            RunFact::CancelRequested { .. } => (self.own_name(), format!("  is being cancelled: {}", self.view.cancel.as_deref().unwrap_or(""))),
            RunFact::Ended { outcome } => {
                let (sign, style) = run_sign(*outcome);
                let took = duration(self.view.took(at));
                (self.own_name(), format!("{} {} in {took}", self.look.paint(style, sign), outcome.word()))
            }
        };
        Some(self.told(at, &who, &what))
    }

    /// A line about something else that the run does, in the same columns.
    pub fn told(&self, at: Timestamp, who: &str, what: &str) -> String {
        let time = self.look.paint(FAINT, &clock(at, self.look.utc_offset));
        format!("{time} {} {}", self.look.paint(BOLD, &pad(&fit(&clean(who), 200), self.names)), what.trim_end())
    }

    /// What a step has said, below its facts. Raw text comes in.
    pub fn said(&self, node: &NodeId, line: &str) -> String {
        let name = pad(&fit(&clean(node.as_str()), 200), self.names);
        format!("{:8} {} {} {}", "", self.look.paint(FAINT, &name), self.look.paint(FAINT, "│"), clean(line)).trim_end().to_owned()
    }

    fn own_name(&self) -> String {
        if self.view.pipeline.is_empty() { "run".to_owned() } else { self.view.pipeline.clone() }
    }

    pub fn view(&self) -> &View {
        &self.view
    }

    fn node(&self, id: &NodeId) -> Option<&NodeView> {
        self.view.get(id)
    }

    fn sign(&self, id: &NodeId) -> Option<String> {
        let (sign, style) = sign(&self.node(id)?.status);
        Some(self.look.paint(style, sign))
    }
}
