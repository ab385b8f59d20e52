//! State → what is due: the next fact where nothing is in the air, and the effects that a state asks for.

use crate::core::judge::{Metric, Verdict};
use crate::model::fact::{DecidedBy, Decision, RolloutFact, RolloutOutcome};
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, TrafficSplit};

use super::effect::Effect;
use super::machine::Rollout;
use super::state::{Call, Standing, State};
use super::timing;

impl Rollout {
    /// The one fact that comes next where nothing is in the air: an intent, the decision to promote, or the end.
    pub(super) fn next_fact(&self) -> Option<RolloutFact> {
        let State::Between { next, warm } = self.state else { return None };
        Some(match &self.standing {
            Some(standing) if standing.is_back() => self.back(standing),
            Some(_) => self.forth(self.stages.len(), warm)?,
            // Every stage has held.
            None if next >= self.stages.len() => {
                RolloutFact::Decided { decision: Decision::Promote, by: DecidedBy::Judge, verdict: self.judge.record(&Verdict::StagePassed) }
            }
            None => self.forth(next, warm)?,
        })
    }

    fn back(&self, standing: &Standing) -> RolloutFact {
        if self.touched {
            return RolloutFact::ShiftIntended { stage: None, split: TrafficSplit::all(self.stable.clone()) };
        }
        let reason = standing.reason.clone();
        let outcome = match standing.decision {
            Decision::Abort => RolloutOutcome::Aborted { reason },
            Decision::RollBack | Decision::Promote => RolloutOutcome::Failed { reason },
        };
        RolloutFact::Ended { outcome }
    }

    fn forth(&self, stage: usize, warm: bool) -> Option<RolloutFact> {
        let Some(release) = &self.release else {
            return Some(match &self.artifact {
                Some(artifact) => RolloutFact::PublishIntended { artifact: artifact.clone() },
                None => {
                    RolloutFact::Ended { outcome: RolloutOutcome::Failed { reason: "the journal ends before it says what to publish".to_owned() } }
                }
            });
        };
        let new = Destination::Release(release.id.clone());
        if new == self.stable {
            return Some(RolloutFact::Ended { outcome: RolloutOutcome::Unchanged });
        }
        if stage >= self.stages.len() && self.in_force == TrafficSplit::all(new) {
            return Some(RolloutFact::Ended { outcome: RolloutOutcome::Promoted });
        }
        if self.policy.prewarm > 0 && !warm {
            return Some(RolloutFact::PrewarmIntended { stage, instances: self.policy.prewarm });
        }
        Some(RolloutFact::ShiftIntended { stage: Some(stage), split: self.split_of(stage)? })
    }

    /// What the state asks for. `resumed`: what was in the air may or may not have been done, so nothing that was known about the provider counts.
    pub(super) fn due(&self, now: Timestamp, resumed: bool) -> Vec<Effect> {
        if let Some(Call::Waiting { until, .. }) = self.state.call() {
            return vec![Effect::WakeAt(until)];
        }
        let effect = match &self.state {
            State::Publishing(_) => self.artifact.clone().map(|artifact| Effect::Publish { function: Box::new(self.function.clone()), artifact }),
            State::Prewarming { stage, .. } => {
                self.release.clone().map(|release| Effect::Prewarm { release, stage: *stage, instances: self.policy.prewarm })
            }
            State::Shifting { stage, .. } => self.shift(Some(*stage), resumed),
            State::Promoting(_) => self.shift(Some(self.stages.len()), resumed),
            State::RollingBack(_) => self.shift(None, resumed),
            State::Observing { leftover: false, since, .. } if !resumed => self.look(timing::next_look(&self.policy, *since, now)),
            State::Observing { misses, since, .. } if *misses > 0 => self.look(timing::next_look(&self.policy, *since, now)),
            State::Observing { .. } | State::Closing { .. } => self.look(now),
            State::Ended { outcome } => Some(Effect::Finished(outcome.clone())),
            State::Between { .. } => None,
        };
        effect.into_iter().collect()
    }

    fn shift(&self, stage: Option<usize>, resumed: bool) -> Option<Effect> {
        let split = match stage {
            Some(stage) => self.split_of(stage)?,
            None => TrafficSplit::all(self.stable.clone()),
        };
        let mut from = vec![self.in_force.clone()];
        from.extend(self.asked.iter().filter(|asked| **asked != self.in_force).cloned());
        Some(Effect::Shift { stage, split, from, expected: if resumed { None } else { self.revision } })
    }

    fn look(&self, at: Timestamp) -> Option<Effect> {
        let canary = Destination::Release(self.release.as_ref()?.id.clone());
        let slow_over = self.policy.judge.latency.as_ref().map(|latency| latency.over);
        Some(Effect::Observe { at, stable: self.stable.clone(), canary, slow_over })
    }

    /// The metric whose evidence is nearest to its threshold: what a gauge shows.
    pub fn leading_metric(&self) -> Option<&Metric> {
        self.judge.metrics().iter().max_by(|a, b| a.ln_evidence().total_cmp(&b.ln_evidence()))
    }
}
