//! A step that waits for its environment, as a person meets it at a terminal.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::support::World;

const PIPELINE: &str = "name: x\nsteps:\n  ship: { run: echo shipped, environment: production }\n";
const POLICY: &str = "environments: { production: { approvers: [alice] } }\n";

fn world(pipeline: &str, policy: &str) -> World {
    World::with(&[(".tidegate/x.yaml", pipeline), (".tidegate/policy.yaml", policy)])
}

/// Not how long it takes, only that it comes.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(120), "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A word is written beside and renamed: what is only half there would be put into a folder that is gone.
fn is_said(words: &Path) -> bool {
    let inside = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    inside(words.to_path_buf()).flat_map(|run| inside(run.path())).any(|word| word.file_name().to_string_lossy().starts_with("word-"))
}

/// Ends what it started.
struct Running(Child);

impl Running {
    fn end(mut self) -> i32 {
        self.0.wait().expect("it ends").code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_starts_a_run_at_a_terminal_says_that_they_mean_it() {
    let world = world(PIPELINE, POLICY);
    // The policy is no pipeline: there is only one, and it is found.
    world.tidegate(&["run"]).expect(2).says("ship deploys to production").says("--approve production");
    world.tidegate(&["run", "--approve", "staging"]).expect(2).says("no step of this plan deploys to \"staging\"");
    world.tidegate(&["run", "--approve", "production"]).expect(0).says("approved by").says("at the machine");
    world.tidegate(&["runs", "logs", "latest", "ship"]).expect(0).says("shipped");
    world.tidegate(&["check"]).expect(0).says("policy.yaml: good");
}

#[test]
fn the_policy_is_the_default_branchs_and_not_that_of_what_is_run() {
    let world = world(PIPELINE, POLICY);
    let main = world.git(&["rev-parse", "HEAD"]);
    world.git(&["update-ref", "refs/remotes/origin/main", main.trim()]);
    world.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
    world.git(&["checkout", "--quiet", "-b", "topic"]);
    world.write(".tidegate/policy.yaml", "environments: { production: {} }\n");
    world.commit("Need nobody");
    world.tidegate(&["run"]).expect(2).says("--approve production");
    // Merged, it counts.
    let topic = world.git(&["rev-parse", "HEAD"]);
    world.git(&["update-ref", "refs/remotes/origin/main", topic.trim()]);
    world.tidegate(&["run"]).expect(0);
}

#[test]
fn a_policy_that_can_not_be_read_deploys_nothing_and_check_says_where_it_is_wrong() {
    let world = world(
        "name: x\nsteps:\n  test: { run: echo tested }\n  ship: { needs: test, run: echo shipped, environment: production }\n",
        "environments: { production: { approver: [alice] } }\n",
    );
    world.tidegate(&["run"]).expect(0).says("nothing is deployed").says("policy.yaml:1:").says("there is no key \"approver\" here");
    world.tidegate(&["runs", "logs", "latest", "test"]).expect(0).says("tested");
    world.tidegate(&["check"]).expect(2).says("did you mean \"approvers\"?");
}

#[test]
fn an_environment_takes_only_its_branches() {
    let world = world(PIPELINE, "environments: { production: { branches: [release] } }\n");
    world.tidegate(&["run"]).expect(0).says("the environment production does not take refs/heads/main");
    world.git(&["checkout", "--quiet", "-b", "release"]);
    world.tidegate(&["run"]).expect(0);
    world.tidegate(&["runs", "logs", "latest", "ship"]).expect(0).says("shipped");
}

/// One process waits; another one says yes, or no.
#[test]
fn a_run_that_waits_is_told_from_another_process() {
    let text = "name: x\nsteps:\n  first: { run: sleep 8 }\n  ship: { needs: first, run: echo shipped, environment: production }\n";
    for (said, code, outcome) in
        [(vec!["runs", "approve", "latest"], 0, "succeeded"), (vec!["runs", "reject", "latest", "--reason", "not today"], 1, "not today")]
    {
        let world = world(text, POLICY);
        let run = Running(world.start(&["run", "--approve", "production"]));
        // What was said ahead is forgotten while the first step runs, so that the second one waits.
        let words = world.state().join("words");
        until("what was said ahead", || is_said(&words));
        std::fs::read_dir(&words).expect("it").flatten().for_each(|run| std::fs::remove_dir_all(run.path()).expect("removed"));
        until("the step that waits", || world.tidegate(&["runs", "show", "latest"]).all().contains("waits for approval: production"));
        world.tidegate(&["runs", "approve", "latest", "--environment", "staging"]).expect(2).says("waits for \"staging\"");
        world.tidegate(&said).expect(0).says("production");
        assert_eq!(run.end(), code);
        world.tidegate(&["runs", "show", "latest"]).expect(0).says(outcome);
        world.tidegate(&["runs", "approve", "latest"]).expect(2).says("has ended already");
        assert_eq!(std::fs::read_dir(&words).expect("it").count(), 0, "words are left");
    }
}

/// Two runs, one environment: never both at once.
#[test]
fn one_at_a_time_is_in_an_environment() {
    let text = "name: x\nsteps:\n  ship: { run: date +%s%N; sleep 2; date +%s%N, environment: production }\n";
    let world = world(text, "environments: { production: {} }\n");
    let runs: Vec<Running> = (0..3).map(|_| Running(world.start(&["run"]))).collect();
    for run in runs {
        assert_eq!(run.end(), 0);
    }
    let listed = world.tidegate(&["runs", "ls", "--json"]).expect(0).out;
    // By their own words: what is written down of a step's end is written when its place is free already.
    let mut spans = Vec::new();
    for line in listed.lines() {
        let run: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let said = world.tidegate(&["runs", "logs", run["run"].as_str().expect("an id"), "ship"]).expect(0).out;
        let moments: Vec<u64> = said.lines().map(|line| line.parse().expect("a moment")).collect();
        let [begun, ended] = moments[..] else { panic!("{said}") };
        spans.push((begun, ended));
    }
    spans.sort_unstable();
    assert_eq!(spans.len(), 3);
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two were there at once: {spans:?}");
}
