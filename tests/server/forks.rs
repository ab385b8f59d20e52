//! A stranger's pull request: it waits, somebody who may lets exactly one commit run, and that runs with nothing to take.

use serde_json::Value;
use tidegate::model::fact::RunFact;
use tidegate::model::id::RunId;
use tidegate::model::outcome::RunOutcome;
use tidegate::model::request::{Dropped, RequestFact};

use crate::alike::{SHORT, alike, point};
use crate::payloads::{comment, pressed, pull};
use crate::town::{SHOP, Town};

const PIPELINE: &str = r#"
name: shop
on: { pull_request: {} }
steps:
  build:
    network: open
    run: |
      cat /proc/net/dev
      sh ./work.sh
      echo package > bundle.zip
    outputs: { bundle: bundle.zip }
  ship: { needs: [build], deploy: { function: hello, artifact: build.bundle } }
functions:
  hello: { runtime: provided.al2023, timeout: 2s }
"#;
const EVIL: &str = "name: evil\non: { pull_request: {} }\nsteps:\n  evil: { run: echo evil }\n";

struct Scene {
    town: Town,
    base: String,
}

impl Scene {
    fn new() -> Self {
        let town = Town::with(&[(".tidegate/shop.yaml", PIPELINE), ("work.sh", "echo trusted\n")]);
        let base = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
        // The stranger changes what is run as well.
        town.world.git(&["checkout", "--quiet", "-b", "doors"]);
        town.world.write(".tidegate/shop.yaml", EVIL);
        Self { town, base }
    }

    /// The stranger's next commit, as GitHub has it: what of it was delivered is another question.
    fn head(&self, work: &str) -> String {
        let head = self.town.push("work.sh", work, "refs/pull/7/head");
        self.town.github.world().pull(SHOP, 7, &head);
        head
    }

    fn deliver(&self, id: &str, action: &str, head: &str) -> RunId {
        self.town.asked_one(&self.town.deliver(id, "pull_request", &pull(&self.town.url(), action, head, &self.base)))
    }

    fn say(&self, id: &str, by: &str, said: &str) -> Value {
        self.town.deliver(id, "issue_comment", &comment(&self.town.url(), by, said))["handled"].clone()
    }
}

fn is_refused(handled: &Value, why: &str) {
    assert!(handled.to_string().contains("refused") && handled.to_string().contains(why), "{handled}");
}

#[test]
fn a_fork_waits_until_somebody_who_writes_has_looked_and_runs_with_nothing_to_take() {
    let scene = Scene::new();
    let town = &scene.town;
    let head = scene.head("echo stranger\n");
    let run = scene.deliver("opened", "opened", &head);
    let check = town.check(run.as_str(), "action_required");
    assert_eq!((check.name.as_str(), check.sha.as_str()), ("tidegate / shop", head.as_str()), "the base says what is run");
    is_refused(&scene.say("bob", "bob", &format!("/tidegate approve {head}")), "write");
    is_refused(&scene.say("eve", "eve", &format!("/tidegate approve {head}")), "write");
    is_refused(&scene.say("which", "ada", "/tidegate approve"), "which commit");
    assert_eq!(town.facts(&run), []);

    let obeyed = scene.say("ada", "ada", &format!("/tidegate approve {}", &head[..8]));
    assert!(obeyed.to_string().contains(run.as_str()), "{obeyed}");
    town.end_of(&run);
    let facts = town.facts(&run);
    let Some(RunFact::Started { plan, .. }) = facts.first() else { panic!("{facts:#?}") };
    assert_eq!(plan["trust"], "untrusted", "{plan:#}");
    assert!(!facts.iter().any(|fact| matches!(fact, RunFact::RolloutAttached { .. })), "{facts:#?}");
    let log = town.world.tidegate(&["runs", "logs", run.as_str(), "build"]).expect(0).out;
    let networks: Vec<&str> = log.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    assert!(log.contains("stranger") && networks.iter().all(|name| *name == "lo"), "{log}");
    town.check(&format!("{run}/build"), "success");
    assert_eq!(town.github.deployments(SHOP).len(), 0);
    town.world.tidegate(&["runs", "show", run.as_str()]).says("not trusted");
}

#[test]
fn a_push_after_the_approval_voids_it() {
    let scene = Scene::new();
    let town = &scene.town;
    let first = scene.head("echo harmless\n");
    let old = scene.deliver("opened", "opened", &first);
    let second = scene.head("echo harmful\n");
    // It was approved for what it was when somebody looked: GitHub knows better by now.
    is_refused(&scene.say("late", "ada", &format!("/tidegate approve {first}")), "not the head");
    let new = scene.deliver("synchronize", "synchronize", &second);
    assert!(matches!(town.dropped(&old), RequestFact::Dropped { why: Dropped::Void { .. } }));
    town.check(old.as_str(), "cancelled");
    is_refused(&scene.say("later", "ada", &format!("/tidegate approve {first}")), "not the head");
    town.check(new.as_str(), "action_required");
    // What was heard once and is heard again is not news.
    town.world.tidegate(&["deliveries", "replay", "opened"]).expect(0);
    assert!(town.handled("opened")["handled"].to_string().contains("another head"), "{:#}", town.handled("opened"));
    scene.say("now", "ada", &format!("/tidegate approve {second}"));
    town.end_of(&new);
    assert_eq!(town.facts(&old), []);
    assert!(town.world.tidegate(&["runs", "logs", new.as_str(), "build"]).expect(0).out.contains("harmful"));
}

#[test]
fn what_is_not_the_head_any_more_does_not_begin_although_nobody_has_said_so_yet() {
    let scene = Scene::new();
    let town = &scene.town;
    let first = scene.head("echo harmless\n");
    let run = scene.deliver("opened", "opened", &first);
    town.check(run.as_str(), "action_required");
    scene.head("echo harmful\n");
    // The button of the old commit's check: pressed in good faith.
    town.deliver("pressed", "check_run", &pressed(&town.url(), "ada", &first, run.as_str(), "approve"));
    town.dropped(&run);
    assert_eq!(town.facts(&run), []);
    let check = town.check(run.as_str(), "failure");
    assert!(check.summary.contains("head"), "{check:#?}");
}

#[test]
fn a_comment_cancels_what_runs_if_its_writer_may() {
    let scene = Scene::new();
    let town = &scene.town;
    let head = scene.head("echo waits; sleep 600\n");
    let run = scene.deliver("opened", "opened", &head);
    scene.say("approve", "ada", &format!("/tidegate approve {head}"));
    town.invoked(&run);
    is_refused(&scene.say("bob", "bob", "/tidegate cancel"), "");
    scene.say("ada", "ada", "/tidegate cancel");
    assert_eq!(town.end_of(&run), RunOutcome::Cancelled);
    town.check(run.as_str(), "cancelled");
}

/// The stranger has two commits that begin alike, and changes them between the look and the word.
#[test]
fn a_short_name_that_two_heads_have_approves_neither() {
    let scene = Scene::new();
    let town = &scene.town;
    let (first, second) = alike(town);
    point(town, &first);
    let old = scene.deliver("opened", "opened", &first);
    town.check(old.as_str(), "action_required");
    // Nobody has heard of the second one yet but GitHub.
    point(town, &second);
    for (id, short) in [("short", first[..SHORT].to_owned()), ("large", first[..SHORT].to_uppercase())] {
        is_refused(&scene.say(id, "ada", &format!("/tidegate approve {short}")), "several commits that begin with");
    }
    is_refused(&scene.say("unheard", "ada", &format!("/tidegate approve {second}")), "nothing waits for approval");
    let new = scene.deliver("synchronize", "synchronize", &second);
    assert!(matches!(town.dropped(&old), RequestFact::Dropped { why: Dropped::Void { .. } }));
    is_refused(&scene.say("again", "ada", &format!("/tidegate approve {}", &second[..SHORT])), "several commits that begin with");
    assert_eq!((town.facts(&old), town.facts(&new)), (Vec::new(), Vec::new()));
    is_refused(&scene.say("first", "ada", &format!("/tidegate approve {first}")), "not the head");
    let obeyed = scene.say("second", "ada", &format!("/tidegate approve {second}"));
    assert!(obeyed.to_string().contains(new.as_str()) && !obeyed.to_string().contains(old.as_str()), "{obeyed}");
    town.end_of(&new);
    assert_eq!(town.facts(&old), []);
}
