//! `tidegate runs rerun` without a server: a past run once more, all of it or a part, with what the rest has left.

use serde_json::Value;
use tidegate::model::fact::{Entry, Fact, RunFact};

use crate::support::{Seen, World};

/// What is built differs each time, so that it is known again. What fails goes on failing: what has run can be counted.
const PIPELINE: &str = r#"
name: story
on: { manual: { params: { word: { type: string, default: none } } } }
steps:
  build:
    run: |
      mkdir dist && cat /proc/sys/kernel/random/uuid > dist/mark
      echo "mark=$(cat dist/mark)" >> "$TIDEGATE_OUTPUT"
    outputs: { dist: dist }
  test: { needs: [build], run: "cat dist/mark; echo ${{ steps.build.outputs.mark }}; echo ${{ params.word }}; exit 1" }
  after: { needs: [test], run: "echo never" }
  beside: { run: "echo beside" }
"#;

fn world() -> World {
    let world = World::with(&[(".tidegate/story.yaml", PIPELINE)]);
    world.tidegate(&["run", "--param", "word=oak"]).expect(1);
    world
}

fn rerun(world: &World, more: &[&str]) -> Seen {
    world.tidegate(&[&["runs", "rerun"], more].concat())
}

/// Of all runs, the newest first.
fn ids(world: &World) -> Vec<String> {
    let listed = world.tidegate(&["runs", "ls", "--json"]).expect(0).out;
    let id = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["run"].as_str().expect("an id").to_owned();
    listed.lines().map(id).collect()
}

/// What has run in the newest one, and what is as it was.
fn ran(world: &World) -> (Vec<String>, Vec<String>) {
    let shown = world.tidegate(&["runs", "show", "latest", "--json"]).expect(0).out;
    let facts: Vec<Fact> = shown.lines().map(|line| serde_json::from_str::<Entry>(line).expect("a fact").fact).collect();
    let begun = |fact: &Fact| if let Fact::Run(RunFact::InvocationStarted { node, .. }) = fact { Some(node.to_string()) } else { None };
    let kept = |fact: &Fact| if let Fact::Run(RunFact::NodeKept { node, .. }) = fact { Some(node.to_string()) } else { None };
    let (mut ran, mut as_it_was): (Vec<_>, Vec<_>) = (facts.iter().filter_map(begun).collect(), facts.iter().filter_map(kept).collect());
    ran.sort();
    as_it_was.sort();
    (ran, as_it_was)
}

fn log(world: &World, run: &str) -> String {
    world.tidegate(&["runs", "logs", run, "test"]).expect(0).out
}

#[test]
fn a_part_of_it_runs_again_with_what_the_rest_has_left() {
    let world = world();
    let first = ids(&world).remove(0);
    // What is there by now is another commit, and its pipeline another one: it is the run that is run again.
    world.write(".tidegate/story.yaml", "name: other\non: { manual: {} }\nsteps:\n  other: { run: echo other }\n");
    world.commit("Another story");
    rerun(&world, &[&first, "--failed"]).expect(1);
    assert_eq!(ran(&world), (vec!["test".to_owned()], vec!["beside".to_owned(), "build".to_owned()]));
    let second = ids(&world).remove(0);
    assert_ne!(second, first);
    assert_eq!(log(&world, &second), log(&world, &first));
    assert!(log(&world, &second).ends_with("oak\n"));
    // Of one that has kept something itself; and all that needs the step.
    rerun(&world, &["latest", "--step", "build"]).expect(1);
    assert_eq!(ran(&world), (vec!["build".to_owned(), "test".to_owned()], vec!["beside".to_owned()]));
    assert_ne!(log(&world, "latest"), log(&world, &first));
    rerun(&world, &[&first]).expect(1);
    assert_eq!(ran(&world), (["beside", "build", "test"].map(str::to_owned).to_vec(), Vec::new()));
    assert!(log(&world, "latest").ends_with("oak\n"));
    assert_eq!(ids(&world).len(), 4);
}

#[test]
fn what_can_not_be_run_again_says_what_to_do() {
    let world = world();
    let first = ids(&world).remove(0);
    rerun(&world, &["nobody"]).expect(2).says("there is no run");
    rerun(&world, &[&first, "--step", "nothing"]).expect(2).says("no step \"nothing\"; it has after, beside, build, test");
    rerun(&world, &[&first, "--step", "after"]).expect(2).says("needs test, which did not succeed: run what failed again instead");
    rerun(&world, &[&first, "--approve", "production"]).expect(2).says("leave --approve production out");
    // Where the commit is not.
    let elsewhere = World::with(&[("file", "another repository\n")]);
    let folder = elsewhere.repository();
    let seen = rerun(&world, &[&first, "-C", folder.to_str().expect("UTF-8")]).expect(2);
    assert!(seen.err.contains("is not in") && seen.err.contains("-C DIR"), "{}", seen.err);
    // What was left is gone.
    let layers = world.state().join("store/layers");
    std::fs::rename(&layers, world.state().join("store/away")).expect("moved");
    rerun(&world, &[&first, "--failed"]).expect(2).says("is not there any more: run all of it again");
    std::fs::rename(world.state().join("store/away"), &layers).expect("moved back");
    assert_eq!(ids(&world), [first]);

    world.write("new", "not committed\n");
    world.tidegate(&["run", "--worktree"]).expect(1);
    rerun(&world, &["latest"]).expect(2).says("was of a working tree, which is not kept");
}

#[test]
fn nothing_is_run_again_where_nothing_failed() {
    let world = World::with(&[(".tidegate/story.yaml", "name: s\non: { manual: {} }\nsteps:\n  good: { run: echo good }\n")]);
    world.tidegate(&["run"]).expect(0);
    rerun(&world, &["latest", "--failed"]).expect(0).says("nothing is run again");
    assert_eq!(ids(&world).len(), 1);
    rerun(&world, &["latest"]).expect(0);
    assert_eq!(ids(&world).len(), 2);
}
