//! `apply(fact)`: the only place that changes a run's state, live and in replay.

use crate::core::plan::Work;
use crate::model::fact::RunFact;
use crate::model::id::{NodeId, RolloutId, RunId};
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;

use super::state::{Kept, NodeState, PlanError, Run};

/// The facts are not those of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("the record of this run does not begin with its start")]
    NoStart,
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("the record of this run is damaged: fact {number} can not follow those before it: {why}")]
    Misfit { number: usize, why: String },
}

impl Run {
    /// The state that these facts lead to. They are applied by the same function as live.
    pub fn replay(facts: &[(Timestamp, RunFact)]) -> Result<Self, ReplayError> {
        let Some((at, RunFact::Started { run, plan, .. })) = facts.first() else {
            return Err(ReplayError::NoStart);
        };
        let mut state = Self::from_record(run.clone(), plan, *at)?;
        for (before, (at, fact)) in facts.iter().enumerate().skip(1) {
            state.apply(fact, *at).map_err(|why| ReplayError::Misfit { number: before + 1, why })?;
        }
        Ok(state)
    }

    fn from_record(id: RunId, plan: &serde_json::Value, at: Timestamp) -> Result<Self, PlanError> {
        let plan = serde::Deserialize::deserialize(plan).map_err(|error: serde_json::Error| PlanError(format!("its record is damaged: {error}")))?;
        Self::new(id, plan, at)
    }

    /// Changes the state, or nothing: the error says what the state is instead.
    pub(super) fn apply(&mut self, fact: &RunFact, at: Timestamp) -> Result<(), String> {
        if let Some(outcome) = self.ended {
            return Err(format!("the run has ended ({})", outcome.word()));
        }
        match fact {
            RunFact::Started { .. } => Err("the run has started already".to_owned()),
            RunFact::NodeKept { node, from, artifacts, values, layer } => {
                let kept = Kept { artifacts: artifacts.clone(), values: values.clone(), layer: layer.clone() };
                self.node_kept(self.place(node)?, from, kept)
            }
            RunFact::NodeHeld { node, approval, opens, expires, environment: _ } => self.held(self.place(node)?, *approval, *opens, *expires),
            RunFact::NodeApproved { node, by: _ } => self.approved(self.place(node)?),
            RunFact::NodeRejected { node, by: _, reason: _ } => match self.place(node)? {
                at if matches!(self.nodes[at].state, NodeState::Held { .. }) => Ok(()),
                at => self.misfit(at),
            },
            RunFact::NodeQueued { node } => self.queued(self.place(node)?, at),
            RunFact::InvocationStarted { node, attempt, deadline } => self.invocation_started(self.place(node)?, *attempt, *deadline, at),
            RunFact::InvocationEnded { node, attempt, outcome, artifacts, values, layer, record: _ } => {
                let kept = Kept { artifacts: artifacts.clone(), values: values.clone(), layer: layer.clone() };
                self.invocation_ended(self.place(node)?, *attempt, outcome, kept)
            }
            RunFact::RetryScheduled { node, attempt, at } => self.retry_scheduled(self.place(node)?, *attempt, *at),
            RunFact::RolloutAttached { node, rollout } => self.rollout_attached(self.place(node)?, rollout, at),
            RunFact::NodeEnded { node, outcome } => self.node_ended(self.place(node)?, outcome),
            RunFact::CancelRequested { .. } if self.cancel.is_some() => Err("the run is being cancelled already".to_owned()),
            RunFact::CancelRequested { reason } => {
                self.cancel = Some(reason.clone());
                Ok(())
            }
            RunFact::Ended { .. } if self.tally.open > 0 => Err(format!("{} nodes have not ended", self.tally.open)),
            RunFact::Ended { outcome } => {
                self.ended = Some(*outcome);
                Ok(())
            }
        }
    }

    pub(super) fn place(&self, node: &NodeId) -> Result<usize, String> {
        self.index.get(node).copied().ok_or_else(|| format!("the plan has no node {node}"))
    }

    /// What to say when a node is not where it would have to be.
    pub(super) fn misfit<T>(&self, at: usize) -> Result<T, String> {
        let id = &self.plan.nodes[at].id;
        Err(match &self.nodes[at].state {
            NodeState::Queued { attempt, .. } | NodeState::Running { attempt, .. } | NodeState::BackingOff { attempt, .. } => {
                format!("{id} is {} (attempt {attempt})", self.nodes[at].state.word())
            }
            NodeState::Ended(outcome) => format!("{id} has ended ({})", outcome.word()),
            other => format!("{id} is {}", other.word()),
        })
    }

    fn node_kept(&mut self, at: usize, from: &RunId, kept: Kept) -> Result<(), String> {
        if self.nodes[at].state != NodeState::Waiting {
            return self.misfit(at);
        }
        self.nodes[at].kept = Some(Box::new(kept));
        self.node_ended(at, &Outcome::Memoised { from: from.to_string() })
    }

    fn held(&mut self, at: usize, approval: bool, opens: Timestamp, expires: Timestamp) -> Result<(), String> {
        if self.nodes[at].state != NodeState::Waiting || self.nodes[at].open_needs > 0 || self.plan.nodes[at].environment.is_none() {
            return self.misfit(at);
        }
        self.timers.insert((if approval { expires } else { opens }, at));
        self.nodes[at].state = NodeState::Held { approval, opens, expires };
        Ok(())
    }

    fn approved(&mut self, at: usize) -> Result<(), String> {
        let NodeState::Held { approval: true, opens, expires } = self.nodes[at].state else { return self.misfit(at) };
        self.timers.remove(&(expires, at));
        self.timers.insert((opens, at));
        self.nodes[at].state = NodeState::Held { approval: false, opens, expires };
        Ok(())
    }

    fn queued(&mut self, at: usize, since: Timestamp) -> Result<(), String> {
        let attempt = match self.nodes[at].state {
            // Who has an environment is held up first, if only for a moment.
            NodeState::Waiting if self.nodes[at].open_needs == 0 && self.plan.nodes[at].environment.is_none() => 1,
            NodeState::Held { approval: false, opens, .. } if opens <= since => {
                self.timers.remove(&(opens, at));
                1
            }
            NodeState::BackingOff { attempt, until } => {
                self.timers.remove(&(until, at));
                attempt
            }
            _ => return self.misfit(at),
        };
        match self.plan.nodes[at].work {
            Work::Invoke(_) => self.queue.join(at),
            Work::Deploy(_) => _ = self.deploying.insert(at),
        }
        self.nodes[at].state = NodeState::Queued { attempt, since };
        Ok(())
    }

    fn invocation_started(&mut self, at: usize, attempt: u32, deadline: Timestamp, since: Timestamp) -> Result<(), String> {
        match (&self.nodes[at].state, &self.plan.nodes[at].work) {
            (NodeState::Queued { attempt: queued, .. }, Work::Invoke(_)) if *queued == attempt => {}
            _ => return self.misfit(at),
        }
        self.queue.start(at);
        self.running.insert(at);
        self.timers.insert((deadline, at));
        self.nodes[at].state = NodeState::Running { attempt, deadline, since };
        Ok(())
    }

    fn invocation_ended(&mut self, at: usize, attempt: u32, outcome: &Outcome, kept: Kept) -> Result<(), String> {
        match self.nodes[at].state {
            NodeState::Running { attempt: running, deadline, .. } if running == attempt => self.timers.remove(&(deadline, at)),
            _ => return self.misfit(at),
        };
        self.queue.end(at);
        self.running.remove(&at);
        self.nodes[at].kept = Some(Box::new(kept));
        self.nodes[at].state = NodeState::Tried { attempt, outcome: outcome.clone() };
        Ok(())
    }

    fn retry_scheduled(&mut self, at: usize, attempt: u32, until: Timestamp) -> Result<(), String> {
        match self.nodes[at].state {
            NodeState::Tried { attempt: tried, .. } if tried.checked_add(1) == Some(attempt) => {}
            _ => return self.misfit(at),
        }
        self.timers.insert((until, at));
        self.nodes[at].state = NodeState::BackingOff { attempt, until };
        Ok(())
    }

    fn rollout_attached(&mut self, at: usize, rollout: &RolloutId, since: Timestamp) -> Result<(), String> {
        match (&self.nodes[at].state, &self.plan.nodes[at].work) {
            (NodeState::Queued { .. }, Work::Deploy(_)) => {}
            _ => return self.misfit(at),
        }
        self.nodes[at].state = NodeState::Deploying { rollout: rollout.clone(), since };
        Ok(())
    }

    fn node_ended(&mut self, at: usize, outcome: &Outcome) -> Result<(), String> {
        match self.nodes[at].state {
            NodeState::Running { .. } | NodeState::Ended(_) => return self.misfit(at),
            NodeState::Queued { .. } | NodeState::Deploying { .. } => {
                self.queue.leave(at);
                self.deploying.remove(&at);
            }
            NodeState::BackingOff { until, .. } => _ = self.timers.remove(&(until, at)),
            NodeState::Held { approval, opens, expires } => _ = self.timers.remove(&(if approval { expires } else { opens }, at)),
            NodeState::Waiting | NodeState::Tried { .. } => {}
        }
        self.tally.open -= 1;
        match outcome {
            Outcome::Failed { .. } | Outcome::TimedOut { .. } => self.tally.failed += 1,
            Outcome::Infrastructure { .. } => self.tally.infrastructure += 1,
            Outcome::Cancelled { .. } => self.tally.cancelled += 1,
            Outcome::Succeeded | Outcome::Skipped { .. } | Outcome::Memoised { .. } => {}
        }
        let itself = !outcome.is_success() && !matches!(outcome, Outcome::Skipped { .. });
        self.nodes[at].failed = itself || self.nodes[at].needs.iter().any(|need| self.nodes[*need].failed);
        self.nodes[at].state = NodeState::Ended(outcome.clone());
        for i in 0..self.nodes[at].dependents.len() {
            let dependent = self.nodes[at].dependents[i];
            self.nodes[dependent].open_needs -= 1;
        }
        Ok(())
    }
}
