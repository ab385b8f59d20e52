//! Who of a group runs, who waits, and who is not wanted any more.

use serde_json::json;
use tidegate::model::id::RunId;
use tidegate::model::outcome::RunOutcome;
use tidegate::model::request::{Dropped, RequestFact};

use crate::payloads::{deletion, pressed, push};
use crate::town::Town;

const STAYS: &str = "echo waits; sleep 600\n";
const ENDS: &str = "echo done\n";

fn town(concurrency: &serde_json::Value) -> Town {
    let pipeline = format!("name: shop\non: {{ push: {{}} }}\nconcurrency: {concurrency}\nsteps:\n  work: {{ run: sh ./work.sh }}\n");
    Town::with(&[(".tidegate/shop.yaml", &pipeline), ("work.sh", ENDS)])
}

/// Pushes to a branch; the run that it asks for, and its commit.
fn pushed(town: &Town, id: &str, branch: &str, work: &str) -> (RunId, String) {
    let reference = format!("refs/heads/{branch}");
    // Every commit is another one.
    let commit = town.push("work.sh", &format!("{work}# {id}\n"), &reference);
    (town.asked_one(&town.deliver(id, "push", &push(&town.url(), &reference, &commit))), commit)
}

fn cancel(town: &Town, (run, commit): &(RunId, String)) {
    town.deliver(&format!("cancel-{run}"), "check_run", &pressed(&town.url(), "ada", commit, run.as_str(), "cancel"));
    assert_eq!(town.end_of(run), RunOutcome::Cancelled);
}

#[test]
fn a_newer_push_ends_the_one_that_runs() {
    let town = town(&json!({ "group": "${{ event.ref }}", "supersede": true }));
    let old = pushed(&town, "d1", "main", STAYS).0;
    town.invoked(&old);
    let other = pushed(&town, "d2", "other", ENDS).0;
    assert_eq!(town.end_of(&other), RunOutcome::Succeeded, "another branch is another group");
    let new = pushed(&town, "d3", "main", ENDS).0;
    assert_eq!(town.end_of(&old), RunOutcome::Cancelled);
    assert_eq!(town.end_of(&new), RunOutcome::Succeeded);
    town.check(old.as_str(), "cancelled");
    town.check(new.as_str(), "success");
}

#[test]
fn everybody_who_waits_has_their_turn_where_all_may_wait() {
    let town = town(&json!({ "group": "one", "queue": "all" }));
    let runs: Vec<RunId> = (0..4).map(|n| pushed(&town, &format!("d{n}"), &format!("b{n}"), "sleep 2\n").0).collect();
    for run in &runs {
        assert_eq!(town.end_of(run), RunOutcome::Succeeded);
        town.check(run.as_str(), "success");
    }
    let spans: Vec<_> = runs.iter().map(|run| town.span(run)).collect();
    assert!(spans.windows(2).all(|two| two[0].1 <= two[1].0), "one after the other, in order: {spans:?}");
}

#[test]
fn only_the_newest_waits_where_nothing_else_is_said() {
    let town = town(&json!({ "group": "one" }));
    let first = pushed(&town, "d1", "main", STAYS);
    town.invoked(&first.0);
    let second = pushed(&town, "d2", "main", ENDS).0;
    let third = pushed(&town, "d3", "main", ENDS).0;
    assert_eq!(town.dropped(&second), RequestFact::Dropped { why: Dropped::Superseded { by: third.clone() } });
    town.check(second.as_str(), "cancelled");
    assert_eq!(town.facts(&third), [], "the first one has not ended");
    cancel(&town, &first);
    assert_eq!(town.end_of(&third), RunOutcome::Succeeded);
    assert_eq!(town.facts(&second), []);
}

#[test]
fn what_waits_of_a_branch_that_is_deleted_does_not_begin() {
    let mut town = town(&json!({ "group": "one", "queue": "all" }));
    let first = pushed(&town, "d1", "main", STAYS);
    town.invoked(&first.0);
    let gone = pushed(&town, "d2", "doors", ENDS);
    let last = pushed(&town, "d3", "main", ENDS).0;
    // The next server knows as well who waits, and for what.
    town.restart(rustix::process::Signal::KILL);
    // A word of an earlier branch of this name, late: there is one.
    let late = town.deliver("d4", "push", &deletion(&town.url(), "refs/heads/doors", &gone.1));
    assert!(late.to_string().contains("is there again"), "{late}");
    assert_eq!(town.request(&gone.0).len(), 1, "it waits still");
    town.delete("refs/heads/doors");
    town.deliver("d5", "push", &deletion(&town.url(), "refs/heads/doors", &gone.1));
    assert!(matches!(town.dropped(&gone.0), RequestFact::Dropped { why: Dropped::Void { .. } }));
    cancel(&town, &first);
    assert_eq!(town.end_of(&last), RunOutcome::Succeeded);
    assert_eq!(town.facts(&gone.0), []);
    town.check(gone.0.as_str(), "cancelled");
}
