//! What runs while one serve takes another's place goes on: its supervisor owns it, and the next one finds it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::process::Serve;
use crate::support::World;

const PIPELINE: &str = "\
name: story
on: { manual: {} }
steps:
  slow:
    run: |
      n=0
      while [ $n -lt 60 ]; do sleep 0.1; n=$((n+1)); echo line $n; done
  after:
    needs: [slow]
    run: echo after
";

fn facts(world: &World) -> Vec<Value> {
    let seen = world.tidegate(&["runs", "show", "latest", "--json"]);
    seen.out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect()
}

fn count(facts: &[Value], fact: &str, node: &str) -> usize {
    facts
        .iter()
        .filter(|entry| entry.to_string().contains(&format!("\"{fact}\"")) && entry.to_string().contains(&format!("\"node\":\"{node}\"")))
        .count()
}

fn until(world: &World, what: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let facts = facts(world);
        if enough(&facts) {
            return facts;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{what} never came: {facts:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_run_goes_on_over_handovers_and_nothing_of_it_is_begun_twice() {
    let world = World::with(&[(".tidegate/story.yaml", PIPELINE)]);
    let mut run = world.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(&world, "the step", |facts| count(facts, "invocation-started", "slow") == 1);
    run.kill().unwrap();
    run.wait().unwrap();
    let serve = || {
        let mut command: Command = world.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.stderr(Stdio::null());
        Serve::start(command)
    };
    let mut serving = serve();
    for _ in 0..3 {
        let next = serve();
        assert_eq!(serving.wait(), Some(0));
        serving = next;
    }
    assert_eq!(count(&facts(&world), "node-ended", "slow"), 0, "the step was under way all the time");
    let facts = until(&world, "the end", |facts| count(facts, "node-ended", "after") == 1);
    for node in ["slow", "after"] {
        assert_eq!(count(&facts, "invocation-started", node), 1, "{node}: {facts:?}");
        let ended = facts.iter().find(|entry| count(std::slice::from_ref(*entry), "node-ended", node) == 1).unwrap();
        assert!(ended.to_string().contains("\"succeeded\""), "{ended}");
    }
    assert_eq!(serving.end(Signal::TERM), Some(0));
}
