//! What environments take, and whose word counts.

use super::*;
use crate::model::event::Context;
use crate::model::policy::{Approvers, Gate, Protection, Voice};

const SHIP: &str = "name: p\nsteps:\n  build: { run: x, outputs: { zip: a.zip } }\n  ship: { needs: build, environment: production, deploy: { function: shop, artifact: build.zip } }\n  note: { run: x, environment: production }\n  other: { needs: build, deploy: { function: shop, artifact: build.zip } }\nfunctions:\n  shop: { runtime: provided.al2023 }\n";

fn at(mut event: Event, reference: &str) -> Event {
    event.reference = reference.to_owned();
    event
}

#[test]
fn an_environment_takes_the_branches_and_tags_that_it_lists() {
    let listed = policy_of("environments: { production: { branches: [main, \"release/*\"], tags: \"v*\" } }");
    let own = |mut event: Event| {
        event.branch = Some("main".into());
        event
    };
    let mut merge = at(event(EventKind::MergeGroup), "refs/heads/gh-readonly-queue/main/pr-7");
    merge.branch = Some("main".into());
    let cases = [
        (event(EventKind::Push), true),
        (event(EventKind::Schedule), true),
        (event(EventKind::Manual), true),
        (at(event(EventKind::Push), "refs/heads/release/1"), true),
        (at(event(EventKind::Push), "refs/heads/release/1/2"), false),
        (at(event(EventKind::Push), "refs/heads/topic"), false),
        (at(event(EventKind::Push), "refs/tags/v1"), true),
        (at(event(EventKind::Push), "refs/tags/main"), false),
        (at(event(EventKind::Push), "main"), false),
        (at(event(EventKind::Push), ""), false),
        // It wants to get into main, and is not there.
        (own(own_pull()), false),
        (at(own(own_pull()), "refs/heads/main"), false),
        (merge, false),
    ];
    for (event, taken) in cases {
        let plan = guard(plan_of(SHIP, &event), &listed);
        for node in ["ship", "note"] {
            assert_eq!(held(&plan, node).is_none(), taken, "{node} of {:?} {:?}", event.kind, event.reference);
        }
    }
}

#[test]
fn what_the_policy_says_of_an_environment_becomes_part_of_the_plan() {
    let policy = policy_of("environments: { production: { approvers: maintain, wait: 5m } }");
    let plan = guard(plan_of(SHIP, &event(EventKind::Push)), &policy);
    let gate = |plan: &Plan| plan.node(&NodeId::new("note")).and_then(|node| node.environment.clone());
    let protection =
        Protection { approvers: Some(Approvers::AtLeast(Permission::Maintain)), wait: std::time::Duration::from_secs(300), self_approval: false };
    assert_eq!(gate(&plan), Some(Gate { environment: "production".into(), protection: Some(protection) }));
    // Who has not been asked has not said that nothing is needed.
    assert_eq!(gate(&plan_of(SHIP, &event(EventKind::Push))).and_then(|gate| gate.protection), None);
    assert_eq!(
        gate(&guard(plan_of(SHIP, &event(EventKind::Push)), &Policy::default())).and_then(|gate| gate.protection),
        Some(Protection::default())
    );
}

#[test]
fn an_environment_that_is_not_there_is_a_mistake_where_there_are_others() {
    let policy = policy_of("environments: { prodaction: { approvers: [alice] } }");
    let plan = guard(plan_of(SHIP, &event(EventKind::Push)), &policy);
    assert_eq!(held(&plan, "ship").as_deref(), Some("the policy has no environment \"production\": did you mean \"prodaction\"?"));
}

#[test]
fn leaving_the_environment_out_of_the_file_is_no_way_around_it() {
    let policy = policy_of("environments: { production: { approvers: [alice], functions: [\"sho*\"] }, staging: {} }");
    let plan = guard(plan_of(SHIP, &event(EventKind::Push)), &policy);
    assert_eq!(held(&plan, "ship"), None);
    assert!(held(&plan, "other").is_some_and(|why| why.contains("environment: production")));
    let elsewhere = guard(plan_of(&SHIP.replace("environment: production", "environment: staging"), &event(EventKind::Push)), &policy);
    assert!(held(&elsewhere, "ship").is_some());
    assert_eq!(held(&elsewhere, "note"), None);
}

#[test]
fn a_policy_that_can_not_be_read_deploys_nothing() {
    let plan = guard(plan_of(SHIP, &event(EventKind::Push)), &Policy::closed("it is broken"));
    for (node, runs) in [("build", true), ("ship", false), ("note", false), ("other", false)] {
        assert_eq!(held(&plan, node).is_none(), runs, "{node}");
    }
}

#[test]
fn whose_word_counts() {
    let gate = |text: &str| {
        let plan = guard(plan_of(SHIP, &event(EventKind::Push)), &policy_of(&format!("environments: {{ production: {{ {text} }} }}")));
        plan.node(&NodeId::new("note")).and_then(|node| node.environment.clone()).expect("a gate")
    };
    let says = |login: &str, permission| Voice::Forge { login: login.to_owned(), id: None, permission };
    let mary = actor("mary");
    for (text, voice, yes) in [
        ("approvers: maintain", says("bob", Permission::Maintain), true),
        ("approvers: maintain", says("bob", Permission::Write), false),
        ("approvers: [alice, Bob]", says("bob", Permission::Read), true),
        ("approvers: [alice]", says("bob", Permission::Admin), false),
        // Who started it does not look at it once more.
        ("approvers: maintain", says("Mary", Permission::Admin), false),
        ("approvers: [mary]", says("mary", Permission::Admin), false),
        ("approvers: [mary], self_approval: true", says("mary", Permission::Read), true),
        ("approvers: [alice]", Voice::Machine { user: "root".into() }, true),
        ("wait: 5m", says("bob", Permission::Admin), false),
    ] {
        assert_eq!(accepts(&gate(text), Some(&mary), &voice).is_ok(), yes, "{text} by {voice}");
    }
    let unknown = Gate { environment: "production".into(), protection: None };
    assert!(accepts(&unknown, None, &Voice::Machine { user: "root".into() }).is_err());
}

#[test]
fn who_asked_for_a_run_once_more_has_started_it_as_well() {
    let plan = guard(plan_of(SHIP, &event(EventKind::Push)), &policy_of("environments: { production: { approvers: write } }"));
    let gate = plan.node(&NodeId::new("note")).and_then(|node| node.environment.clone()).expect("a gate");
    let context = Context { actor: Some(actor("mary")), again: Some(actor("ada")), ..Context::default() };
    let says = |login: &str| Voice::Forge { login: login.to_owned(), id: None, permission: Permission::Admin };
    for (login, yes) in [("mary", false), ("ada", false), ("bob", true)] {
        assert_eq!(accepts(&gate, context.starters(), &says(login)).is_ok(), yes, "{login}");
    }
}

/// The one who started a run is known again under another name, and when they came through the API.
#[test]
fn nobody_gets_around_looking_at_their_own_run_by_another_name() {
    let text = "environments: { production: { approvers: write } }";
    let plan = guard(plan_of(SHIP, &event(EventKind::Push)), &policy_of(text));
    let gate = plan.node(&NodeId::new("note")).and_then(|node| node.environment.clone()).expect("a gate");
    let by = |login: &str, id: u64| Voice::Forge { login: login.to_owned(), id: Some(id), permission: Permission::Admin };
    let started = |login: &str, id: u64| Actor { login: login.to_owned(), id, bot: false };
    for (first, then, yes) in [
        (started("mary", 5), by("mary", 5), false),
        (started("mary", 5), by("renamed", 5), false),
        (started("mary", 5), by("MARY", 9), false),
        (started("@mary", 0), by("mary", 5), false),
        (started("mary", 5), by("ada", 6), true),
        (started("token deploy", 0), by("ada", 0), true),
    ] {
        assert_eq!(accepts(&gate, Some(&first), &then).is_ok(), yes, "{first:?} and {then:?}");
    }
}

#[test]
fn programs_say_nothing_and_nobody_does_where_the_policy_can_not_be_read() {
    assert!(voice(&Policy::default(), &actor("helper[bot]"), Permission::Admin).is_err_and(|why| why.contains("a program")));
    assert!(voice(&Policy::closed("it is broken"), &actor("mary"), Permission::Admin).is_err_and(|why| why.contains("broken")));
    let mary = actor("mary");
    let said = |permission| Ok(Voice::Forge { login: "mary".into(), id: Some(mary.id), permission });
    assert_eq!(voice(&Policy::default(), &mary, Permission::Triage), said(Permission::Triage));
    let listed = policy_of("environments: { production: { approvers: maintain }, staging: { approvers: [Mary] } }");
    assert_eq!(voice(&listed, &mary, Permission::None), said(Permission::None));
    for (policy, who) in [(&listed, "eve"), (&Policy::default(), "mary")] {
        assert!(voice(policy, &actor(who), Permission::Read).is_err_and(|why| why.contains("for no environment")), "{who}");
    }
}

#[test]
fn a_commit_is_meant_when_only_it_begins_so() {
    let commits: Vec<CommitId> = ["aaaaaaa1", "aaaaaaa2", "bbbbbbb1"].map(|head| CommitId::new(format!("{head}{}", "0".repeat(32)))).into();
    assert_eq!(named("BBBBBBB", &commits), Ok(&commits[2]));
    assert_eq!(named("aaaaaaa1", &commits), Ok(&commits[0]));
    for (said, why) in [("aaaaaaa", "several"), ("ccccccc", "nothing is known"), ("bbbbbb", "7 or more"), ("refs/he", "7 or more"), ("", "7 or more")]
    {
        assert!(named(said, &commits).is_err_and(|answer| answer.contains(why)), "{said}");
    }
    // One that was heard of twice is still one.
    assert_eq!(named("bbbbbbb", &[commits[2].clone(), commits[2].clone()]), Ok(&commits[2]));
}
