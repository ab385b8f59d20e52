//! Random inputs in random order, and a random provider that behaves.

use std::time::Duration;

use proptest::prelude::*;

use super::world::*;
use crate::core::rollout::{CallFailure, Effect, Input, Rollout, State};
use crate::model::deploy::{RolloutPolicy, Strategy as Move};
use crate::model::fact::{Batch, Decision, RolloutFact, RolloutOutcome};
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, TrafficSplit, Weight};

fn policies() -> impl Strategy<Value = RolloutPolicy> {
    let moves = prop_oneof![
        Just(Move::AllAtOnce),
        prop::collection::btree_set(1_u16..100, 0..4).prop_map(|set| Move::Canary { stages: set.into_iter().map(weight).collect() }),
        (10_u16..60).prop_map(|step| Move::Linear { step: weight(step) }),
    ];
    (moves, 0_u64..5, 0_u64..12, 0_u32..3, 0_u64..80).prop_map(|(strategy, hold, patience, prewarm, samples)| {
        let mut policy = canary(&[]);
        policy.judge.samples = samples;
        RolloutPolicy { strategy, hold: Duration::from_secs(hold), patience: Duration::from_secs(patience), prewarm, ..policy }
    })
}

fn stables() -> impl Strategy<Value = Destination> {
    prop_oneof![4 => Just(destination(OLD)), 1 => Just(Destination::Vacant), 1 => Just(destination(NEW)), 1 => Just(Destination::Upstream("http://legacy".to_owned()))]
}

fn failures() -> impl Strategy<Value = CallFailure> {
    let reason = || "no".to_owned();
    prop_oneof![
        5 => Just(CallFailure::Unavailable { reason: reason() }),
        1 => Just(CallFailure::Rejected { reason: reason() }),
        1 => Just(CallFailure::InitFailed { reason: reason() }),
        1 => Just(CallFailure::Conflict { reason: reason() }),
    ]
}

fn batches() -> impl Strategy<Value = Batch> {
    (0_u64..60, 0_u64..300, 0_u64..4, 0_u64..4)
        .prop_map(|(canary, stable, bad, worse)| Batch { canary: arm(canary, bad.min(canary)), stable: arm(stable, worse.min(stable)) })
}

fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        3 => Just(Input::Published(release(NEW))),
        1 => Just(Input::AlreadyLive(release(NEW))),
        1 => failures().prop_map(Input::PublishFailed),
        4 => Just(Input::Prewarmed { cold_start_us: vec![1] }),
        1 => failures().prop_map(Input::PrewarmFailed),
        4 => (1_u64..99).prop_map(|revision| Input::Shifted { revision }),
        1 => failures().prop_map(Input::ShiftFailed),
        6 => batches().prop_map(Input::Observed),
        1 => Just(Input::Observed(Batch { canary: arm(1, 2), stable: arm(0, 0) })),
        1 => failures().prop_map(Input::ObserveFailed),
        3 => Just(Input::Tick),
        1 => Just(Input::Promote),
        1 => Just(Input::Abort { reason: "a person".to_owned() }),
        1 => Just(Input::Resume),
        1 => Just(Input::TakeBack { reason: "a crash".to_owned() }),
    ]
}

type Journal = Vec<(Timestamp, RolloutFact)>;

/// What must be true of every journal, whatever the world did.
fn check_journal(rollout: &Rollout, journal: &Journal) {
    let ends = journal.iter().filter(|(_, fact)| matches!(fact, RolloutFact::Ended { .. })).count();
    assert!(ends <= 1, "it ends once");
    assert_eq!(ends == 1, rollout.outcome().is_some());
    let published = journal.iter().filter(|(_, fact)| matches!(fact, RolloutFact::Published { .. })).count();
    assert!(published <= 1, "nothing is published twice");
    let promoting = |journal: &[(Timestamp, RolloutFact)]| {
        journal.iter().any(|(_, fact)| matches!(fact, RolloutFact::Decided { decision: Decision::Promote, .. })) || rollout.stages() == [Weight::ALL]
    };
    let back = TrafficSplit::all(rollout.stable().clone());
    let mut going_back = false;
    for (place, (_, fact)) in journal.iter().enumerate() {
        match fact {
            RolloutFact::Decided { decision, .. } => going_back |= *decision != Decision::Promote,
            RolloutFact::ShiftIntended { stage, split } => {
                assert_eq!(split.iter().map(|(_, weight)| u32::from(weight.basis_points())).sum::<u32>(), 10_000, "a split is whole");
                assert_eq!(stage.is_none(), *split == back, "a way back is to the stable release alone");
                assert_eq!(stage.is_none(), going_back, "after the decision to go back there is no way but back");
                let new = TrafficSplit::all(rollout.release().map(|release| Destination::Release(release.id.clone())).unwrap());
                assert!(*split != new || promoting(&journal[..place]), "the stable release stays in the split until it is decided to promote");
                if let Some(weight) = stage.and_then(|stage| rollout.stages().get(stage)) {
                    assert_eq!(split.weight_of(rollout.stable()), weight.rest(), "never more than the plan");
                }
            }
            _ => {}
        }
    }
    if let Some(RolloutOutcome::RolledBack { .. } | RolloutOutcome::Aborted { .. }) = rollout.outcome() {
        assert_eq!(*rollout.split(), back);
    }
}

fn check_replay(rollout: &Rollout, journal: &Journal) {
    let replayed = Rollout::replay(journal).unwrap();
    assert_eq!(&replayed, rollout);
    let bits = |rollout: &Rollout| rollout.judge().metrics().iter().map(|metric| metric.ln_evidence().to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&replayed), bits(rollout), "the evidence is the same to the last bit");
}

fn record(journal: &mut Journal, at: Timestamp, facts: Vec<RolloutFact>) {
    journal.extend(facts.into_iter().map(|fact| (at, fact)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_inputs_in_any_order_keep_the_invariants(policy in policies(), stable in stables(), steps in prop::collection::vec((inputs(), 0_u64..3), 0..60)) {
        let (mut rollout, turn) = start(policy, stable);
        let mut journal = Journal::new();
        record(&mut journal, second(0), turn.facts);
        let mut now = 0;
        for (input, later) in steps {
            now += later;
            let before = rollout.clone();
            match rollout.handle(input, second(now)) {
                Ok(turn) => record(&mut journal, second(now), turn.facts),
                Err(_) => prop_assert_eq!(&rollout, &before),
            }
            let under_way = !matches!(rollout.state(), State::Between { .. });
            prop_assert!(under_way, "a turn never ends with nothing under way");
            check_replay(&rollout, &journal);
        }
        check_journal(&rollout, &journal);
    }

    #[test]
    fn every_prefix_of_a_journal_can_be_gone_on_from(policy in policies(), stable in stables(), seed in any::<u64>(), cut in any::<prop::sample::Index>()) {
        let (_, journal) = drive(policy, stable, seed, 20);
        let prefix: Journal = journal[..1 + cut.index(journal.len())].to_vec();
        for taken_back in [false, true] {
            let mut rollout = Rollout::replay(&prefix).unwrap();
            let mut journal = prefix.clone();
            let at = journal.last().unwrap().0;
            let input = if taken_back { Input::TakeBack { reason: "a crash".to_owned() } } else { Input::Resume };
            let Ok(turn) = rollout.handle(input, at) else {
                prop_assert!(rollout.outcome().is_some());
                continue;
            };
            record(&mut journal, at, turn.facts);
            World::new(seed ^ 1, 20).run(&mut rollout, turn.effects, &mut journal, at);
            prop_assert!(rollout.outcome().is_some());
            check_journal(&rollout, &journal);
            check_replay(&rollout, &journal);
        }
    }

    #[test]
    fn against_a_provider_that_behaves_every_rollout_ends(policy in policies(), stable in stables(), seed in any::<u64>(), trouble in 0_u8..60) {
        let (rollout, journal) = drive(policy, stable, seed, trouble);
        prop_assert!(rollout.outcome().is_some());
        check_journal(&rollout, &journal);
        if trouble == 0 {
            let calm = !matches!(rollout.outcome(), Some(RolloutOutcome::Stuck { .. } | RolloutOutcome::Failed { .. }));
            prop_assert!(calm);
        }
    }
}

fn drive(policy: RolloutPolicy, stable: Destination, seed: u64, trouble: u8) -> (Rollout, Journal) {
    let (mut rollout, turn) = start(policy, stable);
    let mut journal = Journal::new();
    record(&mut journal, second(0), turn.facts);
    World::new(seed, trouble).run(&mut rollout, turn.effects, &mut journal, second(0));
    (rollout, journal)
}

/// A provider that answers every effect with one of its inputs, and says "not now" so many times in a hundred.
struct World {
    dice: Dice,
    trouble: u8,
    revision: u64,
}

impl World {
    fn new(seed: u64, trouble: u8) -> Self {
        Self { dice: Dice(seed | 1), trouble, revision: 100 }
    }

    fn run(&mut self, rollout: &mut Rollout, mut effects: Vec<Effect>, journal: &mut Journal, mut now: Timestamp) {
        for _ in 0..400 {
            let [effect] = &effects[..] else { panic!("there is always exactly one thing to do: {effects:?}") };
            let Some(input) = self.answer(effect, &mut now) else { return };
            let turn = rollout.handle(input, now).unwrap();
            record(journal, now, turn.facts);
            effects = turn.effects;
        }
        panic!("it never ends: {:?}", rollout.state());
    }

    fn answer(&mut self, effect: &Effect, now: &mut Timestamp) -> Option<Input> {
        let fails = self.dice.below(100) < u64::from(self.trouble);
        let failure = CallFailure::Unavailable { reason: "not now".to_owned() };
        Some(match effect {
            Effect::Publish { .. } if fails => Input::PublishFailed(failure),
            Effect::Publish { .. } => Input::Published(release(NEW)),
            Effect::Prewarm { .. } if fails => Input::PrewarmFailed(failure),
            Effect::Prewarm { instances, .. } => Input::Prewarmed { cold_start_us: vec![1_000; *instances as usize] },
            Effect::Shift { .. } if fails => Input::ShiftFailed(failure),
            Effect::Shift { .. } => {
                self.revision += 1;
                Input::Shifted { revision: self.revision }
            }
            Effect::Observe { at, .. } => {
                *now = (*now).max(*at);
                if fails { Input::ObserveFailed(failure) } else { Input::Observed(self.batch()) }
            }
            Effect::WakeAt(at) => {
                *now = (*now).max(*at);
                Input::Tick
            }
            Effect::Finished(_) => return None,
        })
    }

    fn batch(&mut self) -> Batch {
        let (canary, stable) = (self.dice.below(60), self.dice.below(300));
        let errors = if self.dice.below(10) == 0 { self.dice.below(canary + 1) } else { 0 };
        Batch { canary: arm(canary, errors), stable: arm(stable, 0) }
    }
}

/// The same throws for the same seed: the property test's seed is the only chance in here.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
