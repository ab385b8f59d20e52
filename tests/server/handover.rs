//! One server takes another's place while a run is under way and deliveries come.

use tidegate::model::fact::RunFact;
use tidegate::model::outcome::RunOutcome;

use crate::payloads::push;
use crate::town::{Town, begun};

/// Waits for a file of its reader's, so that a test says when it ends.
const SLOW: &str = "\
name: slow
on: { push: { branches: [main] } }
steps:
  slow:
    run: |
      n=0
      while [ $n -lt 80 ]; do sleep 0.1; n=$((n+1)); echo line $n; done
";
const QUICK: &str = "name: quick\non: { push: { branches: [\"b*\"] } }\nsteps:\n  build: { run: echo built }\n";

#[test]
fn a_run_ends_once_and_every_delivery_is_answered_over_handovers() {
    let mut town = Town::with(&[(".tidegate/slow.yaml", SLOW), (".tidegate/quick.yaml", QUICK)]);
    let commit = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let slow = town.asked_one(&town.deliver("slow", "push", &push(&town.url(), "refs/heads/main", &commit)));
    town.invoked(&slow);
    let branches: Vec<String> = (0..12).map(|n| format!("b{n}")).collect();
    for branch in &branches {
        town.push("door.txt", branch, &format!("refs/heads/{branch}"));
    }
    let bodies: Vec<_> = branches
        .iter()
        .map(|branch| {
            let commit = town.world.git(&["rev-parse", &format!("origin/{branch}")]).trim().to_owned();
            (branch.clone(), push(&town.url(), &format!("refs/heads/{branch}"), &commit).to_string())
        })
        .collect();
    let server = town.server;
    let sender = std::thread::spawn(move || {
        let sent = bodies.into_iter().map(|(id, body)| {
            std::thread::sleep(std::time::Duration::from_millis(150));
            (id.clone(), crate::client::Post::new(&id, "push", body).send(server).status)
        });
        sent.collect::<Vec<_>>()
    });
    for _ in 0..2 {
        assert_eq!(town.hand_over(), Some(0));
    }
    for (id, status) in sender.join().expect("sent") {
        assert_eq!(status, 202, "{id} was turned away");
        let run = town.asked_one(&town.handled(&id));
        assert_eq!(town.end_of(&run), RunOutcome::Succeeded);
        town.check(run.as_str(), "success");
    }
    assert_eq!(town.end_of(&slow), RunOutcome::Succeeded);
    let facts = town.facts(&slow);
    assert_eq!(begun(&facts, "slow"), 1, "{facts:?}");
    assert_eq!(facts.iter().filter(|fact| matches!(fact, RunFact::Ended { .. })).count(), 1);
    let lines: Vec<String> = (1..=80).map(|n| format!("line {n}\n")).collect();
    assert_eq!(town.world.tidegate(&["runs", "logs", slow.as_str(), "slow"]).expect(0).out, lines.concat());
    town.check(slow.as_str(), "success");
}
