//! Nodes that an environment holds up.

use std::cell::RefCell;

use super::*;
use crate::model::event::Actor;
use crate::model::outcome::RunOutcome;
use crate::model::trust::Permission;

fn maintainers() -> Option<Approvers> {
    Some(Approvers::AtLeast(Permission::Maintain))
}

fn voice(login: &str, permission: Permission) -> Voice {
    Voice::Forge { login: login.to_owned(), id: None, permission }
}

fn approved(node: &str, by: Voice) -> Input {
    Input::Approved { node: id(node), by }
}

fn kinds(turn: &Turn<RunFact, Effect>) -> Vec<&'static str> {
    let kind = |fact: &RunFact| match fact {
        RunFact::NodeHeld { .. } => "held",
        RunFact::NodeApproved { .. } => "approved",
        RunFact::NodeRejected { .. } => "rejected",
        RunFact::NodeQueued { .. } => "queued",
        RunFact::InvocationStarted { .. } => "started",
        RunFact::NodeEnded { outcome, .. } => outcome.word(),
        RunFact::Ended { .. } => "over",
        _ => "other",
    };
    turn.facts.iter().map(kind).collect()
}

fn say(run: &mut Run, input: Input, at: u64) -> Vec<&'static str> {
    kinds(&run.handle(input, rules(2), seconds(at)).expect("it fits"))
}

/// A run whose node waits, started by Mary.
fn waiting(node: Node) -> Run {
    let mut plan = plan(vec![node]);
    plan.event.context.actor = Some(Actor { login: "mary".into(), id: 1, bot: false });
    Run::start(RunId::new("r1"), plan, rules(2), seconds(0)).expect("a plan that can be run").0
}

#[test]
fn an_approval_lets_a_node_in_once_the_time_is_over_and_whichever_is_first() {
    let mut run = waiting(gated(node("ship", &[]), maintainers(), 300));
    assert_eq!(run.unapproved(), [(id("ship"), "production")]);
    assert_eq!(run.state(&id("ship")).map(NodeState::word), Some("waiting for approval"));
    assert_eq!(say(&mut run, Input::Tick, 400), Vec::<&str>::new());
    assert_eq!(say(&mut run, approved("ship", voice("bob", Permission::Maintain)), 401), ["approved", "queued", "started"]);

    let mut run = waiting(gated(node("ship", &[]), maintainers(), 300));
    let turn = run.handle(approved("ship", voice("bob", Permission::Admin)), rules(2), seconds(10)).expect("it fits");
    assert_eq!((kinds(&turn), turn.effects), (vec!["approved"], vec![Effect::WakeAt(seconds(300))]));
    assert_eq!(run.state(&id("ship")).map(NodeState::word), Some("waiting for its environment"));
    assert_eq!(say(&mut run, Input::Tick, 299), Vec::<&str>::new());
    assert_eq!(say(&mut run, Input::Tick, 300), ["queued", "started"]);
}

#[test]
fn a_word_that_does_not_count_changes_nothing() {
    let mut run = waiting(gated(node("ship", &[]), maintainers(), 0));
    let before = run.clone();
    for input in [
        approved("ship", voice("bob", Permission::Write)),
        approved("ship", voice("mary", Permission::Admin)),
        approved("absent", voice("bob", Permission::Admin)),
        Input::Rejected { node: id("ship"), by: voice("bob", Permission::Write), reason: String::new() },
    ] {
        assert!(run.handle(input, rules(2), seconds(1)).is_err());
        assert_eq!(run, before);
    }
    assert_eq!(say(&mut run, approved("ship", voice("bob", Permission::Maintain)), 2), ["approved", "queued", "started"]);
    // Said twice, or too late.
    assert!(run.handle(approved("ship", voice("bob", Permission::Maintain)), rules(2), seconds(3)).is_err());
}

#[test]
fn a_rejection_ends_the_node_and_what_needs_it() {
    let (mut run, _) = start(vec![gated(node("ship", &[]), maintainers(), 0), node("after", &["ship"])], 2);
    let no = Input::Rejected { node: id("ship"), by: voice("bob", Permission::Maintain), reason: "not today".into() };
    assert_eq!(say(&mut run, no, 1), ["rejected", "failed", "skipped", "over"]);
    assert_eq!(
        run.state(&id("ship")),
        Some(&NodeState::Ended(Outcome::Failed { exit: Exit::None, reason: "bob has rejected it: not today".into() }))
    );
    // Who started it may say no, and not yes.
    let mut run = waiting(gated(node("ship", &[]), maintainers(), 0));
    let no = Input::Rejected { node: id("ship"), by: voice("mary", Permission::Admin), reason: String::new() };
    assert_eq!(say(&mut run, no, 1), ["rejected", "failed", "over"]);
}

#[test]
fn nobody_is_waited_for_without_end() {
    let mut run = waiting(gated(deploy("ship", &[]), maintainers(), 0));
    assert_eq!(say(&mut run, Input::Tick, PATIENCE.as_secs() - 1), Vec::<&str>::new());
    assert_eq!(say(&mut run, Input::Tick, PATIENCE.as_secs()), ["failed", "over"]);
    assert_eq!(run.outcome(), Some(RunOutcome::Failed));
}

#[test]
fn who_waits_can_be_cancelled_and_interrupted() {
    let mut run = waiting(gated(node("ship", &[]), maintainers(), 0));
    assert_eq!(say(&mut run, Input::Cancel { reason: "enough".into() }, 1), ["other", "cancelled", "over"]);
    let mut run = waiting(gated(node("ship", &[]), None, 60));
    assert_eq!(say(&mut run, Input::Interrupted, 1), ["cancelled", "over"]);
}

#[test]
fn who_was_never_looked_up_never_starts() {
    let node = Node { environment: Some(Gate { environment: "production".into(), protection: None }), ..node("ship", &[]) };
    let (run, turn) = start(vec![node], 2);
    assert_eq!(kinds(&turn), ["other", "failed", "over"]);
    assert!(matches!(run.state(&id("ship")), Some(NodeState::Ended(Outcome::Failed { reason, .. })) if reason.contains("nobody has looked up")));
}

#[test]
fn a_deploy_begins_when_nobody_else_is_there() {
    let free = RefCell::new(false);
    let room = |_: &NodeId, _: u32| *free.borrow();
    let with = Rules { room: &room, ..rules(2) };
    let (mut run, turn) = Run::start(RunId::new("r1"), plan(vec![gated(deploy("ship", &[]), None, 0)]), with, seconds(0)).expect("a plan");
    assert_eq!(kinds(&turn), ["other", "held"]);
    assert_eq!(kinds(&run.handle(Input::Tick, with, seconds(5)).expect("it fits")), Vec::<&str>::new());
    free.replace(true);
    let turn = run.handle(Input::Tick, with, seconds(6)).expect("it fits");
    assert_eq!((kinds(&turn), turn.effects), (vec!["queued"], vec![Effect::Deploy { node: id("ship") }]));
    // Without an environment nobody is asked.
    free.replace(false);
    let (_, turn) = Run::start(RunId::new("r2"), plan(vec![deploy("ship", &[])]), with, seconds(0)).expect("a plan");
    assert_eq!(turn.effects, [Effect::Deploy { node: id("ship") }]);
}

#[test]
fn a_record_without_the_hold_is_damaged() {
    let node = gated(node("ship", &[]), maintainers(), 0);
    let started = |facts: &mut Vec<(Timestamp, RunFact)>| {
        let turn = start(vec![node.clone()], 2).1;
        facts.extend(turn.facts.into_iter().map(|fact| (seconds(0), fact)));
    };
    let queued = || (seconds(1), RunFact::NodeQueued { node: id("ship") });
    let mut facts = Vec::new();
    started(&mut facts);
    facts.push(queued());
    assert!(Run::replay(&facts).is_err(), "it was let in without an approval");
    facts.remove(1);
    assert!(Run::replay(&facts).is_err(), "it was let in without being held");
}
