//! An *approval race*: somebody looks at one commit, and another one is run.

use tidegate::model::outcome::RunOutcome;
use tidegate::model::request::{Dropped, RequestFact};

use super::scene::{Scene, is};
use crate::payloads::pull;
use crate::town::begun;

/// Two of one group: the second waits until the first has ended, although it is approved.
const FIRST: &str = "name: a\non: { pull_request: {} }\nconcurrency: { group: one, queue: all }\nsteps:\n  work: { run: sh ./work.sh; sleep 600 }\n";

#[test]
fn a_push_between_approval_and_beginning_runs_neither_what_came_nor_what_was() {
    let second = FIRST.replace("name: a", "name: b");
    let scene = Scene::new(&[(".tidegate/a.yaml", FIRST), (".tidegate/b.yaml", &second), ("work.sh", "echo work of main\n")]);
    let town = &scene.town;
    let harmless = scene.head(&[("work.sh", "echo harmless\n")]);
    let runs = town.asked(&town.deliver("opened", "pull_request", &pull(&town.url(), "opened", &harmless, &scene.base)));
    assert_eq!(runs.len(), 2);
    is(&scene.say("approve", "ada", &format!("/tidegate approve {harmless}")), "obeyed", runs[0].as_str());
    // Whichever is first holds up the other.
    let a = town.until("the first of both", || runs.iter().find(|run| begun(&town.facts(run), "work") > 0));
    let b = runs.iter().find(|run| *run != a).expect("the other");
    assert!(town.request(b).iter().any(|fact| matches!(fact, RequestFact::Approved { .. })));

    // Approved, and waiting for its turn. Now the branch moves, and the delivery that tells of it is held back.
    let harmful = scene.head(&[("work.sh", "echo harmful\n")]);
    is(&scene.press("cancel", "ada", (&harmless, a.as_str()), "cancel"), "obeyed", a.as_str());
    assert_eq!(town.end_of(a), RunOutcome::Cancelled);
    assert!(matches!(town.dropped(b), RequestFact::Dropped { why: Dropped::Failed { why } } if why.contains("another head")));
    assert_eq!(town.facts(b), []);
    // The approval is of the old commit, however short it was named, and whoever hears of what by then.
    is(&scene.say("short", "ada", &format!("/tidegate approve {}", &harmless[..7])), "refused", "not the head");
    is(&scene.say("button", "ada", &format!("/tidegate approve {}", &harmful[..6])), "refused", "which");
    let new = town.asked(&town.deliver("synchronize", "pull_request", &pull(&town.url(), "synchronize", &harmful, &scene.base)));
    for run in &new {
        town.check(run.as_str(), "action_required");
        assert_eq!(town.facts(run), []);
    }
    is(&scene.press("old", "ada", (&harmless, b.as_str()), "approve"), "refused", "does not wait");
    is(&scene.press("again", "ada", (&harmless, a.as_str()), "rerun"), "refused", "another head");
    // Nothing else was begun by any of it.
    assert_eq!(town.requests().len(), 4);
    assert_eq!(new.iter().map(|run| begun(&town.facts(run), "work")).sum::<usize>(), 0);
}
