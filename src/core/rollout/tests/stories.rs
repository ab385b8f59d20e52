//! Whole rollouts, told step by step.

use super::world::*;
use crate::core::rollout::{CallFailure, Effect, IllegalInput, Input, Rollout, State};
use crate::model::deploy::{RolloutPolicy, Strategy};
use crate::model::fact::{Batch, DecidedBy, RolloutFact, RolloutOutcome};
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, TrafficSplit};

/// A rollout with its journal; every step also checks that replaying the journal gives the same machine.
struct Story {
    rollout: Rollout,
    facts: Vec<(Timestamp, RolloutFact)>,
    effects: Vec<Effect>,
}

impl Story {
    fn begin(policy: RolloutPolicy, stable: Destination) -> Self {
        let (rollout, turn) = start(policy, stable);
        Self { rollout, facts: turn.facts.into_iter().map(|fact| (second(0), fact)).collect(), effects: turn.effects }
    }

    fn tell(&mut self, at: u64, input: Input) -> &mut Self {
        let turn = self.rollout.handle(input, second(at)).unwrap();
        self.facts.extend(turn.facts.into_iter().map(|fact| (second(at), fact)));
        self.effects = turn.effects;
        assert_eq!(Rollout::replay(&self.facts).as_ref(), Ok(&self.rollout));
        self
    }

    fn published(policy: RolloutPolicy) -> Self {
        let mut story = Self::begin(policy, destination(OLD));
        story.tell(1, Input::Published(release(NEW)));
        story
    }

    /// Published, prewarmed and shifted to the first stage; the leftover of before is in.
    fn in_first_stage() -> Self {
        let mut story = Self::published(canary(&[10, 50]));
        story.warm(2).tell(3, Input::Shifted { revision: 7 }).tell(3, Input::Observed(Batch::default()));
        story
    }

    fn warm(&mut self, at: u64) -> &mut Self {
        self.tell(at, Input::Prewarmed { cold_start_us: vec![900, 1_100] })
    }

    fn shift(&self) -> Option<(&Option<usize>, &TrafficSplit, &Option<u64>)> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Shift { stage, split, expected, .. } => Some((stage, split, expected)),
            _ => None,
        })
    }

    fn words(&self) -> Vec<String> {
        self.facts.iter().map(|(_, fact)| serde_json::to_value(fact).unwrap()["fact"].as_str().unwrap().to_owned()).collect()
    }
}

fn unavailable() -> CallFailure {
    CallFailure::Unavailable { reason: "the gateway does not answer".to_owned() }
}

#[test]
fn a_healthy_release_walks_all_stages_and_is_promoted() {
    let mut story = Story::in_first_stage();
    assert!(matches!(story.effects[..], [Effect::Observe { at, .. }] if at == second(4)), "a quarter of the hold later");
    story.tell(5, Input::Observed(batch(10, 600, 0, 0)));
    assert!(matches!(story.rollout.state(), State::Observing { .. }), "samples alone do not end a stage");
    story.tell(7, Input::Observed(batch(10, 600, 0, 1)));
    assert!(matches!(story.effects[..], [Effect::Prewarm { stage: 1, .. }]));
    story.warm(8);
    assert_eq!(story.shift(), Some((&Some(1), &split(50), &Some(7))), "by the revision that the first shift gave");
    story.tell(9, Input::Shifted { revision: 8 }).tell(9, Input::Observed(batch(10, 100, 0, 0))).tell(13, Input::Observed(batch(50, 400, 1, 1)));
    story.warm(14);
    assert_eq!(story.shift(), Some((&Some(2), &split(100), &Some(8))));
    let [Effect::Shift { from, .. }] = &story.effects[..] else { panic!("{:?}", story.effects) };
    assert_eq!(from, &[split(50), split(100)], "a split of an earlier stage would be somebody else's doing by now");
    story.tell(15, Input::Shifted { revision: 9 });
    assert!(matches!(story.effects[..], [Effect::Observe { .. }]), "one last look, so that every request is counted");
    story.tell(16, Input::Observed(batch(100, 40, 0, 0)));
    assert_eq!(story.effects, [Effect::Finished(RolloutOutcome::Promoted)]);
    assert_eq!(story.rollout.judge().canary().requests, 60 + 60 + 10 + 200 + 40);
    insta::assert_snapshot!(story.words().join(" "), @"started publish-intended published prewarm-intended prewarmed shift-intended shifted observed observed observed stage-held prewarm-intended prewarmed shift-intended shifted observed observed stage-held decided prewarm-intended prewarmed shift-intended shifted observed ended");
}

#[test]
fn a_failing_release_is_taken_back_with_one_shift() {
    let mut story = Story::in_first_stage();
    story.tell(5, Input::Observed(batch(10, 600, 12, 1)));
    assert_eq!(story.shift(), Some((&None, &split(0), &Some(7))));
    story.tell(6, Input::Shifted { revision: 8 }).tell(6, Input::Observed(batch(10, 20, 1, 0)));
    let Some(RolloutOutcome::RolledBack { reason }) = story.rollout.outcome() else { panic!("{:?}", story.rollout.outcome()) };
    insta::assert_snapshot!(reason, @"12 of 60 requests failed on the new release (20.0 %), 1 of 540 on the stable one (0.19 %): evidence 1e10 to 1, 1,000 needed");
    assert_eq!(story.rollout.judge().canary().errors, 13, "what failed while it went back counts as well");
}

#[test]
fn a_stage_that_never_sees_enough_is_inconclusive_and_goes_back() {
    let mut story = Story::in_first_stage();
    story.tell(20, Input::Observed(batch(10, 100, 0, 0)));
    assert!(matches!(story.rollout.state(), State::Observing { .. }));
    story.tell(23, Input::Observed(batch(10, 100, 0, 0))).tell(24, Input::Shifted { revision: 8 }).tell(24, Input::Tick);
    story.tell(24, Input::ObserveFailed(unavailable()));
    let Some(RolloutOutcome::RolledBack { reason }) = story.rollout.outcome() else { panic!("{:?}", story.rollout.outcome()) };
    assert!(reason.starts_with("inconclusive: 20 of 50 requests seen"), "{reason}");
}

#[test]
fn a_stage_does_not_pass_on_what_was_seen_before_the_provider_fell_silent() {
    let mut story = Story::in_first_stage();
    story.tell(4, Input::Observed(batch(10, 900, 0, 0)));
    story.tell(8, Input::ObserveFailed(unavailable()));
    assert!(matches!(story.effects[..], [Effect::Observe { .. }]));
    story.tell(23, Input::Tick);
    assert_eq!(story.shift(), Some((&None, &split(0), &Some(7))));
}

#[test]
fn an_instance_that_never_came_up_is_enough() {
    let mut story = Story::in_first_stage();
    let mut bad = batch(10, 10, 0, 0);
    bad.canary.init_failures = 1;
    story.tell(4, Input::Observed(bad));
    assert!(matches!(story.rollout.state(), State::RollingBack(_)));

    let mut early = Story::published(canary(&[10]));
    early.tell(2, Input::PrewarmFailed(CallFailure::InitFailed { reason: "exit code 1".to_owned() }));
    assert_eq!(early.rollout.outcome(), Some(&RolloutOutcome::Failed { reason: "prewarming failed: exit code 1".to_owned() }), "nothing was shifted");
}

#[test]
fn the_release_that_serves_already_is_left_alone() {
    let mut story = Story::begin(canary(&[10]), destination(NEW));
    story.tell(1, Input::Published(release(NEW)));
    assert_eq!(story.effects, [Effect::Finished(RolloutOutcome::Unchanged)]);
    assert_eq!(story.words(), ["started", "publish-intended", "already-live", "ended"]);
}

#[test]
fn somebody_elses_split_is_never_overwritten() {
    for going_back in [false, true] {
        let mut story = Story::in_first_stage();
        if going_back {
            story.tell(5, Input::Observed(batch(10, 600, 12, 1)));
        } else {
            story.tell(7, Input::Observed(batch(10, 900, 0, 0))).warm(8);
        }
        story.tell(9, Input::ShiftFailed(CallFailure::Conflict { reason: "revision 9 instead of 7".to_owned() }));
        assert!(matches!(story.rollout.outcome(), Some(RolloutOutcome::Stuck { .. })));
        assert!(story.shift().is_none());
    }
}

#[test]
fn the_way_back_is_tried_five_times_and_then_a_person_is_asked() {
    let mut story = Story::in_first_stage();
    story.tell(5, Input::Observed(batch(10, 600, 12, 1)));
    let mut at = 5;
    for delay in [1, 2, 4, 8] {
        story.tell(at, Input::ShiftFailed(unavailable()));
        assert_eq!(story.effects, [Effect::WakeAt(second(at + delay))]);
        story.tell(at, Input::Tick);
        assert_eq!(story.effects, [Effect::WakeAt(second(at + delay))], "woken too early, it sleeps on");
        at += delay;
        story.tell(at, Input::Tick);
        assert_eq!(story.shift(), Some((&None, &split(0), &None)), "whether the last attempt went through has to be read");
    }
    story.tell(at, Input::ShiftFailed(unavailable()));
    let Some(RolloutOutcome::Stuck { reason }) = story.rollout.outcome() else { panic!("{:?}", story.rollout.outcome()) };
    insta::assert_snapshot!(reason, @"the way back failed (5 attempts): the gateway does not answer; part of the traffic may still reach the new release: mend the provider, then `tidegate rollout rollback`");
}

#[test]
fn a_shift_that_may_have_happened_is_taken_back_from_either_split() {
    let mut story = Story::published(canary(&[10]));
    story.warm(2);
    for at in [3, 4, 6, 10] {
        story.tell(at, Input::ShiftFailed(unavailable())).tell(at + 8, Input::Tick);
    }
    story.tell(30, Input::ShiftFailed(unavailable()));
    let [Effect::Shift { stage: None, split: back, from, expected: None }] = &story.effects[..] else { panic!("{:?}", story.effects) };
    assert_eq!((back, &from[..]), (&split(0), &[split(0), split(10)][..]));
    assert!(matches!(
        story.facts.iter().rev().find_map(|(_, fact)| if let RolloutFact::Decided { by, .. } = fact { Some(by) } else { None }),
        Some(DecidedBy::Provider { .. })
    ));
}

#[test]
fn a_person_can_promote_and_abort() {
    let mut story = Story::in_first_stage();
    story.tell(4, Input::Promote);
    assert!(matches!(story.effects[..], [Effect::Prewarm { stage: 2, .. }]));
    story.warm(5);
    assert_eq!(story.shift(), Some((&Some(2), &split(100), &Some(7))));
    story.tell(5, Input::Abort { reason: "wrong button".to_owned() });
    assert_eq!(story.effects, [], "a call in the air is waited for");
    story.tell(6, Input::Shifted { revision: 8 });
    assert_eq!(story.shift(), Some((&None, &split(0), &Some(8))));
    assert_eq!(story.rollout.handle(Input::Promote, second(6)), Err(IllegalInput::GoingBack));
    story.tell(7, Input::Shifted { revision: 9 }).tell(7, Input::Observed(Batch::default()));
    assert_eq!(story.rollout.outcome(), Some(&RolloutOutcome::Aborted { reason: "wrong button".to_owned() }));
    assert_eq!(story.rollout.handle(Input::Abort { reason: String::new() }, second(8)), Err(IllegalInput::Ended { outcome: "aborted" }));
}

#[test]
fn aborted_before_anything_moved_there_is_nothing_to_take_back() {
    let mut story = Story::begin(canary(&[10]), destination(OLD));
    story.tell(1, Input::Abort { reason: "not today".to_owned() }).tell(2, Input::Published(release(NEW)));
    assert_eq!(story.effects, [Effect::Finished(RolloutOutcome::Aborted { reason: "not today".to_owned() })]);
}

#[test]
fn after_a_crash_it_goes_on_or_goes_back() {
    let mut story = Story::published(canary(&[10]));
    story.warm(2);
    let mut resumed = Rollout::replay(&story.facts).unwrap();
    let turn = resumed.handle(Input::Resume, second(60)).unwrap();
    assert!(turn.facts.is_empty());
    let [Effect::Shift { stage: Some(0), expected: None, .. }] = &turn.effects[..] else { panic!("{:?}", turn.effects) };

    let turn = story.rollout.handle(Input::TakeBack { reason: "tidegate died".to_owned() }, second(60)).unwrap();
    let [Effect::Shift { stage: None, split: back, from, expected: None }] = &turn.effects[..] else { panic!("{:?}", turn.effects) };
    assert_eq!((back, &from[..]), (&split(0), &[split(0), split(10)][..]), "the shift that was in the air may have come through");
}

#[test]
fn what_was_known_of_the_provider_before_a_crash_is_read_again() {
    let mut story = Story::in_first_stage();
    story.tell(7, Input::Observed(batch(10, 900, 0, 0))).warm(8);
    let [Effect::Shift { expected: Some(7), from, .. }] = &story.effects[..] else { panic!("{:?}", story.effects) };
    assert_eq!(from, &[split(10), split(50)], "what is confirmed and what is asked for");
    let turn = Rollout::replay(&story.facts).unwrap().handle(Input::Resume, second(60)).unwrap();
    let [Effect::Shift { stage: Some(1), expected: None, .. }] = &turn.effects[..] else { panic!("{:?}", turn.effects) };
}

#[test]
fn a_first_release_is_held_to_its_objective_and_goes_back_to_nothing() {
    let mut story = Story::begin(canary(&[10]), Destination::Vacant);
    story.tell(1, Input::Published(release(1))).warm(2).tell(3, Input::Shifted { revision: 1 }).tell(3, Input::Observed(Batch::default()));
    // The vacant share answers 503: that is nobody's fault and no baseline.
    story.tell(4, Input::Observed(Batch { canary: arm(30, 0), stable: arm(270, 270) }));
    assert!(matches!(story.rollout.state(), State::Observing { .. }));
    story.tell(5, Input::Observed(Batch { canary: arm(30, 9), stable: arm(270, 270) }));
    assert_eq!(story.shift(), Some((&None, &TrafficSplit::all(Destination::Vacant), &Some(1))));
}

#[test]
fn all_at_once_is_watched_once_it_has_everything() {
    let policy = RolloutPolicy { strategy: Strategy::AllAtOnce, ..canary(&[]) };
    let mut good = Story::published(policy.clone());
    good.warm(2);
    assert_eq!(good.shift(), Some((&Some(0), &split(100), &None)));
    good.tell(3, Input::Shifted { revision: 1 }).tell(3, Input::Observed(Batch::default())).tell(7, Input::Observed(batch(100, 60, 0, 0)));
    assert_eq!(good.effects, [Effect::Finished(RolloutOutcome::Promoted)]);

    let mut bad = Story::published(policy);
    bad.warm(2).tell(3, Input::Shifted { revision: 1 }).tell(4, Input::Observed(batch(100, 60, 20, 0)));
    assert_eq!(bad.shift(), Some((&None, &split(0), &Some(1))));
}

#[test]
fn counts_that_can_not_be_are_not_journaled() {
    let mut story = Story::in_first_stage();
    story.tell(4, Input::Observed(Batch { canary: arm(3, 4), stable: arm(1, 0) }));
    assert_eq!(story.words().last().map(String::as_str), Some("call-failed"));
    assert_eq!(story.rollout.judge().canary().requests, 0);
}

#[test]
fn a_journal_that_is_no_rollouts_is_refused() {
    let story = Story::in_first_stage();
    assert_eq!(Rollout::replay(&[]).unwrap_err().to_string(), "the journal of the rollout does not begin with its start");
    let mut torn = story.facts.clone();
    torn.remove(2);
    assert_eq!(
        Rollout::replay(&torn).unwrap_err().to_string(),
        "fact 3 of the rollout does not follow from those before it: prewarm-intended while publishing"
    );
    let mut greedy = story.facts;
    for (_, fact) in &mut greedy {
        if let RolloutFact::ShiftIntended { split: planned, .. } = fact {
            *planned = split(90);
        }
    }
    assert!(Rollout::replay(&greedy).is_err(), "more than the plan says is no rollout of ours");
}

#[test]
fn a_journal_read_back_from_disk_gives_the_same_bits() {
    for objective in [0.0010999999999999899, 0.0009999999999998899, 1.0 / 3.0] {
        let mut policy = canary(&[10]);
        policy.judge.errors.objective = objective;
        policy.judge.confidence = 0.9996999999999999;
        let mut story = Story::begin(policy, Destination::Vacant);
        story.tell(1, Input::Published(release(1))).warm(2).tell(3, Input::Shifted { revision: 1 }).tell(3, Input::Observed(batch(10, 90, 1, 0)));
        let text = serde_json::to_string(&story.facts).unwrap();
        let read: Vec<(Timestamp, RolloutFact)> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, story.facts);
        let bits = |rollout: &Rollout| rollout.judge().metrics()[0].ln_evidence().to_bits();
        assert_eq!(bits(&Rollout::replay(&read).unwrap()), bits(&story.rollout));
    }
}
