//! What all renderings share: the machine as an observer sees it, and what each stage did.

use crate::core::rollout::{Rollout, State};
use crate::model::fact::{ArmCounts, DecidedBy, Decision, RolloutFact, RolloutOutcome, VerdictRecord};
use crate::model::number::percent;
use crate::model::release::Release;
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, Weight};

/// Built from facts alone, in order.
#[derive(Debug, Clone)]
pub struct Picture {
    pub(super) rollout: Option<Rollout>,
    pub(super) started: Option<Timestamp>,
    pub(super) last: Timestamp,
    pub(super) stages: Vec<StageRecord>,
    /// When the way back came into force.
    pub(super) back: Option<Timestamp>,
    pub(super) decided: Option<(Timestamp, Decision, DecidedBy, VerdictRecord)>,
    /// The last call that failed and is made again.
    pub(super) trouble: Option<String>,
    /// What the provider calls the stable release.
    pub(super) stable_version: Option<u64>,
    /// The cold starts of the instances that are warm now.
    pub(super) warm: Vec<u64>,
    /// Whether the last prewarming has started any.
    pub(super) warmed_anew: bool,
}

/// One stage, as far as it has got. The last one is all traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRecord {
    pub weight: Weight,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub held: bool,
    pub stable: ArmCounts,
    pub canary: ArmCounts,
}

impl StageRecord {
    fn new(weight: Weight) -> Self {
        Self { weight, since: None, until: None, held: false, stable: ArmCounts::default(), canary: ArmCounts::default() }
    }
}

impl Default for Picture {
    fn default() -> Self {
        Self {
            rollout: None,
            started: None,
            last: Timestamp::EPOCH,
            stages: Vec::new(),
            back: None,
            decided: None,
            trouble: None,
            stable_version: None,
            warm: Vec::new(),
            warmed_anew: false,
        }
    }
}

impl Picture {
    pub fn of<'a>(facts: impl IntoIterator<Item = &'a (Timestamp, RolloutFact)>) -> Self {
        let mut picture = Self::default();
        for (at, fact) in facts {
            picture.take(*at, fact);
        }
        picture
    }

    /// Takes the next fact in. One that does not fit is passed over: a picture is no judge of journals.
    pub fn take(&mut self, at: Timestamp, fact: &RolloutFact) {
        self.last = at;
        match (&mut self.rollout, fact) {
            (None, RolloutFact::Started { stable_version, .. }) => {
                self.stable_version = *stable_version;
                self.rollout = Rollout::replay(&[(at, fact.clone())]).ok();
                self.started = Some(at);
                self.stages = self.rollout.iter().flat_map(|rollout| rollout.stages()).map(|weight| StageRecord::new(*weight)).collect();
                if self.stages.last().is_some_and(|stage| stage.weight != Weight::ALL) {
                    self.stages.push(StageRecord::new(Weight::ALL));
                }
            }
            (Some(rollout), _) => {
                let _ = rollout.follow(at, fact);
                self.note(at, fact);
            }
            (None, _) => {}
        }
    }

    fn note(&mut self, at: Timestamp, fact: &RolloutFact) {
        self.trouble = None;
        match fact {
            RolloutFact::Shifted { stage, .. } => {
                for record in self.stages.iter_mut().filter(|record| record.since.is_some() && record.until.is_none()) {
                    record.until = Some(at);
                }
                match stage.and_then(|stage| self.stages.get_mut(stage)) {
                    Some(record) => record.since = Some(at),
                    None => self.back = Some(at),
                }
            }
            RolloutFact::Observed { stage, batch } => {
                if let Some(record) = self.stages.get_mut(*stage) {
                    record.stable.add(&batch.stable);
                    record.canary.add(&batch.canary);
                }
            }
            RolloutFact::Prewarmed { cold_start_us, .. } => {
                self.warmed_anew = self.warm != *cold_start_us;
                self.warm.clone_from(cold_start_us);
            }
            RolloutFact::StageHeld { stage, .. } => {
                if let Some(record) = self.stages.get_mut(*stage) {
                    record.held = true;
                }
            }
            RolloutFact::Decided { decision, by, verdict } => self.decided = Some((at, *decision, by.clone(), verdict.clone())),
            RolloutFact::CallFailed { call, reason, retry_at: Some(_), .. } => {
                self.trouble = Some(format!("{} failed, trying again: {reason}", call.word()))
            }
            _ => {}
        }
    }

    pub fn outcome(&self) -> Option<&RolloutOutcome> {
        self.rollout.as_ref().and_then(Rollout::outcome)
    }

    /// The machine as an observer sees it; `None` before the first fact.
    pub fn rollout(&self) -> Option<&Rollout> {
        self.rollout.as_ref()
    }

    pub(super) fn state(&self) -> Option<&State> {
        self.rollout.as_ref().map(Rollout::state)
    }

    /// Those below 100 %, then all traffic.
    pub fn stages(&self) -> &[StageRecord] {
        &self.stages
    }

    pub fn function(&self) -> &str {
        self.rollout.as_ref().map_or("?", |rollout| &rollout.function().name)
    }

    /// "v3"; "the new release" before it has a number.
    pub(super) fn new_name(&self) -> String {
        self.rollout.as_ref().and_then(Rollout::release).map_or_else(|| "new release".to_owned(), version)
    }

    /// How the other side is called: "v2", its digest where no version is known, its address, or that there is none.
    pub(super) fn stable_name(&self) -> String {
        match (self.rollout.as_ref().map(Rollout::stable), self.stable_version) {
            (Some(Destination::Release(_)), Some(version)) => format!("v{version}"),
            (Some(Destination::Release(id)), None) => format!("stable {}", id.digest().hex().get(..7).unwrap_or_default()),
            (Some(Destination::Upstream(url)), _) => url.clone(),
            (Some(Destination::Vacant) | None, _) => "nothing yet".to_owned(),
        }
    }

    /// What it means that there is no older release; nothing where there is one.
    pub(super) fn first_means(&self) -> Option<String> {
        let objective = self.rollout.as_ref().filter(|_| self.is_first())?.policy().judge.errors.objective;
        Some(format!("first release, nothing to compare with: at most {} of requests may fail", percent(objective)))
    }

    pub(super) fn is_first(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| *rollout.stable() == Destination::Vacant)
    }

    /// Requests that clients sent to either side since the first shift, and what became of them.
    pub(super) fn totals(&self) -> (ArmCounts, ArmCounts) {
        self.rollout.as_ref().map(|rollout| (*rollout.judge().canary(), *rollout.judge().stable())).unwrap_or_default()
    }
}

pub(super) fn version(release: &Release) -> String {
    format!("v{}", release.version)
}
