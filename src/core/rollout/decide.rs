//! Input → facts: what each answer means. Worked out on a copy, so that an input that does not fit leaves the rollout as it was.

use crate::core::judge::{Shortage, StageProgress, Verdict};
use crate::core::turn::Turn;
use crate::model::fact::{Batch, DecidedBy, Decision, ProviderCall, RolloutFact, RolloutOutcome};
use crate::model::release::Release;
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, TrafficSplit, Weight};

use super::effect::Effect;
use super::input::{CallFailure, IllegalInput, Input};
use super::machine::Rollout;
use super::state::{Call, State};
use super::timing;

/// What follows from an input.
pub(super) enum Act {
    /// Ask for what the new state asks for.
    Go,
    /// The same after a crash.
    GoResumed,
    /// What was asked for is still under way.
    Wait,
}

pub(super) struct Draft {
    next: Rollout,
    facts: Vec<RolloutFact>,
    now: Timestamp,
}

impl Draft {
    pub(super) fn of(rollout: &Rollout, now: Timestamp) -> Self {
        Self { next: rollout.clone(), facts: Vec::new(), now }
    }

    pub(super) fn finish(self, act: Act) -> (Rollout, Turn<RolloutFact, Effect>) {
        let effects = match act {
            Act::Go => self.next.due(self.now, false),
            Act::GoResumed => self.next.due(self.now, true),
            Act::Wait => Vec::new(),
        };
        (self.next, Turn { facts: self.facts, effects })
    }

    fn say(&mut self, fact: RolloutFact) -> Result<(), IllegalInput> {
        self.next.apply(self.now, &fact)?;
        self.facts.push(fact);
        Ok(())
    }

    /// Goes on from a state in which nothing is in the air.
    fn proceed(&mut self) -> Result<Act, IllegalInput> {
        while let Some(fact) = self.next.next_fact() {
            self.say(fact)?;
        }
        Ok(Act::Go)
    }

    pub(super) fn take(&mut self, input: Input) -> Result<Act, IllegalInput> {
        if let State::Ended { outcome } = &self.next.state {
            return match input {
                Input::Resume => Ok(Act::Go),
                // Answers to what was asked before the end.
                Input::Observed(_) | Input::ObserveFailed(_) | Input::Tick => Ok(Act::Wait),
                _ => Err(IllegalInput::Ended { outcome: outcome.word() }),
            };
        }
        let in_the_air = matches!(self.next.state.call(), Some(Call::InTheAir { .. }));
        match (&self.next.state, input) {
            (State::Publishing(_), Input::Published(release) | Input::AlreadyLive(release)) if in_the_air => self.published(release),
            (State::Publishing(_), Input::PublishFailed(failure)) if in_the_air => self.failed(ProviderCall::Publish, failure),
            (State::Prewarming { stage, .. }, Input::Prewarmed { cold_start_us }) if in_the_air => {
                let (stage, instances) = (*stage, self.next.policy.prewarm);
                self.say(RolloutFact::Prewarmed { stage, instances, cold_start_us })?;
                self.proceed()
            }
            (State::Prewarming { .. }, Input::PrewarmFailed(failure)) if in_the_air => self.failed(ProviderCall::Prewarm, failure),
            (State::Shifting { .. } | State::Promoting(_) | State::RollingBack(_), Input::Shifted { revision }) if in_the_air => {
                self.shifted(revision)
            }
            (State::Shifting { .. } | State::Promoting(_), Input::ShiftFailed(failure)) if in_the_air => self.failed(ProviderCall::Shift, failure),
            (State::RollingBack(_), Input::ShiftFailed(failure)) if in_the_air => self.failed(ProviderCall::ShiftBack, failure),
            (_, Input::Observed(batch)) if self.next.touched => self.observed(batch),
            (_, Input::ObserveFailed(failure)) if self.next.touched => self.blind(failure.reason().to_owned()),
            (_, Input::Tick) => self.tick(),
            (_, Input::Promote) => self.person(Decision::Promote, "promoted by hand".to_owned()),
            (_, Input::Abort { reason }) => self.person(Decision::Abort, reason),
            (State::Between { .. }, Input::Resume) => self.proceed().map(|_| Act::GoResumed),
            (_, Input::Resume) => Ok(Act::GoResumed),
            (_, Input::TakeBack { reason }) => self.take_back(reason),
            (state, input) => Err(IllegalInput::not_asked(&input, state)),
        }
    }

    fn published(&mut self, release: Release) -> Result<Act, IllegalInput> {
        let live = Destination::Release(release.id.clone()) == self.next.stable;
        self.say(if live { RolloutFact::AlreadyLive { release } } else { RolloutFact::Published { release } })?;
        self.proceed()
    }

    fn shifted(&mut self, revision: u64) -> Result<Act, IllegalInput> {
        let stage = match &self.next.state {
            State::Shifting { stage, .. } => Some(*stage),
            State::Promoting(_) => Some(self.next.stages.len()),
            _ => None,
        };
        let split = match stage {
            Some(stage) => self.next.split_of(stage),
            None => Some(TrafficSplit::all(self.next.stable.clone())),
        };
        if let Some(split) = split {
            self.say(RolloutFact::Shifted { stage, split, revision })?;
        }
        self.proceed()
    }

    fn observed(&mut self, batch: Batch) -> Result<Act, IllegalInput> {
        let stage = match &self.next.state {
            // What was done under the split before: it belongs to the stage before, where there was one.
            State::Observing { stage, leftover: true, .. } => stage.saturating_sub(1),
            _ => self.next.reached,
        };
        // Counts that can not be are as good as none.
        if let Err(bad) = self.next.judge.clone().update(&batch, None) {
            return self.blind(bad.to_string());
        }
        self.say(RolloutFact::Observed { stage, batch })?;
        match &self.next.state {
            State::Observing { .. } => self.weigh(true),
            State::Closing { outcome } => {
                let outcome = outcome.clone();
                self.say(RolloutFact::Ended { outcome })?;
                Ok(Act::Go)
            }
            _ => Ok(Act::Wait),
        }
    }

    /// An observation failed. A stage lives on without it until its patience is over; the last look is not worth waiting for.
    fn blind(&mut self, reason: String) -> Result<Act, IllegalInput> {
        let (attempt, retry_at) = match &self.next.state {
            State::Observing { since, misses, .. } => (misses.saturating_add(1), Some(timing::next_look(&self.next.policy, *since, self.now))),
            State::Closing { .. } => (1, None),
            _ => return Ok(Act::Wait),
        };
        self.say(RolloutFact::CallFailed { call: ProviderCall::Observe, attempt, reason, retry_at })?;
        if let State::Closing { outcome } = &self.next.state {
            let outcome = outcome.clone();
            self.say(RolloutFact::Ended { outcome })?;
            return Ok(Act::Go);
        }
        self.weigh(false)
    }

    fn tick(&mut self) -> Result<Act, IllegalInput> {
        match (&self.next.state, self.next.state.call()) {
            (_, Some(Call::Waiting { until, .. })) if self.now < until => Ok(Act::Go),
            (state, Some(Call::Waiting { .. })) => {
                let again = match state {
                    State::Publishing(_) => self.next.artifact.clone().map(|artifact| RolloutFact::PublishIntended { artifact }),
                    State::Prewarming { stage, .. } => Some(RolloutFact::PrewarmIntended { stage: *stage, instances: self.next.policy.prewarm }),
                    State::Shifting { stage, .. } => self.intend(Some(*stage)),
                    State::Promoting(_) => self.intend(Some(self.next.stages.len())),
                    _ => self.intend(None),
                };
                if let Some(fact) = again {
                    self.say(fact)?;
                }
                Ok(Act::Go)
            }
            (State::Observing { .. }, _) => match self.weigh(false)? {
                // The look that was asked for is still to come.
                Act::Go if self.facts.is_empty() => Ok(Act::Wait),
                act => Ok(act),
            },
            _ => Ok(Act::Wait),
        }
    }

    fn intend(&self, stage: Option<usize>) -> Option<RolloutFact> {
        let split = match stage {
            Some(stage) => self.next.split_of(stage)?,
            None => TrafficSplit::all(self.next.stable.clone()),
        };
        Some(RolloutFact::ShiftIntended { stage, split })
    }

    /// Asks the judge. Only a fresh observation can pass a stage: time alone never does.
    fn weigh(&mut self, fresh: bool) -> Result<Act, IllegalInput> {
        let State::Observing { stage, since, requests, .. } = self.next.state else { return Ok(Act::Wait) };
        let (hold, patience) = (self.next.policy.hold, self.next.policy.patience);
        let progress = StageProgress { elapsed: self.now.since(since), hold, patience, requests };
        let verdict = match self.next.judge.verdict(&progress) {
            Verdict::StagePassed if !fresh && progress.elapsed >= patience.max(hold) => Verdict::Inconclusive(Shortage::Blind),
            Verdict::StagePassed if !fresh => return Ok(Act::Go),
            verdict => verdict,
        };
        let record = self.next.judge.record(&verdict);
        match verdict {
            Verdict::Hold(_) => Ok(Act::Go),
            Verdict::Fail(_) | Verdict::Inconclusive(_) => {
                self.say(RolloutFact::Decided { decision: Decision::RollBack, by: DecidedBy::Judge, verdict: record })?;
                self.proceed()
            }
            Verdict::StagePassed => {
                let weight = self.next.stages.get(stage).copied().unwrap_or(Weight::ALL);
                self.say(RolloutFact::StageHeld { stage, weight, verdict: record })?;
                self.proceed()
            }
        }
    }

    fn person(&mut self, decision: Decision, reason: String) -> Result<Act, IllegalInput> {
        if matches!(self.next.state, State::Closing { .. }) {
            return Err(IllegalInput::Moved);
        }
        match &self.next.standing {
            Some(standing) if standing.is_back() => return Err(IllegalInput::GoingBack),
            Some(_) if decision == Decision::Promote => return Err(IllegalInput::Promoting),
            _ => {}
        }
        let verdict = self.next.judge.record_because(reason);
        self.say(RolloutFact::Decided { decision, by: DecidedBy::Person, verdict })?;
        match self.next.state {
            State::Between { .. } => self.proceed(),
            _ => Ok(Act::Wait),
        }
    }

    /// The safe way after a crash. Where the end is only a fact away, or the way back has been begun, that is the safe way.
    fn take_back(&mut self, reason: String) -> Result<Act, IllegalInput> {
        if let State::Closing { outcome } = &self.next.state {
            let outcome = outcome.clone();
            self.say(RolloutFact::Ended { outcome })?;
            return Ok(Act::GoResumed);
        }
        if !self.next.standing.as_ref().is_some_and(|standing| standing.is_back()) {
            let verdict = self.next.judge.record_because(reason);
            self.say(RolloutFact::Decided { decision: Decision::RollBack, by: DecidedBy::Recovery, verdict })?;
        }
        self.proceed().map(|_| Act::GoResumed)
    }

    /// A call did not do what was asked.
    fn failed(&mut self, call: ProviderCall, failure: CallFailure) -> Result<Act, IllegalInput> {
        let attempt = self.next.state.call().map_or(1, Call::attempt);
        let going_back = self.next.standing.as_ref().is_some_and(|standing| standing.is_back());
        // Forward calls are not repeated when the way leads back.
        let again =
            matches!(failure, CallFailure::Unavailable { .. }) && attempt < timing::ATTEMPTS && (!going_back || call == ProviderCall::ShiftBack);
        let retry_at = again.then(|| self.now.after(timing::retry_delay(attempt)));
        let reason = failure.reason().to_owned();
        self.say(RolloutFact::CallFailed { call, attempt, reason: reason.clone(), retry_at })?;
        if again {
            return Ok(Act::Go);
        }
        match (call, failure) {
            (ProviderCall::Shift | ProviderCall::ShiftBack, CallFailure::Conflict { .. }) => self.stuck(format!(
                "{reason}; nothing was overwritten: look at who set the split, then set it right with `tidegate rollout rollback` or a new deploy"
            )),
            (ProviderCall::ShiftBack, _) => self.stuck(format!(
                "the way back failed ({attempt} attempts): {reason}; part of the traffic may still reach the new release: mend the provider, then `tidegate rollout rollback`"
            )),
            (call, _) if !going_back => {
                let because = format!("{} failed: {reason}", call.word());
                let verdict = self.next.judge.record_because(because);
                self.say(RolloutFact::Decided { decision: Decision::RollBack, by: DecidedBy::Provider { reason }, verdict })?;
                self.proceed()
            }
            _ => self.proceed(),
        }
    }

    fn stuck(&mut self, reason: String) -> Result<Act, IllegalInput> {
        self.say(RolloutFact::Ended { outcome: RolloutOutcome::Stuck { reason } })?;
        Ok(Act::Go)
    }
}
