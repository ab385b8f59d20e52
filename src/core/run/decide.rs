//! `handle`: which facts follow from an input, and what the outside must do about them.
//!
//! Every turn goes the same way: the input's own fact, then what it means for its node, then everything that has become decidable (`settle`): nodes whose
//! needs have ended, retries that are due, room in the queue, the end of the run. So a message that was lost is made up for by the next one.

mod environment;
mod stop;

use std::collections::VecDeque;

use crate::core::plan::{Condition, Plan, Work};
use crate::core::turn::Turn;
use crate::model::fact::{RolloutOutcome, RunFact};
use crate::model::id::{InvocationId, NodeId, RunId};
use crate::model::invocation::InvocationResult;
use crate::model::outcome::{Exit, Outcome, RunOutcome};
use crate::model::time::Timestamp;

use super::Rules;
use super::effect::Effect;
use super::input::{IllegalInput, Input};
use super::retry::next_attempt;
use super::state::{Kept, NodeState, PlanError, Run};

impl Run {
    /// The first turn of a run. Fails only for a plan that `core::plan` would not have made.
    pub fn start(id: RunId, plan: Plan, rules: Rules<'_>, now: Timestamp) -> Result<(Self, Turn<RunFact, Effect>), PlanError> {
        Self::start_again(id, plan, Vec::new(), rules, now)
    }

    /// The first turn of a run that repeats a part of an earlier one: `kept` nodes have left already what they leave, and are not run.
    pub fn start_again(
        id: RunId,
        plan: Plan,
        kept: Vec<(NodeId, RunId, Kept)>,
        rules: Rules<'_>,
        now: Timestamp,
    ) -> Result<(Self, Turn<RunFact, Effect>), PlanError> {
        let record = serde_json::to_value(&plan).map_err(|error| PlanError(error.to_string()))?;
        let started = RunFact::Started { run: id.clone(), pipeline: plan.pipeline.clone(), event: plan.event.clone(), plan: record };
        let mut run = Self::new(id, plan, now)?;
        let mut deciding = Deciding::new(&mut run, rules, now);
        deciding.turn.facts.push(started);
        for (node, from, Kept { artifacts, values, layer }) in kept {
            deciding.run.place(&node).map_err(PlanError)?;
            deciding.record(RunFact::NodeKept { node, from, artifacts, values, layer });
        }
        let open = |node: &super::state::NodeRun| node.open_needs == 0 && node.state == NodeState::Waiting;
        deciding.decidable = (0..deciding.run.nodes.len()).filter(|at| open(&deciding.run.nodes[*at])).collect();
        let turn = deciding.settle();
        Ok((run, turn))
    }

    /// What follows from an input. An error changes nothing.
    pub fn handle(&mut self, input: Input, rules: Rules<'_>, now: Timestamp) -> Result<Turn<RunFact, Effect>, IllegalInput> {
        if let Err(state) = self.fits(&input) {
            return Err(IllegalInput { state, input: Box::new(input) });
        }
        if self.ended.is_some() {
            return Ok(Turn::nothing());
        }
        let mut deciding = Deciding::new(self, rules, now);
        match input {
            Input::InvocationEnded { node, attempt, result } => deciding.invocation_ended(node, attempt, *result),
            Input::RolloutAttached { node, rollout } => {
                deciding.record(RunFact::RolloutAttached { node: node.clone(), rollout: rollout.clone() });
                if deciding.run.cancel.is_some() {
                    deciding.turn.effects.push(Effect::Abort { node, rollout });
                }
            }
            Input::RolloutEnded { node, outcome } => deciding.rollout_ended(&node, outcome),
            Input::Approved { node, by } => _ = deciding.record(RunFact::NodeApproved { node, by }),
            Input::Rejected { node, by, reason } => deciding.reject(node, by, reason),
            Input::Tick => deciding.kill_the_late(),
            Input::Cancel { reason } => deciding.cancel(reason),
            Input::Interrupted => deciding.interrupt(),
        }
        Ok(deciding.settle())
    }

    /// Whether the state is one that this input can come in.
    fn fits(&self, input: &Input) -> Result<(), String> {
        if let (Some(outcome), false) = (self.ended, matches!(input, Input::Tick)) {
            return Err(format!("the run has ended ({})", outcome.word()));
        }
        match input {
            Input::Tick | Input::Cancel { .. } | Input::Interrupted => Ok(()),
            Input::Approved { node, by } => self.may_approve(self.place(node)?, by),
            Input::Rejected { node, by, .. } => self.may_reject(self.place(node)?, by),
            Input::InvocationEnded { node, attempt, .. } => match self.place(node)? {
                at if matches!(self.nodes[at].state, NodeState::Running { attempt: running, .. } if running == *attempt) => Ok(()),
                at => self.misfit(at),
            },
            Input::RolloutAttached { node, .. } => match self.place(node)? {
                at if self.deploying.contains(&at) && matches!(self.nodes[at].state, NodeState::Queued { .. }) => Ok(()),
                at => self.misfit(at),
            },
            Input::RolloutEnded { node, .. } => match self.place(node)? {
                at if self.deploying.contains(&at) => Ok(()),
                at => self.misfit(at),
            },
        }
    }
}

/// One turn in the making.
struct Deciding<'a> {
    run: &'a mut Run,
    rules: Rules<'a>,
    now: Timestamp,
    turn: Turn<RunFact, Effect>,
    /// Nodes whose needs have all ended in this turn.
    decidable: VecDeque<usize>,
}

impl<'a> Deciding<'a> {
    fn new(run: &'a mut Run, rules: Rules<'a>, now: Timestamp) -> Self {
        Self { run, rules, now, turn: Turn::nothing(), decidable: VecDeque::new() }
    }

    /// A fact takes effect as it is decided, through the function that replays it.
    ///
    /// Answers whether it did: it always does, unless `decide` and `apply` disagree, and then nothing is journaled that replay would choke on.
    fn record(&mut self, fact: RunFact) -> bool {
        match self.run.apply(&fact, self.now) {
            Ok(()) => self.turn.facts.push(fact),
            Err(why) => {
                debug_assert!(false, "a fact was decided that does not fit the state it was decided from: {fact:?}: {why}");
                return false;
            }
        }
        true
    }

    fn id(&self, at: usize) -> NodeId {
        self.run.plan.nodes[at].id.clone()
    }

    fn end(&mut self, at: usize, outcome: Outcome) {
        self.record(RunFact::NodeEnded { node: self.id(at), outcome });
        let run = &*self.run;
        self.decidable.extend(run.nodes[at].dependents.iter().filter(|dependent| run.nodes[**dependent].open_needs == 0));
    }

    fn invocation_ended(&mut self, node: NodeId, attempt: u32, result: InvocationResult) {
        let Some(&at) = self.run.index.get(&node) else { return };
        let outcome = self.judged(at, result.outcome);
        let started = result.record.started;
        self.record(RunFact::InvocationEnded {
            node,
            attempt,
            outcome: outcome.clone(),
            record: Some(result.record),
            artifacts: result.artifacts,
            values: result.values,
            layer: result.layer.map(|path| path.to_string_lossy().into_owned()),
        });
        self.after(at, attempt, started, outcome);
    }

    /// An invocation that was killed because its time was over has timed out, whoever noticed it first. It had the time that its step has, not what was left
    /// of that when its process began.
    fn judged(&self, at: usize, outcome: Outcome) -> Outcome {
        let NodeState::Running { deadline, since, .. } = &self.run.nodes[at].state else { return outcome };
        let timed_out = || Outcome::TimedOut { after_ms: u64::try_from(deadline.since(*since).as_millis()).unwrap_or(u64::MAX) };
        match outcome {
            Outcome::TimedOut { .. } => timed_out(),
            Outcome::Cancelled { .. } if self.run.cancel.is_none() && *deadline <= self.now => timed_out(),
            outcome => outcome,
        }
    }

    /// Again, or over.
    fn after(&mut self, at: usize, attempt: u32, started: bool, outcome: Outcome) {
        let retry = &self.run.plan.nodes[at].retry;
        match next_attempt(retry, attempt, started, &outcome) {
            Some(next) if self.run.cancel.is_none() => {
                let due = self.now.after(retry.delay);
                self.record(RunFact::RetryScheduled { node: self.id(at), attempt: next, at: due });
            }
            _ => self.end(at, outcome),
        }
    }

    fn rollout_ended(&mut self, node: &NodeId, outcome: RolloutOutcome) {
        let Some(&at) = self.run.index.get(node) else { return };
        let failed = |reason| Outcome::Failed { exit: Exit::None, reason };
        let outcome = match outcome {
            RolloutOutcome::Promoted | RolloutOutcome::Unchanged => Outcome::Succeeded,
            RolloutOutcome::Aborted { reason } if self.run.cancel.is_some() => Outcome::Cancelled { reason },
            RolloutOutcome::RolledBack { reason } => failed(format!("rolled back: {reason}")),
            RolloutOutcome::Aborted { reason } => failed(format!("aborted: {reason}")),
            RolloutOutcome::Failed { reason } => failed(reason),
            RolloutOutcome::Stuck { reason } => failed(format!("stuck, a person must look: {reason}")),
        };
        self.end(at, outcome);
    }

    fn kill_the_late(&mut self) {
        let run = &*self.run;
        for (_, at) in run.timers.range(..=(self.now, usize::MAX)) {
            if let NodeState::Running { attempt, .. } = run.nodes[*at].state {
                self.turn.effects.push(Effect::Kill { node: run.plan.nodes[*at].id.clone(), attempt });
            }
        }
    }

    /// Everything that can be decided now.
    fn settle(mut self) -> Turn<RunFact, Effect> {
        if self.run.ended.is_none() {
            self.end_the_unapproved();
            self.decide_nodes();
            self.queue_due_retries();
            self.open_environments();
            self.fill_room();
            match self.run.tally.open {
                0 => self.finish(self.run.verdict()),
                _ => self.ask_for_a_wake_up(),
            }
        }
        self.turn
    }

    fn decide_nodes(&mut self) {
        while let Some(at) = self.decidable.pop_front() {
            if !matches!(self.run.nodes[at].state, NodeState::Waiting) {
                continue;
            }
            match self.verdict_on(at) {
                Some(outcome) => self.end(at, outcome),
                None if self.run.plan.nodes[at].environment.is_some() => self.hold(at),
                None => {
                    self.record(RunFact::NodeQueued { node: self.id(at) });
                    if let Work::Deploy(_) = self.run.plan.nodes[at].work {
                        self.turn.effects.push(Effect::Deploy { node: self.id(at) });
                    }
                }
            }
        }
    }

    /// How a node ends without having run; `None` when it shall run.
    fn verdict_on(&self, at: usize) -> Option<Outcome> {
        let view = self.run.view(at);
        let skipped = |reason| Some(Outcome::Skipped { reason });
        match &self.run.plan.nodes[at].condition {
            Condition::Never { because } => skipped(because.clone()),
            Condition::NeedsSucceeded => view.succeeded().err().and_then(skipped),
            Condition::Cel { source, even_after_failure, known } => match view.succeeded() {
                Err(reason) if !even_after_failure => skipped(reason),
                _ => match (self.rules.condition)(source, known, &view) {
                    Ok(true) => None,
                    Ok(false) => skipped(format!("its condition does not hold: {source}")),
                    Err(why) => Some(Outcome::Failed { exit: Exit::None, reason: format!("its condition can not be decided: {source}: {why}") }),
                },
            },
        }
    }

    fn queue_due_retries(&mut self) {
        let run = &*self.run;
        let due: Vec<usize> = run.timers.range(..=(self.now, usize::MAX)).map(|(_, at)| *at).collect();
        for at in due {
            if let NodeState::BackingOff { .. } = self.run.nodes[at].state {
                self.record(RunFact::NodeQueued { node: self.id(at) });
            }
        }
    }

    fn fill_room(&mut self) {
        let mut past = None;
        while self.run.running.len() < self.rules.parallel.get() {
            let Some((head, at)) = self.run.queue.first(past) else { return };
            let NodeState::Queued { attempt, .. } = self.run.nodes[at].state else { return };
            if !(self.rules.room)(&self.run.plan.nodes[at].id, attempt) {
                // Others of its step have no more room than it has, and those of other steps do not wait for it.
                past = Some(head);
                continue;
            }
            let (node, deadline) = (self.id(at), self.now.after(self.run.plan.nodes[at].timeout));
            let invocation = InvocationId::of(&self.run.id, &node, attempt);
            if !self.record(RunFact::InvocationStarted { node: node.clone(), attempt, deadline }) {
                return;
            }
            self.turn.effects.push(Effect::Invoke { node, attempt, invocation, deadline });
        }
    }

    fn finish(&mut self, outcome: RunOutcome) {
        self.record(RunFact::Ended { outcome });
        self.turn.effects.push(Effect::Finished { outcome });
    }

    fn ask_for_a_wake_up(&mut self) {
        let later = self.run.timers.iter().find(|(when, _)| *when > self.now);
        if let Some((when, _)) = later {
            self.turn.effects.push(Effect::WakeAt(*when));
        }
    }
}

impl Run {
    /// A cancelled run is cancelled, whatever else went wrong in it; a step's own failure outweighs ours.
    fn verdict(&self) -> RunOutcome {
        match self.tally {
            tally if tally.cancelled > 0 => RunOutcome::Cancelled,
            tally if tally.failed > 0 => RunOutcome::Failed,
            tally if tally.infrastructure > 0 => RunOutcome::Infrastructure,
            _ => RunOutcome::Succeeded,
        }
    }
}
