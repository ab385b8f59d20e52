use super::*;
use crate::model::fact::RolloutOutcome;
use crate::model::id::RolloutId;
use crate::model::outcome::RunOutcome;

/// What a turn did, in short words, one a line.
fn told(turn: &Turn<RunFact, Effect>) -> String {
    let facts = turn.facts.iter().map(|fact| match fact {
        RunFact::Started { .. } => "the run has started".to_owned(),
        RunFact::NodeKept { node, from, .. } => format!("{node} is as in {from}"),
        RunFact::NodeHeld { node, environment, approval, opens, expires } => {
            let (opens, expires) = (opens.as_millis() / 1000, expires.as_millis() / 1000);
            format!("{node} is held by {environment} (approval: {approval}, opens at {opens} s, expires at {expires} s)")
        }
        RunFact::NodeApproved { node, by } => format!("{node} is approved by {by}"),
        RunFact::NodeRejected { node, by, .. } => format!("{node} is rejected by {by}"),
        RunFact::NodeQueued { node } => format!("{node} is queued"),
        RunFact::InvocationStarted { node, attempt, deadline } => {
            format!("{node} starts (attempt {attempt}, until {} s)", deadline.as_millis() / 1000)
        }
        RunFact::InvocationEnded { node, attempt, outcome, .. } => format!("{node} has tried (attempt {attempt}): {}", outcome.word()),
        RunFact::RetryScheduled { node, attempt, at } => format!("{node} is tried again at {} s (attempt {attempt})", at.as_millis() / 1000),
        RunFact::RolloutAttached { node, rollout } => format!("{node} is rolled out by {rollout}"),
        RunFact::NodeEnded { node, outcome } => format!("{node} has ended: {}", said(outcome)),
        RunFact::CancelRequested { reason } => format!("cancelled: {reason}"),
        RunFact::Ended { outcome } => format!("the run has ended: {}", outcome.word()),
    });
    let effects = turn.effects.iter().map(|effect| match effect {
        Effect::Invoke { invocation, .. } => format!("→ invoke {invocation}"),
        Effect::Deploy { node } => format!("→ deploy {node}"),
        Effect::Kill { node, attempt } => format!("→ kill {node} (attempt {attempt})"),
        Effect::Abort { node, rollout } => format!("→ abort {rollout} of {node}"),
        Effect::WakeAt(at) => format!("→ wake at {} s", at.as_millis() / 1000),
        Effect::Finished { outcome } => format!("→ finished: {}", outcome.word()),
    });
    facts.chain(effects).collect::<Vec<_>>().join("\n")
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed { reason, .. } | Outcome::Cancelled { reason } | Outcome::Skipped { reason } | Outcome::Infrastructure { reason } => {
            format!("{}, as {reason}", outcome.word())
        }
        other => other.word().to_owned(),
    }
}

fn then(run: &mut Run, input: Input, at: u64) -> String {
    told(&run.handle(input, rules(2), seconds(at)).expect("it fits"))
}

#[test]
fn a_node_starts_as_soon_as_all_that_it_needs_has_ended() {
    let (mut run, turn) = start(vec![node("test", &[]), node("scan", &[]), node("build", &["test", "scan"])], 2);
    insta::assert_snapshot!(told(&turn), @r"
    the run has started
    test is queued
    scan is queued
    test starts (attempt 1, until 60 s)
    scan starts (attempt 1, until 60 s)
    → invoke r1.test.1
    → invoke r1.scan.1
    → wake at 60 s
    ");
    insta::assert_snapshot!(then(&mut run, ended("scan", 1, Outcome::Succeeded), 1), @r"
    scan has tried (attempt 1): succeeded
    scan has ended: succeeded
    → wake at 60 s
    ");
    insta::assert_snapshot!(then(&mut run, ended("test", 1, Outcome::Succeeded), 2), @r"
    test has tried (attempt 1): succeeded
    test has ended: succeeded
    build is queued
    build starts (attempt 1, until 62 s)
    → invoke r1.build.1
    → wake at 62 s
    ");
    assert_eq!(run.needs(&id("build")).expect("is there").needs[0].kept.expect("it ran").values["version"], "7");
    insta::assert_snapshot!(then(&mut run, ended("build", 1, Outcome::Succeeded), 3), @r"
    build has tried (attempt 1): succeeded
    build has ended: succeeded
    the run has ended: succeeded
    → finished: succeeded
    ");
}

#[test]
fn a_failure_skips_what_needs_it_but_not_what_looks_at_failures() {
    let nodes = vec![
        node("test", &[]),
        node("build", &["test"]),
        node("ship", &["build"]),
        when("failed()", true, node("tell", &["ship"])),
        when("always()", false, node("note", &["build"])),
    ];
    let (mut run, _) = start(nodes, 2);
    insta::assert_snapshot!(then(&mut run, ended("test", 1, failed()), 1), @r"
    test has tried (attempt 1): failed
    test has ended: failed, as exit code 1
    build has ended: skipped, as it needs test, which failed
    ship has ended: skipped, as it needs build, which was skipped
    note has ended: skipped, as it needs build, which was skipped
    tell is queued
    tell starts (attempt 1, until 61 s)
    → invoke r1.tell.1
    → wake at 61 s
    ");
    then(&mut run, ended("tell", 1, Outcome::Succeeded), 2);
    assert_eq!(run.outcome(), Some(RunOutcome::Failed));
}

#[test]
fn a_condition_that_does_not_hold_skips_and_one_that_can_not_be_decided_fails() {
    let never = Node { condition: Condition::Never { because: "the branch is not main".to_owned() }, ..node("ship", &[]) };
    let (run, turn) = start(vec![never, when("never()", false, node("a", &[])), when("nonsense()", false, node("b", &[]))], 2);
    insta::assert_snapshot!(told(&turn), @r"
    the run has started
    ship has ended: skipped, as the branch is not main
    a has ended: skipped, as its condition does not hold: never()
    b has ended: failed, as its condition can not be decided: nonsense(): no such function: nonsense()
    the run has ended: failed
    → finished: failed
    ");
    assert_eq!(run.outcome(), Some(RunOutcome::Failed));
}

#[test]
fn a_retry_waits_out_its_delay_and_then_for_room() {
    let retry = Retry { attempts: 2, on: vec![RetryOn::Infrastructure], delay: Duration::from_secs(5), after_start: false };
    let (mut run, _) = start(vec![Node { retry, ..node("test", &[]) }], 1);
    insta::assert_snapshot!(then(&mut run, ended("test", 1, infrastructure()), 1), @r"
    test has tried (attempt 1): infrastructure
    test is tried again at 6 s (attempt 2)
    → wake at 6 s
    ");
    insta::assert_snapshot!(then(&mut run, Input::Tick, 5), @"→ wake at 6 s");
    insta::assert_snapshot!(then(&mut run, Input::Tick, 6), @r"
    test is queued
    test starts (attempt 2, until 66 s)
    → invoke r1.test.2
    → wake at 66 s
    ");
    insta::assert_snapshot!(then(&mut run, ended("test", 2, infrastructure()), 7), @r"
    test has tried (attempt 2): infrastructure
    test has ended: infrastructure, as no space left
    the run has ended: infrastructure
    → finished: infrastructure
    ");
}

#[test]
fn an_invocation_past_its_deadline_is_killed_and_has_timed_out() {
    let (mut run, _) = start(vec![node("test", &[])], 1);
    insta::assert_snapshot!(then(&mut run, Input::Tick, 59), @"→ wake at 60 s");
    insta::assert_snapshot!(then(&mut run, Input::Tick, 60), @"→ kill test (attempt 1)");
    let killed = ended("test", 1, Outcome::Cancelled { reason: "killed".to_owned() });
    insta::assert_snapshot!(then(&mut run, killed, 61), @r"
    test has tried (attempt 1): timed-out
    test has ended: timed-out
    the run has ended: failed
    → finished: failed
    ");
    assert_eq!(run.state(&id("test")), Some(&NodeState::Ended(Outcome::TimedOut { after_ms: 60_000 })));
}

#[test]
fn a_step_keeps_to_its_own_limit_and_does_not_hold_up_others() {
    let one = |name: &str| Node { step: "test".to_owned(), concurrency: Some(1), ..node(name, &[]) };
    let (mut run, turn) = start(vec![one("a"), one("b"), node("c", &[]), node("d", &[])], 3);
    let invoked = |turn: &Turn<RunFact, Effect>| {
        let nodes = turn.effects.iter().filter_map(|effect| if let Effect::Invoke { node, .. } = effect { Some(node.to_string()) } else { None });
        nodes.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(invoked(&turn), "a c d");
    let turn = run.handle(ended("d", 1, Outcome::Succeeded), rules(3), seconds(1)).expect("it fits");
    assert_eq!(invoked(&turn), "");
    let turn = run.handle(ended("a", 1, Outcome::Succeeded), rules(3), seconds(2)).expect("it fits");
    assert_eq!(invoked(&turn), "b");
}

#[test]
fn cancelling_kills_what_runs_and_ends_what_waits_clean_up_steps_included() {
    let (mut run, _) = start(vec![node("a", &[]), node("b", &["a"]), when("always()", true, node("tidy", &["b"])), deploy("ship", &[])], 1);
    then(&mut run, Input::RolloutAttached { node: id("ship"), rollout: RolloutId::new("o1") }, 1);
    insta::assert_snapshot!(then(&mut run, Input::Cancel { reason: "Ctrl-C".to_owned() }, 2), @r"
    cancelled: Ctrl-C
    b has ended: cancelled, as Ctrl-C
    tidy has ended: cancelled, as Ctrl-C
    → kill a (attempt 1)
    → abort o1 of ship
    → wake at 60 s
    ");
    insta::assert_snapshot!(then(&mut run, Input::Cancel { reason: "Ctrl-C again".to_owned() }, 3), @r"
    → kill a (attempt 1)
    → abort o1 of ship
    → wake at 60 s
    ");
    then(&mut run, ended("a", 1, Outcome::Cancelled { reason: "Ctrl-C".to_owned() }), 4);
    let aborted = Input::RolloutEnded { node: id("ship"), outcome: RolloutOutcome::Aborted { reason: "Ctrl-C".to_owned() } };
    insta::assert_snapshot!(then(&mut run, aborted, 5), @r"
    ship has ended: cancelled, as Ctrl-C
    the run has ended: cancelled
    → finished: cancelled
    ");
}

#[test]
fn a_rollout_that_is_attached_to_a_cancelled_run_is_aborted_at_once() {
    let (mut run, _) = start(vec![deploy("ship", &[])], 1);
    insta::assert_snapshot!(then(&mut run, Input::Cancel { reason: "Ctrl-C".to_owned() }, 1), @"cancelled: Ctrl-C");
    insta::assert_snapshot!(then(&mut run, Input::RolloutAttached { node: id("ship"), rollout: RolloutId::new("o1") }, 2), @r"
    ship is rolled out by o1
    → abort o1 of ship
    ");
}

#[test]
fn a_deploy_ends_as_its_rollout_does() {
    let outcomes = [
        (RolloutOutcome::Promoted, "succeeded"),
        (RolloutOutcome::Unchanged, "succeeded"),
        (RolloutOutcome::RolledBack { reason: "too many errors".to_owned() }, "failed, as rolled back: too many errors"),
        (RolloutOutcome::Aborted { reason: "Ada said so".to_owned() }, "failed, as aborted: Ada said so"),
        (RolloutOutcome::Failed { reason: "no bootstrap".to_owned() }, "failed, as no bootstrap"),
        (RolloutOutcome::Stuck { reason: "somebody else".to_owned() }, "failed, as stuck, a person must look: somebody else"),
    ];
    for (outcome, expected) in outcomes {
        let (mut run, turn) = start(vec![deploy("ship", &[])], 1);
        assert_eq!(turn.effects, [Effect::Deploy { node: id("ship") }]);
        then(&mut run, Input::RolloutEnded { node: id("ship"), outcome }, 1);
        let Some(NodeState::Ended(outcome)) = run.state(&id("ship")) else { panic!("the deploy has not ended") };
        assert_eq!(said(outcome), expected);
    }
}

#[test]
fn an_interrupted_run_ends_and_says_of_each_node_what_is_known() {
    let (mut run, _) = start(vec![node("a", &[]), Node { idempotent: true, ..node("b", &[]) }, node("c", &["a"]), deploy("ship", &[])], 2);
    insta::assert_snapshot!(then(&mut run, Input::Interrupted, 9), @r"
    a has tried (attempt 1): infrastructure
    a has ended: infrastructure, as Tidegate died while it ran
    b has tried (attempt 1): cancelled
    b has ended: cancelled, as Tidegate died while it ran
    c has ended: cancelled, as the run was interrupted before it could start
    ship has ended: infrastructure, as Tidegate died as its rollout was about to start
    the run has ended: interrupted
    → finished: interrupted
    ");
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason_and_changes_nothing() {
    let (mut run, _) = start(vec![node("a", &[]), node("b", &["a"])], 1);
    let before = run.clone();
    let mut refused = Vec::new();
    let attached = Input::RolloutAttached { node: id("a"), rollout: RolloutId::new("o1") };
    for input in [ended("a", 2, Outcome::Succeeded), ended("b", 1, Outcome::Succeeded), ended("z", 1, Outcome::Succeeded), attached] {
        refused.push(run.handle(input, rules(1), seconds(1)).expect_err("it does not fit").to_string());
        assert_eq!(run, before);
    }
    then(&mut run, Input::Interrupted, 2);
    refused.push(run.handle(Input::Cancel { reason: String::new() }, rules(1), seconds(3)).expect_err("it has ended").to_string());
    assert_eq!(run.handle(Input::Tick, rules(1), seconds(3)), Ok(Turn::nothing()));
    insta::assert_snapshot!(refused.join("\n"), @r"
    the end of an invocation does not fit: a is running (attempt 1)
    the end of an invocation does not fit: b is waiting
    the end of an invocation does not fit: the plan has no node z
    a rollout's start does not fit: a is running (attempt 1)
    a cancellation does not fit: the run has ended (interrupted)
    ");
}

#[test]
fn a_plan_that_is_none_is_refused() {
    let refuse = |nodes| Run::start(RunId::new("r1"), plan(nodes), rules(1), seconds(0)).expect_err("no plan").to_string();
    assert_eq!(refuse(vec![node("a", &["b"]), node("b", &[])]), "this plan can not be run: a needs b, which does not stand before it");
    assert_eq!(refuse(vec![node("a", &["a"])]), "this plan can not be run: a needs a, which does not stand before it");
    assert_eq!(refuse(vec![node("a", &[]), node("a", &[])]), "this plan can not be run: two nodes are called a");
}

#[test]
fn a_plan_of_nothing_succeeds_at_once() {
    let (run, turn) = start(Vec::new(), 1);
    assert_eq!(turn.effects, [Effect::Finished { outcome: RunOutcome::Succeeded }]);
    assert_eq!(run.outcome(), Some(RunOutcome::Succeeded));
}

#[test]
fn a_damaged_record_is_refused_and_says_where() {
    let (_, turn) = start(vec![node("a", &[])], 1);
    let mut facts: Vec<_> = turn.facts.into_iter().map(|fact| (seconds(0), fact)).collect();
    assert_eq!(Run::replay(&facts[1..]), Err(ReplayError::NoStart));
    facts.push(facts[1].clone());
    assert_eq!(
        Run::replay(&facts).expect_err("queued twice").to_string(),
        "the record of this run is damaged: fact 4 can not follow those before it: a is running (attempt 1)"
    );
}

/// A run that repeats a part of another one: what is kept is not run, and gives what it gave.
#[test]
fn what_is_kept_of_an_earlier_run_is_not_run_again() {
    let kept = || Kept { values: BTreeMap::from([("version".to_owned(), "7".to_owned())]), ..Kept::default() };
    let nodes = vec![node("scan", &[]), node("build", &["scan"]), node("test", &["build"])];
    let again = vec![(id("build"), RunId::new("r0"), kept())];
    let (mut run, turn) = Run::start_again(RunId::new("r1"), plan(nodes.clone()), again, rules(2), seconds(0)).expect("a plan that can be run");
    insta::assert_snapshot!(told(&turn), @r"
    the run has started
    build is as in r0
    scan is queued
    test is queued
    scan starts (attempt 1, until 60 s)
    test starts (attempt 1, until 60 s)
    → invoke r1.scan.1
    → invoke r1.test.1
    → wake at 60 s
    ");
    assert_eq!(run.kept(&id("build")).expect("kept").values["version"], "7");
    let replayed: Vec<_> = turn.facts.into_iter().map(|fact| (seconds(0), fact)).collect();
    assert_eq!(Run::replay(&replayed).expect("replayed"), run);
    let _ = run.handle(ended("scan", 1, Outcome::Succeeded), rules(2), seconds(1)).expect("it fits");
    let turn = run.handle(ended("test", 1, Outcome::Succeeded), rules(2), seconds(2)).expect("it fits");
    assert_eq!(turn.effects.last(), Some(&Effect::Finished { outcome: RunOutcome::Succeeded }));
    let nowhere = vec![(id("absent"), RunId::new("r0"), kept())];
    assert!(Run::start_again(RunId::new("r1"), plan(nodes), nowhere, rules(2), seconds(0)).is_err());
}
