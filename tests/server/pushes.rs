//! A push, and what its commit shows.

use tidegate::model::outcome::RunOutcome;

use crate::payloads::push;
use crate::town::Town;

const GOOD: &str = "name: shop\non: { push: {} }\nsteps:\n  build: { run: echo built }\n";

#[test]
fn a_push_runs_its_pipeline_once_and_its_commit_gets_a_green_check() {
    let town = Town::with(&[(".tidegate/shop.yaml", GOOD)]);
    let commit = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let body = push(&town.url(), "refs/heads/main", &commit);
    let run = town.asked_one(&town.deliver("d1", "push", &body));
    let check = town.check(run.as_str(), "success");
    assert_eq!((check.name.as_str(), check.sha), ("tidegate / shop", commit));
    town.check(&format!("{run}/build"), "success");
    town.world.tidegate(&["runs", "show", run.as_str()]).expect(0).says("✔ shop succeeded");
    // GitHub asks again, and so does somebody at the server.
    assert_eq!(town.send("d1", "push", &body).status, 200);
    town.world.tidegate(&["deliveries", "replay", "d1"]).expect(0);
    let again = town.handled("d1");
    assert_eq!(town.asked_one(&again), run);
    assert_eq!(town.requests().len(), 1);
    town.world.tidegate(&["runs", "ls"]).expect(0).says(run.as_str());
}

#[test]
fn a_step_that_fails_makes_a_red_check_with_the_end_of_its_log() {
    let bad = GOOD.replace("echo built", "\"echo the hinge is missing; exit 3\"");
    let town = Town::with(&[(".tidegate/shop.yaml", &bad)]);
    let commit = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let run = town.asked_one(&town.deliver("d1", "push", &push(&town.url(), "refs/heads/main", &commit)));
    assert_eq!(town.end_of(&run), RunOutcome::Failed);
    town.check(run.as_str(), "failure");
    let step = town.check(&format!("{run}/build"), "failure");
    assert!(format!("{}{}", step.summary, step.text).contains("the hinge is missing"), "{step:#?}");
}

#[test]
fn a_pipeline_file_that_is_broken_makes_a_red_check_that_says_where() {
    let town = Town::with(&[(".tidegate/shop.yaml", &GOOD.replace("run:", "rum:"))]);
    let commit = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let run = town.asked_one(&town.deliver("d1", "push", &push(&town.url(), "refs/heads/main", &commit)));
    let check = town.check(run.as_str(), "failure");
    assert!(check.summary.contains("--> .tidegate/shop.yaml:4:12\n"), "{check:#?}");
    assert_eq!(town.facts(&run), []);
}
