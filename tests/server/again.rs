//! The same run once more: by the check's button, by a comment on GitHub's side, through the API; and a run by hand.

use tidegate::model::fact::RunFact;
use tidegate::model::id::RunId;
use tidegate::model::outcome::RunOutcome;

use crate::payloads::{pressed, push, rerequested};
use crate::support::Seen;
use crate::town::{Town, begun};

const PIPELINE: &str = r#"
name: shop
on: { push: {} }
steps:
  build:
    run: |
      mkdir dist && cat /proc/sys/kernel/random/uuid > dist/mark
      echo "mark=$(cat dist/mark)" >> "$TIDEGATE_OUTPUT"
    outputs: { dist: dist }
  test: { needs: [build], run: "cat dist/mark; echo ${{ steps.build.outputs.mark }}; exit 1" }
"#;
const BY_HAND: &str = r#"
name: by-hand
on: { manual: { params: { channel: { type: string, choices: [stable, beta], default: stable } } } }
steps:
  say: { run: "echo channel ${{ params.channel }}" }
"#;

struct Scene {
    town: Town,
    commit: String,
    token: String,
    run: RunId,
}

impl Scene {
    /// With one run that has failed.
    fn new() -> Self {
        let town = Town::with(&[(".tidegate/shop.yaml", PIPELINE), (".tidegate/by-hand.yaml", BY_HAND)]);
        let commit = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let run = town.asked_one(&town.deliver("d1", "push", &push(&town.url(), "refs/heads/main", &commit)));
        assert_eq!(town.end_of(&run), RunOutcome::Failed);
        let token = town.world.tidegate(&["tokens", "create", "me", "--scope", "run", "--json"]).expect(0).out;
        let token: serde_json::Value = serde_json::from_str(&token).expect("JSON");
        let token = token["token"].as_str().expect("a token").to_owned();
        Self { town, commit, token, run }
    }

    /// The command line against the server.
    fn there(&self, arguments: &[&str]) -> Seen {
        let mut command = self.town.world.command(arguments);
        command.env("TIDEGATE_SERVER", format!("http://{}", self.town.server)).env("TIDEGATE_TOKEN", &self.token);
        Seen::of(&command.output().expect("the binary"))
    }

    fn log(&self, run: &RunId) -> String {
        self.town.world.tidegate(&["runs", "logs", run.as_str(), "test"]).expect(0).out
    }

    /// What was good is as it was, and what was not has run again with it.
    fn is_rest_of_first(&self, run: &RunId) {
        assert_eq!(self.town.end_of(run), RunOutcome::Failed);
        let facts = self.town.facts(run);
        let kept = facts.iter().any(|fact| matches!(fact, RunFact::NodeKept { node, from, .. } if node.as_str() == "build" && *from == self.run));
        assert!(kept, "{facts:#?}");
        assert_eq!((begun(&facts, "build"), begun(&facts, "test")), (0, 1), "{facts:#?}");
        assert_eq!(self.log(run), self.log(&self.run));
        self.town.check(run.as_str(), "failure");
    }
}

#[test]
fn a_check_that_is_asked_for_again_is_another_run_of_all() {
    let scene = Scene::new();
    let town = &scene.town;
    let body = rerequested(&town.url(), "bob", &scene.commit, scene.run.as_str());
    let refused = town.deliver("by-bob", "check_run", &body)["handled"].to_string();
    assert!(refused.contains("refused"), "{refused}");
    let body = rerequested(&town.url(), "ada", &scene.commit, scene.run.as_str());
    let again = town.asked_one(&town.deliver("by-ada", "check_run", &body));
    assert_eq!(town.end_of(&again), RunOutcome::Failed);
    let facts = town.facts(&again);
    assert_eq!((begun(&facts, "build"), begun(&facts, "test")), (1, 1), "{facts:#?}");
    assert_ne!(scene.log(&again), scene.log(&scene.run));
    town.check(again.as_str(), "failure");
}

#[test]
fn only_what_failed_runs_again_with_what_the_rest_left() {
    let mut scene = Scene::new();
    let body = pressed(&scene.town.url(), "ada", &scene.commit, scene.run.as_str(), "rerun-failed");
    let button = scene.town.asked_one(&scene.town.deliver("button", "check_run", &body));
    scene.is_rest_of_first(&button);
    // What was left outlives the server.
    scene.town.restart(rustix::process::Signal::KILL);
    let before = scene.town.requests();
    scene.there(&["runs", "rerun", scene.run.as_str(), "--failed"]).expect(0);
    let asked: Vec<RunId> = scene.town.requests().into_iter().filter(|run| !before.contains(run)).collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    scene.is_rest_of_first(&asked[0]);
}

#[test]
fn a_run_by_hand_has_its_parameters() {
    let scene = Scene::new();
    let url = format!("http://{}", scene.town.server);
    let by_hand = |more: &[&str]| {
        let mut arguments = vec!["trigger", "--url", &url, "--of", "acme/shop", ".tidegate/by-hand.yaml"];
        arguments.extend(more);
        scene.there(&arguments)
    };
    by_hand(&["--param", "channel=beta"]).expect(0);
    let run = scene.town.requests().into_iter().next().expect("a request");
    assert_eq!(scene.town.end_of(&run), RunOutcome::Succeeded);
    assert_eq!(scene.town.world.tidegate(&["runs", "logs", run.as_str(), "say"]).expect(0).out, "channel beta\n");
    let wrong = by_hand(&["--param", "channel=nightly"]);
    assert_ne!(wrong.code, 0, "{}", wrong.all());
    // A name of nothing is the caller's mistake.
    for (of, file) in [("acme/nothing", ".tidegate/by-hand.yaml"), ("acme/shop", ".tidegate/nothing.yaml")] {
        let seen = scene.there(&["trigger", "--url", &url, "--of", of, file]);
        assert_eq!(seen.code, 2, "{of} {file}: {}", seen.all());
    }
}
