//! The two inputs that concern every node: somebody wants the run to stop, or nobody is left to go on with it.

use super::super::effect::Effect;
use super::super::state::NodeState;
use super::Deciding;
use crate::model::fact::RunFact;
use crate::model::id::NodeId;
use crate::model::outcome::{Outcome, RunOutcome};

impl Deciding<'_> {
    /// What has not begun ends here; what has begun is told to stop, and its end comes as an input like every other.
    /// Steps that tidy up (`always()`) are no exception: whoever cancels wants it to stop, and everything that a step made goes away with its sandbox.
    pub(super) fn cancel(&mut self, reason: String) {
        if self.run.cancel.is_none() {
            self.record(RunFact::CancelRequested { reason: reason.clone() });
            for at in 0..self.run.nodes.len() {
                let begun = self.run.running.contains(&at) || self.run.deploying.contains(&at);
                if !begun && !matches!(self.run.nodes[at].state, NodeState::Ended(_)) {
                    self.end(at, Outcome::Cancelled { reason: reason.clone() });
                }
            }
        }
        let run = &*self.run;
        for at in run.running.iter().chain(&run.deploying) {
            let node = run.plan.nodes[*at].id.clone();
            match &run.nodes[*at].state {
                NodeState::Running { attempt, .. } => self.turn.effects.push(Effect::Kill { node, attempt: *attempt }),
                NodeState::Deploying { rollout, .. } => self.turn.effects.push(Effect::Abort { node, rollout: rollout.clone() }),
                _ => {}
            }
        }
    }

    pub(super) fn interrupt(&mut self) {
        let died = || "Tidegate died while it ran".to_owned();
        for at in 0..self.run.nodes.len() {
            let idempotent = self.run.plan.nodes[at].idempotent;
            let outcome = match &self.run.nodes[at].state {
                NodeState::Ended(_) => continue,
                NodeState::Tried { outcome, .. } => outcome.clone(),
                NodeState::Running { attempt, .. } => {
                    let outcome = if idempotent { Outcome::Cancelled { reason: died() } } else { Outcome::Infrastructure { reason: died() } };
                    let attempt = *attempt;
                    self.record(lost(self.id(at), attempt, outcome.clone()));
                    outcome
                }
                NodeState::Deploying { rollout, .. } => {
                    Outcome::Infrastructure { reason: format!("Tidegate died during its rollout {rollout}, which recovers on its own") }
                }
                NodeState::Queued { .. } if self.run.deploying.contains(&at) => {
                    Outcome::Infrastructure { reason: "Tidegate died as its rollout was about to start".to_owned() }
                }
                NodeState::Waiting | NodeState::Held { .. } | NodeState::Queued { .. } | NodeState::BackingOff { .. } => {
                    Outcome::Cancelled { reason: "the run was interrupted before it could start".to_owned() }
                }
            };
            self.end(at, outcome);
        }
        self.finish(RunOutcome::Interrupted);
    }
}

/// An attempt that nobody can answer for any more.
fn lost(node: NodeId, attempt: u32, outcome: Outcome) -> RunFact {
    RunFact::InvocationEnded { node, attempt, outcome, record: None, artifacts: Vec::new(), values: Default::default(), layer: None }
}
