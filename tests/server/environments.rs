//! A step that waits for its environment is approved where people look: by a comment at the commit, in the pull request, or by the button of its check.

use serde_json::Value;
use tidegate::model::fact::RunFact;
use tidegate::model::id::RunId;
use tidegate::model::outcome::RunOutcome;

use crate::alike::{SHORT, alike, point};
use crate::payloads::{by, comment, commit_comment, own_pull, pressed, push, rerequested};
use crate::town::{SHOP, Town, begun};

const POLICY: &str = "environments: { production: { approvers: maintain, branches: [main] }, staging: { approvers: [carol] } }\n";
const SHOP_PIPELINE: &str = "\
name: shop
on: { push: {} }
steps:
  build: { run: echo built }
  ship: { needs: [build], environment: production, run: echo shipped }
";
const ZONES: &str = "\
name: zones
on: { push: {}, pull_request: {} }
steps:
  try: { matrix: { zone: [a, b] }, environment: staging, run: 'echo tried' }
";

fn town(pipeline: &str) -> Town {
    let town = Town::with(&[(".tidegate/shop.yaml", pipeline), (".tidegate/policy.yaml", POLICY)]);
    for (login, role) in [("mary", "maintain"), ("mona", "maintain"), ("max", "maintain"), ("carol", "read")] {
        town.github.world().role(SHOP, login, role);
    }
    town
}

fn head(town: &Town) -> String {
    town.world.git(&["rev-parse", "HEAD"]).trim().to_owned()
}

fn approvals(facts: &[RunFact]) -> Vec<(String, String)> {
    let approved = |fact: &RunFact| match fact {
        RunFact::NodeApproved { node, by } => Some((node.to_string(), by.to_string())),
        _ => None,
    };
    facts.iter().filter_map(approved).collect()
}

#[track_caller]
fn is_refused(shown: &Value, why: &str) {
    let handled = &shown["handled"];
    assert!(handled["handled"] == "refused" && handled["because"].as_str().is_some_and(|said| said.contains(why)), "{why}: {handled}");
}

#[track_caller]
fn is_obeyed(shown: &Value, what: &str) {
    let handled = &shown["handled"];
    assert!(handled["handled"] == "obeyed" && handled["what"].as_str().is_some_and(|said| said.contains(what)), "{what}: {handled}");
}

#[test]
fn a_comment_at_the_commit_lets_it_in_if_its_writer_is_an_approver_and_somebody_else() {
    let town = town(SHOP_PIPELINE);
    let (url, commit) = (town.url(), head(&town));
    let run = town.asked_one(&town.deliver("push", "push", &by("mary", push(&url, "refs/heads/main", &commit))));
    let ship = format!("{run}/ship");
    let check = town.check(&ship, "action_required");
    assert_eq!((check.title.as_str(), check.actions.len()), ("Waiting for approval: production", 2), "{check:#?}");
    assert_eq!((&check.actions[0]["identifier"], &check.actions[1]["identifier"]), (&"approve".into(), &"reject".into()));
    for said in ["`maintain`", "not from `mary`", "`/tidegate approve --environment production`"] {
        assert!(check.summary.contains(said), "{said}: {}", check.summary);
    }
    let whole = |title: &str| town.github.checks(SHOP).into_iter().find(|check| check.external == run.as_str() && check.title.starts_with(title));
    let whole = town.until("the pipeline's check", || whole("Waiting for approval"));
    assert!(whole.summary.contains("waiting for approval: `production`"), "{whole:#?}");

    let say = |id: &str, who: &str, said: &str| town.deliver(id, "commit_comment", &commit_comment(&url, who, &commit, said));
    let yes = "/tidegate approve --environment production";
    is_refused(&say("writer", "ada", yes), "needs maintain, and they have write");
    is_refused(&say("reader", "bob", yes), "for no environment here: they have read");
    is_refused(&say("stranger", "eve", yes), "for no environment here: they have none");
    is_refused(&say("self", "mary", yes), "mary has started this run");
    assert_eq!(say("program", "helper[bot]", yes)["handled"]["handled"], "ignored");
    is_refused(&say("elsewhere", "mona", "/tidegate approve --environment staging"), "nothing of");
    is_refused(&say("another", "mona", &format!("/tidegate approve {} production", "0".repeat(40))), "nothing is known");
    is_refused(&town.deliver("pressed", "check_run", &pressed(&url, "ada", &commit, &ship, "approve")), "needs maintain");
    is_refused(&town.deliver("wrong", "check_run", &pressed(&url, "mona", &commit, &format!("{run}/build"), "approve")), "does not wait");
    is_refused(&town.deliver("bot", "check_run", &pressed(&url, "helper[bot]", &commit, &ship, "approve")), "is a program");
    assert_eq!((approvals(&town.facts(&run)), begun(&town.facts(&run), "ship")), (Vec::new(), 0));

    is_obeyed(&say("mona", "mona", yes), &format!("mona has approved ship of run {run}"));
    assert_eq!(town.end_of(&run), RunOutcome::Succeeded);
    let check = town.check(&ship, "success");
    assert!(check.summary.contains("Approved for `production` by `mona`."), "{check:#?}");
    town.check(run.as_str(), "success");
    // Who asks for it once more has started it, and so has who did first.
    let rerun = town.asked_one(&town.deliver("rerun", "check_run", &rerequested(&url, "mona", &commit, run.as_str())));
    let again = format!("{rerun}/ship");
    town.check(&again, "action_required");
    for who in ["mona", "mary"] {
        let handled = town.deliver(&format!("again-{who}"), "check_run", &pressed(&url, who, &commit, &again, "approve"));
        is_refused(&handled, &format!("{who} has started this run"));
    }
    is_obeyed(
        &town.deliver("again-max", "check_run", &pressed(&url, "max", &commit, &again, "approve")),
        &format!("max has approved ship of run {rerun}"),
    );
    assert_eq!(town.end_of(&rerun), RunOutcome::Succeeded);
    // What was said once counts once, however often it is heard.
    town.world.tidegate(&["deliveries", "replay", "mona"]).expect(0);
    is_obeyed(&town.handled("mona"), "mona has approved ship");
    is_refused(&say("late", "ada", yes), "max has approved it already");
    assert_eq!(approvals(&town.facts(&run)), [("ship".to_owned(), "mona".to_owned())]);
}

#[test]
fn a_button_lets_in_one_step_of_one_run_and_a_listed_login_needs_no_more_than_to_be_listed() {
    let town = town(ZONES);
    let (url, commit) = (town.url(), head(&town));
    let first = town.asked_one(&town.deliver("first", "push", &push(&url, "refs/heads/main", &commit)));
    let second = town.asked_one(&town.deliver("second", "push", &push(&url, "refs/heads/again", &commit)));
    let nodes = |run: &RunId| {
        town.until(&format!("what waits in {run}"), || {
            let held = |fact: &RunFact| if let RunFact::NodeHeld { node, .. } = fact { Some(node.to_string()) } else { None };
            let held: Vec<String> = town.facts(run).iter().filter_map(held).collect();
            (held.len() == 2).then_some(held)
        })
    };
    let (of_first, of_second) = (nodes(&first), nodes(&second));
    let press = |id: &str, who: &str, check: String| town.deliver(id, "check_run", &pressed(&url, who, &commit, &check, "approve"));
    // Whoever is not on the list is not, whatever else they may.
    is_refused(&press("mary", "mary", format!("{first}/{}", of_first[0])), "that can carol");
    is_obeyed(&press("carol", "carol", format!("{first}/{}", of_first[0])), &of_first[0]);
    town.check(&format!("{first}/{}", of_first[0]), "success");
    town.check(&format!("{first}/{}", of_first[1]), "action_required");
    assert_eq!(approvals(&town.facts(&first)), [(of_first[0].clone(), "carol".to_owned())]);
    assert_eq!(approvals(&town.facts(&second)), []);
    // The button of the whole run is for what has not begun.
    is_refused(&press("whole", "ada", second.to_string()), "does not wait");

    // A comment at the commit is about all that waits for it there.
    let all = town.deliver("rest", "commit_comment", &commit_comment(&url, "carol", &commit, "/tidegate approve --environment staging"));
    for (run, node) in [(&first, &of_first[1]), (&second, &of_second[0]), (&second, &of_second[1])] {
        is_obeyed(&all, &format!("{node} of run {run}"));
    }
    assert_eq!((town.end_of(&first), town.end_of(&second)), (RunOutcome::Succeeded, RunOutcome::Succeeded));
}

#[test]
fn in_a_pull_request_the_commit_is_named_that_somebody_has_looked_at() {
    let town = town(ZONES);
    let (url, base) = (town.url(), head(&town));
    let push = |text: &str| {
        let head = town.push("door.txt", text, "refs/pull/7/head");
        town.github.world().pull(SHOP, 7, &head);
        head
    };
    let deliver = |id: &str, action: &str, head: &str| town.asked_one(&town.deliver(id, "pull_request", &own_pull(&url, action, head, &base)));
    let waits = |run: &RunId| {
        town.until("a step that waits", || town.facts(run).iter().any(|fact| matches!(fact, RunFact::NodeHeld { .. })).then_some(()));
    };
    let first = push("oak");
    let old = deliver("opened", "opened", &first);
    waits(&old);
    // Nobody has looked at what comes now, whatever stands there when the comment is heard.
    let second = push("ash");
    let new = deliver("synchronize", "synchronize", &second);
    waits(&new);
    let say = |id: &str, who: &str, said: &str| town.deliver(id, "issue_comment", &comment(&url, who, said));
    is_refused(&say("which", "carol", "/tidegate approve --environment staging"), "say which commit");
    is_refused(&say("ada", "ada", &format!("/tidegate approve {second} --environment staging")), "that can carol");
    is_obeyed(&say("carol", "carol", &format!("/tidegate approve {} --environment staging", &first[..10])), old.as_str());
    assert_eq!(town.end_of(&old), RunOutcome::Succeeded);
    assert_eq!(approvals(&town.facts(&new)), []);
    is_obeyed(&say("cancel", "ada", "/tidegate cancel"), new.as_str());
    assert_eq!(town.end_of(&new), RunOutcome::Cancelled);
    is_refused(&say("late", "carol", &format!("/tidegate approve {second} --environment staging")), "nothing of");
}

/// What one person has approved of a commit says nothing of what comes to wait for it later, and what they have said is about what there was when they said it.
#[test]
fn a_comment_is_about_what_waited_when_it_was_said() {
    let slow = "name: slow\non: { push: {} }\nsteps:\n  build: { run: sleep 600 }\n  bring: { needs: [build], environment: production, run: echo brought }\n";
    let town = Town::with(&[(".tidegate/shop.yaml", SHOP_PIPELINE), (".tidegate/slow.yaml", slow), (".tidegate/policy.yaml", POLICY)]);
    town.github.world().role(SHOP, "mona", "maintain");
    let (url, commit) = (town.url(), head(&town));
    let of = |runs: &[RunId], step: &str| {
        let has = |run: &&RunId| town.request(run).iter().any(|fact| format!("{fact:?}").contains(step));
        runs.iter().find(has).unwrap_or_else(|| panic!("no run with {step}")).clone()
    };
    let waits = |run: &RunId| {
        town.until("a step that waits", || town.facts(run).iter().any(|fact| matches!(fact, RunFact::NodeHeld { .. })).then_some(()));
    };
    let pushed = town.asked(&town.deliver("push", "push", &push(&url, "refs/heads/main", &commit)));
    let (shop, slow) = (of(&pushed, "ship"), of(&pushed, "bring"));
    waits(&shop);
    town.invoked(&slow);
    let yes = "/tidegate approve --environment production";
    let say = |id: &str| town.deliver(id, "commit_comment", &commit_comment(&url, "mona", &commit, yes));
    is_obeyed(&say("first"), &format!("mona has approved ship of run {shop}"));
    assert_eq!(town.end_of(&shop), RunOutcome::Succeeded);
    is_refused(&say("second"), "waits for production yet: say it again when it does");
    is_obeyed(&town.deliver("cancel", "check_run", &pressed(&url, "ada", &commit, slow.as_str(), "cancel")), slow.as_str());
    assert_eq!(town.end_of(&slow), RunOutcome::Cancelled);

    let pushed = town.asked(&town.deliver("again", "push", &push(&url, "refs/heads/main", &commit)));
    let later = of(&pushed, "ship");
    waits(&later);
    town.world.tidegate(&["deliveries", "replay", "first"]).expect(0);
    is_obeyed(&town.handled("first"), &format!("mona has approved ship of run {shop}"));
    assert_eq!(approvals(&town.facts(&later)), []);
    is_obeyed(&say("third"), &format!("mona has approved ship of run {later}"));
    assert_eq!(town.end_of(&later), RunOutcome::Succeeded);
    let slow = of(&pushed, "bring");
    is_obeyed(&town.deliver("end", "check_run", &pressed(&url, "ada", &commit, slow.as_str(), "cancel")), slow.as_str());
    assert_eq!(town.end_of(&slow), RunOutcome::Cancelled);
}

/// Two commits that begin alike are changed between the look and the word: the words are about neither, also when nobody has heard of the second one yet.
#[test]
fn a_short_name_that_the_head_has_as_well_lets_nothing_in() {
    let town = town(ZONES);
    let (url, base) = (town.url(), head(&town));
    let (first, second) = alike(&town);
    let deliver = |id: &str, action: &str, head: &str| town.asked_one(&town.deliver(id, "pull_request", &own_pull(&url, action, head, &base)));
    let waits = |run: &RunId| {
        town.until("steps that wait", || (town.facts(run).iter().filter(|fact| matches!(fact, RunFact::NodeHeld { .. })).count() == 2).then_some(()));
    };
    let say = |id: &str, commit: &str| {
        let said = format!("/tidegate approve {commit} --environment staging");
        town.deliver(id, "issue_comment", &comment(&url, "carol", &said))
    };
    point(&town, &first);
    let old = deliver("opened", "opened", &first);
    waits(&old);
    point(&town, &second);
    for (id, short) in [("short", first[..SHORT].to_owned()), ("large", first[..SHORT].to_uppercase())] {
        is_refused(&say(id, &short), "several commits begin with");
    }
    let new = deliver("synchronize", "synchronize", &second);
    waits(&new);
    is_refused(&say("heard", &first[..SHORT]), "several commits begin with");
    assert_eq!((approvals(&town.facts(&old)), approvals(&town.facts(&new))), (Vec::new(), Vec::new()));
    is_obeyed(&say("second", &second), new.as_str());
    assert_eq!(town.end_of(&new), RunOutcome::Succeeded);
    assert_eq!(approvals(&town.facts(&old)), []);
    is_obeyed(&say("first", &first), old.as_str());
    assert_eq!(town.end_of(&old), RunOutcome::Succeeded);
}

/// Nodes that somebody has said no to, and who.
fn rejections(facts: &[RunFact]) -> Vec<(String, String)> {
    let rejected = |fact: &RunFact| match fact {
        RunFact::NodeRejected { node, by, .. } => Some((node.to_string(), by.to_string())),
        _ => None,
    };
    facts.iter().filter_map(rejected).collect()
}

#[test]
fn whoever_may_say_yes_may_say_no_and_it_is_about_the_same() {
    let town = town(SHOP_PIPELINE);
    let (url, commit) = (town.url(), head(&town));
    let pushed = |id: &str| {
        let run = town.asked_one(&town.deliver(id, "push", &by("mary", push(&url, "refs/heads/main", &commit))));
        town.check(&format!("{run}/ship"), "action_required");
        run
    };
    let (run, other) = (pushed("push"), pushed("another"));
    let ship = format!("{run}/ship");
    let say = |id: &str, who: &str, said: &str| town.deliver(id, "commit_comment", &commit_comment(&url, who, &commit, said));
    let press = |id: &str, who: &str, check: &str| town.deliver(id, "check_run", &pressed(&url, who, &commit, check, "reject"));
    let no = "/tidegate reject --environment production";
    is_refused(&say("writer", "ada", no), "needs maintain, and they have write");
    is_refused(&say("stranger", "eve", no), "for no environment here: they have none");
    is_refused(&press("pressed", "ada", &ship), "needs maintain");
    is_refused(&press("bot", "helper[bot]", &ship), "is a program");
    is_refused(&press("wrong", "mona", &format!("{run}/build")), "does not wait");
    is_refused(&say("elsewhere", "mona", "/tidegate reject --environment staging"), "nothing of");
    is_refused(&say("nowhere", "mona", &format!("/tidegate reject {} production", "0".repeat(40))), "nothing is known");
    assert_eq!((rejections(&town.facts(&run)), begun(&town.facts(&run), "ship")), (Vec::new(), 0));

    // The button is about one step of one run, and who has started that may take it back.
    is_obeyed(&press("mary", "mary", &ship), &format!("mary has rejected ship of run {run}"));
    assert_eq!(town.end_of(&run), RunOutcome::Failed);
    let check = town.check(&ship, "failure");
    assert!(check.summary.contains("mary has rejected it"), "{check:#?}");
    assert_eq!((rejections(&town.facts(&run)), begun(&town.facts(&run), "ship")), (vec![("ship".to_owned(), "mary".to_owned())], 0));
    town.check(&format!("{other}/ship"), "action_required");
    // Nobody lets it in any more; and what was said counts once, however often it is heard.
    is_refused(&town.deliver("late", "check_run", &pressed(&url, "mona", &commit, &ship, "approve")), "mary has rejected it already");
    town.world.tidegate(&["deliveries", "replay", "mary"]).expect(0);
    is_obeyed(&town.handled("mary"), "mary has rejected ship");

    is_obeyed(&say("mona", "mona", no), &format!("mona has rejected ship of run {other}"));
    assert_eq!(town.end_of(&other), RunOutcome::Failed);
    assert_eq!(begun(&town.facts(&other), "ship"), 0);
    // What was let in is not kept out by a word that comes after it.
    let third = pushed("third");
    let yes = |id: &str| town.deliver(id, "check_run", &pressed(&url, "mona", &commit, &format!("{third}/ship"), "approve"));
    is_obeyed(&yes("yes"), "mona has approved ship");
    is_refused(&press("after", "mona", &format!("{third}/ship")), "mona has approved it already");
    assert_eq!(town.end_of(&third), RunOutcome::Succeeded);
}

#[test]
fn a_run_that_waits_is_rejected_at_the_machine() {
    let town = town(SHOP_PIPELINE);
    let commit = head(&town);
    let run = town.asked_one(&town.deliver("push", "push", &push(&town.url(), "refs/heads/main", &commit)));
    town.check(&format!("{run}/ship"), "action_required");
    town.world.tidegate(&["runs", "reject", run.as_str(), "--environment", "staging"]).expect(2).says("nothing in run");
    town.world.tidegate(&["runs", "reject", run.as_str(), "--reason", "not today"]).expect(0).says("Rejected: production");
    assert_eq!(town.end_of(&run), RunOutcome::Failed);
    assert!(town.check(&format!("{run}/ship"), "failure").summary.contains("has rejected it: not today"));
    assert_eq!(begun(&town.facts(&run), "ship"), 0);
}
