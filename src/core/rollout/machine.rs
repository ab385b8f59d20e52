//! The machine's outside: start, handle, replay, and what can be asked of it.

use crate::core::judge::{Baseline, Judge};
use crate::core::turn::Turn;
use crate::model::deploy::RolloutPolicy;
use crate::model::fact::{RolloutFact, RolloutOutcome};
use crate::model::function::Function;
use crate::model::id::{Digest, RolloutId, RunId};
use crate::model::release::Release;
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, TrafficSplit, Weight};

use super::apply::IllegalFact;
use super::decide::Draft;
use super::effect::Effect;
use super::input::{IllegalInput, Input};
use super::state::{Standing, State};

#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    pub(super) id: RolloutId,
    pub(super) function: Function,
    pub(super) policy: RolloutPolicy,
    pub(super) stable: Destination,
    pub(super) run: Option<RunId>,
    /// The weights to walk through. All at once is walked too: one stage with everything, from which there is still a way back.
    pub(super) stages: Vec<Weight>,
    pub(super) artifact: Option<Digest>,
    pub(super) release: Option<Release>,
    /// The split that the provider last confirmed.
    pub(super) in_force: TrafficSplit,
    /// Splits that were asked for since then and may have come into force without our knowing.
    pub(super) asked: Vec<TrafficSplit>,
    /// The provider's own number for `in_force`; `None` when it has to be read first.
    pub(super) revision: Option<u64>,
    /// A shift was asked for, ever: from then on the end needs a shift back.
    pub(super) touched: bool,
    /// The last stage that took traffic.
    pub(super) reached: usize,
    pub(super) judge: Judge,
    pub(super) standing: Option<Standing>,
    pub(super) state: State,
}

/// The facts are not those of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("the journal of the rollout does not begin with its start")]
    NoStart,
    #[error("fact {number} of the rollout does not follow from those before it: {why}")]
    Illegal { number: usize, why: IllegalFact },
}

/// What a rollout is started for.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub id: RolloutId,
    pub function: Function,
    pub policy: RolloutPolicy,
    /// Where all traffic goes now, and what people call it. The version is only for them: no decision looks at it.
    pub stable: Destination,
    pub stable_version: Option<u64>,
    pub artifact: Digest,
    pub run: Option<RunId>,
}

impl Rollout {
    pub fn start(order: Order, now: Timestamp) -> (Self, Turn<RolloutFact, Effect>) {
        let Order { id, function, policy, stable, stable_version, artifact, run } = order;
        let mut rollout = Self::new(id.clone(), function.clone(), policy.clone(), stable.clone(), run.clone());
        let started = RolloutFact::Started { rollout: id, function: Box::new(function), policy: Box::new(policy), stable, stable_version, run };
        let intended = RolloutFact::PublishIntended { artifact };
        let _fits = rollout.apply(now, &intended);
        debug_assert_eq!(_fits, Ok(()), "publishing is the first thing that a new rollout does");
        let effects = rollout.due(now, false);
        (rollout, Turn { facts: vec![started, intended], effects })
    }

    /// Takes one input. On an error nothing has changed.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Result<Turn<RolloutFact, Effect>, IllegalInput> {
        let mut draft = Draft::of(self, now);
        let act = draft.take(input)?;
        let (next, turn) = draft.finish(act);
        *self = next;
        Ok(turn)
    }

    /// The machine as it stood after these facts.
    pub fn replay(facts: &[(Timestamp, RolloutFact)]) -> Result<Self, ReplayError> {
        let Some(((_, RolloutFact::Started { rollout, function, policy, stable, run, .. }), rest)) = facts.split_first() else {
            return Err(ReplayError::NoStart);
        };
        let mut machine = Self::new(rollout.clone(), (**function).clone(), (**policy).clone(), stable.clone(), run.clone());
        for (place, (at, fact)) in rest.iter().enumerate() {
            machine.apply(*at, fact).map_err(|why| ReplayError::Illegal { number: place + 2, why })?;
        }
        Ok(machine)
    }

    /// Follows along as an observer: takes a fact that somebody else's machine has made.
    pub fn follow(&mut self, at: Timestamp, fact: &RolloutFact) -> Result<(), IllegalFact> {
        let mut next = self.clone();
        next.apply(at, fact)?;
        *self = next;
        Ok(())
    }

    fn new(id: RolloutId, function: Function, policy: RolloutPolicy, stable: Destination, run: Option<RunId>) -> Self {
        let mut stages = policy.strategy.stages();
        stages.retain(|weight| !matches!(*weight, Weight::NONE | Weight::ALL));
        let all_at_once = stages.is_empty();
        if all_at_once {
            stages.push(Weight::ALL);
        }
        // Without another release that serves at the same time there is nothing to compare with.
        let baseline = if all_at_once || stable == Destination::Vacant { Baseline::Objective } else { Baseline::Stable };
        Self {
            stages,
            judge: Judge::new(&policy.judge, baseline),
            in_force: TrafficSplit::all(stable.clone()),
            id,
            function,
            policy,
            stable,
            run,
            artifact: None,
            release: None,
            asked: Vec::new(),
            revision: None,
            touched: false,
            reached: 0,
            standing: None,
            state: State::Between { next: 0, warm: false },
        }
    }

    pub fn id(&self) -> &RolloutId {
        &self.id
    }
    pub fn function(&self) -> &Function {
        &self.function
    }
    pub fn policy(&self) -> &RolloutPolicy {
        &self.policy
    }
    pub fn stable(&self) -> &Destination {
        &self.stable
    }
    pub fn run(&self) -> Option<&RunId> {
        self.run.as_ref()
    }
    /// What is to be published.
    pub fn artifact(&self) -> Option<&Digest> {
        self.artifact.as_ref()
    }
    /// The new release, once it is published.
    pub fn release(&self) -> Option<&Release> {
        self.release.as_ref()
    }
    /// The weights of the stages; all traffic follows them.
    pub fn stages(&self) -> &[Weight] {
        &self.stages
    }
    /// The split that the provider last confirmed.
    pub fn split(&self) -> &TrafficSplit {
        &self.in_force
    }
    pub fn judge(&self) -> &Judge {
        &self.judge
    }
    pub fn state(&self) -> &State {
        &self.state
    }
    /// A decision that has been made and is being carried out.
    pub fn standing(&self) -> Option<&Standing> {
        self.standing.as_ref()
    }
    pub fn outcome(&self) -> Option<&RolloutOutcome> {
        match &self.state {
            State::Ended { outcome } => Some(outcome),
            _ => None,
        }
    }

    /// What a stage's split is; from the last stage on it is everything.
    pub(super) fn split_of(&self, stage: usize) -> Option<TrafficSplit> {
        let new = Destination::Release(self.release.as_ref()?.id.clone());
        let weight = self.stages.get(stage).copied().unwrap_or(Weight::ALL);
        Some(TrafficSplit::between(self.stable.clone(), new, weight))
    }
}
