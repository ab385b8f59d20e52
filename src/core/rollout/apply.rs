//! Fact → state: the only place where a rollout changes, live and in replay.

use crate::model::fact::{Batch, DecidedBy, Decision, ProviderCall, RolloutFact, RolloutOutcome};
use crate::model::time::Timestamp;
use crate::model::traffic::TrafficSplit;

use super::machine::Rollout;
use super::state::{Call, Standing, State};

/// A fact that can not follow on what was before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fact} while {state}")]
pub struct IllegalFact {
    fact: &'static str,
    state: String,
}

impl Rollout {
    pub(super) fn apply(&mut self, at: Timestamp, fact: &RolloutFact) -> Result<(), IllegalFact> {
        let illegal = |state: &State| IllegalFact { fact: word(fact), state: state.word().to_owned() };
        self.state = match (&self.state, fact) {
            (State::Ended { .. }, _) | (_, RolloutFact::Started { .. }) => return Err(illegal(&self.state)),
            (_, RolloutFact::Ended { outcome }) => State::Ended { outcome: outcome.clone() },

            (State::Between { .. } | State::Publishing(_), RolloutFact::PublishIntended { artifact }) if self.release.is_none() => {
                self.artifact = Some(artifact.clone());
                State::Publishing(self.another())
            }
            (State::Publishing(_), RolloutFact::Published { release } | RolloutFact::AlreadyLive { release }) => {
                self.release = Some(release.clone());
                State::Between { next: 0, warm: false }
            }

            (State::Between { .. } | State::Prewarming { .. }, RolloutFact::PrewarmIntended { stage, .. }) if *stage <= self.stages.len() => {
                State::Prewarming { stage: *stage, call: self.another() }
            }
            (State::Prewarming { .. }, RolloutFact::Prewarmed { stage, .. }) => State::Between { next: *stage, warm: true },

            (State::Between { .. } | State::Shifting { .. } | State::Promoting(_), RolloutFact::ShiftIntended { stage: Some(stage), split })
                if Some(split) == self.split_of(*stage).as_ref() =>
            {
                let call = self.another();
                self.ask(split);
                if *stage < self.stages.len() { State::Shifting { stage: *stage, call } } else { State::Promoting(call) }
            }
            (State::Between { .. } | State::RollingBack(_), RolloutFact::ShiftIntended { stage: None, split })
                if *split == TrafficSplit::all(self.stable.clone()) =>
            {
                let call = self.another();
                self.ask(split);
                State::RollingBack(call)
            }
            (State::Shifting { stage, .. }, RolloutFact::Shifted { stage: Some(shifted), split, revision }) if stage == shifted => {
                let stage = *stage;
                self.confirm(split, *revision);
                self.reached = stage;
                match self.standing {
                    Some(_) => State::Between { next: stage + 1, warm: false },
                    None => State::Observing { stage, since: at, requests: 0, leftover: true, misses: 0 },
                }
            }
            (State::Promoting(_), RolloutFact::Shifted { stage: Some(_), split, revision }) => {
                self.confirm(split, *revision);
                match &self.standing {
                    Some(standing) if standing.is_back() => State::Between { next: self.stages.len(), warm: false },
                    _ => State::Closing { outcome: RolloutOutcome::Promoted },
                }
            }
            (State::RollingBack(_), RolloutFact::Shifted { stage: None, split, revision }) => {
                self.confirm(split, *revision);
                State::Closing { outcome: self.way_back_taken() }
            }

            (_, RolloutFact::Observed { batch, .. }) if self.touched => {
                return self.observe(batch).map_err(|state| IllegalFact { fact: word(fact), state });
            }
            (State::Observing { stage, .. }, RolloutFact::StageHeld { stage: held, .. }) if stage == held => {
                State::Between { next: stage + 1, warm: false }
            }

            (_, RolloutFact::Decided { decision, by, verdict }) => {
                self.standing = Some(Standing { decision: *decision, reason: verdict.because.clone() });
                self.free(by)
            }
            (_, RolloutFact::CallFailed { call, attempt, reason: _, retry_at }) => {
                let state = self.after_failure(*call, *attempt, *retry_at).ok_or_else(|| illegal(&self.state))?;
                if matches!(call, ProviderCall::Shift | ProviderCall::ShiftBack) {
                    self.revision = None;
                }
                state
            }
            _ => return Err(illegal(&self.state)),
        };
        Ok(())
    }

    /// The next attempt at the call that the state is about, or the first at another.
    fn another(&self) -> Call {
        match self.state.call() {
            Some(Call::Waiting { attempt, .. }) => Call::InTheAir { attempt: attempt.saturating_add(1) },
            _ => Call::InTheAir { attempt: 1 },
        }
    }

    fn ask(&mut self, split: &TrafficSplit) {
        self.touched = true;
        if !self.asked.contains(split) {
            self.asked.push(split.clone());
        }
    }

    fn confirm(&mut self, split: &TrafficSplit, revision: u64) {
        self.in_force = split.clone();
        self.asked.clear();
        self.revision = Some(revision);
    }

    fn observe(&mut self, batch: &Batch) -> Result<(), String> {
        let (weight, stage_requests) = match &mut self.state {
            State::Observing { stage, requests, leftover, misses, .. } => {
                *misses = 0;
                match std::mem::replace(leftover, false) {
                    true => (None, None),
                    false => (self.stages.get(*stage).copied(), Some(requests)),
                }
            }
            _ => (None, None),
        };
        self.judge.update(batch, weight).map_err(|bad| bad.to_string())?;
        if let Some(requests) = stage_requests {
            *requests = requests.saturating_add(batch.canary.requests);
        }
        Ok(())
    }

    /// The state after a decision. A call in the air is waited for; only after a crash there is nobody left to wait for.
    fn free(&self, by: &DecidedBy) -> State {
        let next = match (&self.state, self.state.call()) {
            (state, Some(Call::InTheAir { .. })) if *by != DecidedBy::Recovery => return state.clone(),
            (State::Closing { .. }, _) => return self.state.clone(),
            (State::Between { next, .. }, _) => *next,
            (State::Prewarming { stage, .. } | State::Shifting { stage, .. } | State::Observing { stage, .. }, _) => *stage,
            _ => self.reached,
        };
        State::Between { next, warm: false }
    }

    fn after_failure(&self, failed: ProviderCall, attempt: u32, retry_at: Option<Timestamp>) -> Option<State> {
        let waiting = retry_at.map(|until| Call::Waiting { attempt, until });
        let between = |next| State::Between { next, warm: false };
        Some(match (&self.state, failed, waiting) {
            (State::Publishing(_), ProviderCall::Publish, Some(call)) => State::Publishing(call),
            (State::Publishing(_), ProviderCall::Publish, None) => between(0),
            (State::Prewarming { stage, .. }, ProviderCall::Prewarm, Some(call)) => State::Prewarming { stage: *stage, call },
            (State::Prewarming { stage, .. }, ProviderCall::Prewarm, None) => between(*stage),
            (State::Shifting { stage, .. }, ProviderCall::Shift, Some(call)) => State::Shifting { stage: *stage, call },
            (State::Shifting { stage, .. }, ProviderCall::Shift, None) => between(*stage),
            (State::Promoting(_), ProviderCall::Shift, Some(call)) => State::Promoting(call),
            (State::Promoting(_), ProviderCall::Shift, None) => between(self.stages.len()),
            (State::RollingBack(_), ProviderCall::ShiftBack, Some(call)) => State::RollingBack(call),
            (State::RollingBack(_), ProviderCall::ShiftBack, None) => between(self.reached),
            (State::Observing { stage, since, requests, leftover, .. }, ProviderCall::Observe, _) => {
                State::Observing { stage: *stage, since: *since, requests: *requests, leftover: *leftover, misses: attempt }
            }
            (state, ProviderCall::Observe, _) => state.clone(),
            _ => return None,
        })
    }

    /// How a rollout ends whose way back was taken.
    pub(super) fn way_back_taken(&self) -> RolloutOutcome {
        match &self.standing {
            Some(Standing { decision: Decision::Abort, reason }) => RolloutOutcome::Aborted { reason: reason.clone() },
            Some(Standing { reason, .. }) => RolloutOutcome::RolledBack { reason: reason.clone() },
            None => RolloutOutcome::RolledBack { reason: "no reason is recorded".to_owned() },
        }
    }
}

fn word(fact: &RolloutFact) -> &'static str {
    match fact {
        RolloutFact::Started { .. } => "started",
        RolloutFact::PublishIntended { .. } => "publish-intended",
        RolloutFact::Published { .. } => "published",
        RolloutFact::AlreadyLive { .. } => "already-live",
        RolloutFact::PrewarmIntended { .. } => "prewarm-intended",
        RolloutFact::Prewarmed { .. } => "prewarmed",
        RolloutFact::ShiftIntended { .. } => "shift-intended",
        RolloutFact::Shifted { .. } => "shifted",
        RolloutFact::Observed { .. } => "observed",
        RolloutFact::StageHeld { .. } => "stage-held",
        RolloutFact::CallFailed { .. } => "call-failed",
        RolloutFact::Decided { .. } => "decided",
        RolloutFact::Ended { .. } => "ended",
    }
}
