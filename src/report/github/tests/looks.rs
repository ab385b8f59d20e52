//! Snapshots of all that is written, as somebody reads it.

use std::fmt::Write as _;

use super::*;
use crate::model::check::{Check, Said};
use crate::model::request::Dropped;
use crate::model::trust::{Approval, Trust};
use crate::report::github::comment;

fn page(check: &Check) -> String {
    let mut text = format!("=== {} ({:?})\n{}\n", check.name, check.state, check.title);
    let _ = writeln!(text, "[{}] {:?}", check.external, check.actions);
    let _ = writeln!(text, "\n{}", check.summary);
    if !check.text.is_empty() {
        let _ = writeln!(text, "--- text\n{}", check.text);
    }
    for annotation in &check.annotations {
        let _ = writeln!(text, "@ {annotation:?}");
    }
    text
}

fn pages(said: &Said) -> String {
    let mut text: String = said.checks.iter().map(|check| page(check) + "\n").collect();
    for deployment in &said.deployments {
        let _ = writeln!(text, "=== {deployment:?}");
    }
    text
}

fn shop() -> Tale {
    let nodes = ["lint", "test", "scan", "docs", "build"].map(|name| node(name, invoke())).into();
    let mut egress_record = record();
    egress_record.egress = blocked("tracker.example");
    let run = vec![
        (at(0), started("test", Event { branch: Some("doors".to_owned()), subject: "Sell doors".to_owned(), ..event("ada") }, nodes)),
        (at(1), begins("lint", 1)),
        (at(1_200), tried("lint", 1, Outcome::Succeeded, record(), Vec::new())),
        (at(1_200), ended("lint", Outcome::Succeeded)),
        (at(1_201), begins("test", 1)),
        (at(2_000), tried("test", 1, failed("exit code 1"), record(), Vec::new())),
        (at(2_001), RunFact::RetryScheduled { node: id("test"), attempt: 2, at: at(3_000) }),
        (at(3_000), begins("test", 2)),
        (at(5_300), tried("test", 2, failed("exit code 101"), egress_record, vec![artifact("report")])),
        (at(5_300), ended("test", failed("exit code 101"))),
        (at(5_301), begins("scan", 1)),
        (at(6_000), tried("scan", 1, failed("2 findings"), record(), Vec::new())),
        (at(6_000), ended("scan", failed("2 findings"))),
        (at(6_001), ended("docs", Outcome::Skipped { reason: "its condition does not hold".to_owned() })),
        (at(6_002), begins("build", 1)),
    ];
    let lines = ["running 3 tests", "test doors::open ... FAILED", "", "thread panicked at src/doors.rs:12"].map(str::to_owned).into();
    let found = vec![finding(Severity::Medium, "weak-hash", "src/lib.rs"), finding(Severity::Critical, "aws-key", "deploy/env")];
    Tale { run, tails: vec![LogTail { node: id("test"), lines }], findings: HashMap::from([(id("scan"), found)]), ..Tale::default() }
}

#[test]
fn while_it_runs() {
    insta::assert_snapshot!(pages(&shop().said()));
}

#[test]
fn when_it_has_failed() {
    let mut tale = shop();
    tale.run.push((at(7_000), tried("build", 1, Outcome::Infrastructure { reason: "the machine is full".to_owned() }, record(), Vec::new())));
    tale.run.push((at(7_000), ended("build", Outcome::Infrastructure { reason: "the machine is full".to_owned() })));
    tale.run.push((at(7_001), RunFact::Ended { outcome: RunOutcome::Failed }));
    let said = tale.said();
    let shown = format!("{}\n=== comment\n{}", pages(&said), comment(&[said.line.clone().expect("a pull request")], &house()));
    insta::assert_snapshot!(shown);
}

#[test]
fn what_a_step_found_and_says() {
    let mut record = record();
    record.found.worst = vec![finding(Severity::High, "sql", "src/db.rs"), finding(Severity::Low, "spelling", "../../etc/passwd")];
    record.found.counts = BTreeMap::from([(Severity::High, 1), (Severity::Low, 900)]);
    record.found.problem = Some("$TIDEGATE_FINDINGS holds 30000 results: the first 901 were read".to_owned());
    record.summary.text = "# Coverage\n\n| file | covered |\n|---|---|\n| db.rs | 71 % |\n\nSee [the report](https://x.example).".to_owned();
    let run = vec![
        (at(0), started("test", event("ada"), vec![node("scan", invoke())])),
        (at(1), begins("scan", 1)),
        (at(6_000), tried("scan", 1, failed("exit code 1"), record, Vec::new())),
        (at(6_000), ended("scan", failed("exit code 1"))),
        (at(6_000), RunFact::Ended { outcome: RunOutcome::Failed }),
    ];
    // The same file is among its outputs as well.
    let also = vec![finding(Severity::High, "sql", "src/db.rs"), finding(Severity::Critical, "key", "deploy/env")];
    insta::assert_snapshot!(pages(&Tale { run, findings: HashMap::from([(id("scan"), also)]), ..Tale::default() }.said()));
}

#[test]
fn a_deploy_that_moves_and_one_that_was_rolled_back() {
    let nodes = vec![node("deploy", deploy("shop"))];
    let run = vec![
        (at(0), started("release", event("main"), nodes)),
        (at(1), RunFact::RolloutAttached { node: id("deploy"), rollout: RolloutId::new("shop-1") }),
    ];
    let mut tale = Tale { run, rollouts: HashMap::from([(RolloutId::new("shop-1"), rollout("shop", to_first_stage()))]), ..Tale::default() };
    let moving = pages(&tale.said());
    let mut inputs = to_first_stage();
    inputs.extend([(1_700, seen(240, 12, 2_160)), (1_800, Input::Shifted { revision: 2 }), (1_800, seen(9, 1, 80))]);
    tale.rollouts.insert(RolloutId::new("shop-1"), rollout("shop", inputs));
    tale.run.push((at(2_000), ended("deploy", failed("rolled back: too many errors"))));
    tale.run.push((at(2_000), RunFact::Ended { outcome: RunOutcome::Failed }));
    insta::assert_snapshot!(format!("{moving}\n##### later\n\n{}", pages(&tale.said())));
}

#[test]
fn a_step_that_waits_for_somebodys_word_says_whose_and_then_whose_it_was() {
    let logins = ["alice", "bob", "carol"].map(str::to_owned).into();
    let nodes = vec![gated("ship", "production", Approvers::AtLeast(Permission::Maintain)), gated("try", "staging", Approvers::Logins(logins))];
    let push = Event { kind: EventKind::Push, context: Context { pull: None, ..event("ada").context }, ..event("ada") };
    let mut told = String::new();
    for event in [event("ada"), push] {
        let mut run = vec![(at(0), started("release", event, nodes.clone())), (at(1), held("ship", "production")), (at(1), held("try", "staging"))];
        let waits = Tale { run: run.clone(), ..Tale::default() }.said();
        told += &format!("{}\n{}\n", pages(&waits), waits.line.map(|line| line.row).unwrap_or_default());
        let by = Voice::Forge { login: "grace".to_owned(), id: Some(3), permission: Permission::Maintain };
        run.push((at(2), RunFact::NodeApproved { node: id("ship"), by: by.clone() }));
        run.extend([(at(2), RunFact::NodeQueued { node: id("ship") }), (at(3), begins("ship", 1)), (at(4), ended("ship", Outcome::Succeeded))]);
        run.push((at(5), RunFact::NodeRejected { node: id("try"), by, reason: "not today".to_owned() }));
        run.push((at(5), ended("try", failed("grace has rejected it: not today"))));
        run.push((at(5), RunFact::Ended { outcome: RunOutcome::Failed }));
        told += &format!("##### later\n\n{}\n", pages(&Tale { run, ..Tale::default() }.said()));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn what_has_not_begun() {
    let asked = |approval: Option<&str>| RequestFact::Asked {
        run: RunId::new("01990a"),
        pipeline: "test".to_owned(),
        event: Box::new(event("doors")),
        plan: serde_json::Value::Null,
        trust: Trust::Untrusted,
        url: String::new(),
        group: None,
        priority: 0,
        approval: approval.map(str::to_owned),
        again: None,
    };
    let told = |facts: Vec<RequestFact>| {
        let request = facts.into_iter().enumerate().map(|(n, fact)| (at(n as u64), fact)).collect();
        let said = Tale { request, ..Tale::default() }.said();
        format!("{}\n{}\n", pages(&said), said.line.expect("a pull request").row)
    };
    let approved = RequestFact::Approved { approval: Approval { by: "grace".to_owned(), commit: CommitId::new("0123456789") } };
    let dropped = |why| RequestFact::Dropped { why };
    let all = [
        told(vec![asked(None)]),
        told(vec![asked(Some("ada has not contributed before"))]),
        told(vec![asked(Some("ada has not contributed before")), approved]),
        told(vec![asked(None), dropped(Dropped::Superseded { by: RunId::new("01990b") })]),
        told(vec![asked(None), dropped(Dropped::Cancelled { by: "grace".to_owned() })]),
        told(vec![asked(Some("it comes from a fork")), dropped(Dropped::Rejected { by: "grace".to_owned() })]),
        told(vec![asked(None), dropped(Dropped::Void { because: "the pull request has another head".to_owned() })]),
        told(vec![asked(None), dropped(Dropped::Failed { why: "the commit is not there any more".to_owned() })]),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn every_outcome_has_its_conclusion() {
    let reason = || "because".to_owned();
    let outcomes = [
        Outcome::Succeeded,
        Outcome::Memoised { from: reason() },
        failed("because"),
        Outcome::TimedOut { after_ms: 60_000 },
        Outcome::Cancelled { reason: reason() },
        Outcome::Skipped { reason: reason() },
        Outcome::Infrastructure { reason: reason() },
    ];
    let mut told = String::new();
    for outcome in outcomes {
        let run = vec![(at(0), started("test", event("main"), vec![node("a", invoke())])), (at(1), begins("a", 1)), (at(2), ended("a", outcome))];
        let said = Tale { run, ..Tale::default() }.said();
        let _ = writeln!(told, "{:?}: {}", said.checks[1].state, said.checks[1].title);
    }
    for outcome in [RunOutcome::Succeeded, RunOutcome::Failed, RunOutcome::Cancelled, RunOutcome::Interrupted, RunOutcome::Infrastructure] {
        let run = vec![(at(0), started("test", event("main"), vec![node("a", invoke())])), (at(2), RunFact::Ended { outcome })];
        let said = Tale { run, ..Tale::default() }.said();
        let _ = writeln!(told, "{:?}: {} {:?}", said.checks[0].state, said.checks[0].title, said.checks[0].actions);
    }
    insta::assert_snapshot!(told);
}

#[test]
fn there_is_one_check_for_each_of_the_first_hundred_steps() {
    let nodes = (0..1_000).map(|n| node(&format!("step-{n}"), invoke())).collect();
    let mut run = vec![(at(0), started("test", event("main"), nodes))];
    run.extend([(at(1), begins("step-777", 1)), (at(2), ended("step-777", failed("exit code 1")))]);
    let said = Tale { run, ..Tale::default() }.said();
    assert_eq!(said.checks.len(), 101);
    let whole = &said.checks[0].summary;
    assert!(whole.contains("| ❌ | `step-777` | failed: `exit code 1` |") && whole.contains("… and 900 more."), "{whole}");
    assert!(whole.len() < 65_535);
}
