//! What holds a node up before its environment, and what lets it in: an approval, a time, and that nobody else is there.

use super::super::effect::Effect;
use super::super::state::{NodeState, Run};
use super::Deciding;
use crate::core::plan::Work;
use crate::core::trust::accepts;
use crate::model::fact::RunFact;
use crate::model::id::NodeId;
use crate::model::outcome::{Exit, Outcome};
use crate::model::policy::{Gate, PATIENCE, Voice};

impl Run {
    pub(super) fn may_approve(&self, at: usize, by: &Voice) -> Result<(), String> {
        match (&self.nodes[at].state, &self.plan.nodes[at].environment) {
            (NodeState::Held { approval: true, .. }, Some(gate)) => accepts(gate, self.plan.event.context.starters(), by),
            _ => self.misfit(at),
        }
    }

    /// Whoever may say yes may say no, also to what they have started themselves.
    pub(super) fn may_reject(&self, at: usize, by: &Voice) -> Result<(), String> {
        match (&self.nodes[at].state, &self.plan.nodes[at].environment) {
            (NodeState::Held { approval: true, .. }, Some(gate)) => accepts(gate, None, by),
            _ => self.misfit(at),
        }
    }
}

impl Deciding<'_> {
    pub(super) fn hold(&mut self, at: usize) {
        let Some(Gate { environment, protection }) = self.run.plan.nodes[at].environment.clone() else { return };
        let Some(protection) = protection else {
            let reason = format!("nobody has looked up in the policy who may deploy to {environment}");
            return self.end(at, Outcome::Failed { exit: Exit::None, reason });
        };
        let (opens, expires) = (self.now.after(protection.wait), self.now.after(PATIENCE.max(protection.wait)));
        self.record(RunFact::NodeHeld { node: self.id(at), environment, approval: protection.approvers.is_some(), opens, expires });
    }

    pub(super) fn reject(&mut self, node: NodeId, by: Voice, reason: String) {
        let Ok(at) = self.run.place(&node) else { return };
        let said = if reason.is_empty() { format!("{by} has rejected it") } else { format!("{by} has rejected it: {reason}") };
        self.record(RunFact::NodeRejected { node, by, reason });
        self.end(at, Outcome::Failed { exit: Exit::None, reason: said });
    }

    /// Nobody is waited for without end.
    pub(super) fn end_the_unapproved(&mut self) {
        for at in self.due() {
            if let (NodeState::Held { approval: true, .. }, Some(gate)) = (&self.run.nodes[at].state, &self.run.plan.nodes[at].environment) {
                let reason = format!("nobody has approved it for {} within {} days", gate.environment, PATIENCE.as_secs() / (24 * 3600));
                self.end(at, Outcome::Failed { exit: Exit::None, reason });
            }
        }
    }

    /// An invocation asks for its environment with all the other room that it needs. A deploy needs no other, and begins when it has it.
    pub(super) fn open_environments(&mut self) {
        for at in self.due() {
            let NodeState::Held { approval: false, .. } = self.run.nodes[at].state else { continue };
            let deploy = matches!(self.run.plan.nodes[at].work, Work::Deploy(_));
            if deploy && !(self.rules.room)(&self.run.plan.nodes[at].id, 1) {
                continue;
            }
            self.record(RunFact::NodeQueued { node: self.id(at) });
            if deploy {
                self.turn.effects.push(Effect::Deploy { node: self.id(at) });
            }
        }
    }

    fn due(&self) -> Vec<usize> {
        self.run.timers.range(..=(self.now, usize::MAX)).map(|(_, at)| *at).collect()
    }
}
