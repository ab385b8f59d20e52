//! An invocation goes on when its tidegate is killed: the next start finds what came of it, says the same, and begins nothing twice.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tidegate::adapters::journal::{self, Journal as _};
use tidegate::adapters::state::StateFolder;
use tidegate::core::run::{NodeState, Run};
use tidegate::model::fact::{Fact, RunFact, Stream};
use tidegate::model::id::{NodeId, RunId};
use tidegate::model::outcome::{Outcome, RunOutcome};
use tidegate::runtime::recover::run_facts;

use crate::support::World;

const PIPELINE: &str = "\
name: story
on: { manual: {} }
steps:
  slow:
    run: |
      echo begun
      n=0
      while [ $n -lt 30 ]; do sleep 0.05; n=$((n+1)); echo line $n; done
      echo kept > it
    outputs: { it: it }
  after:
    needs: [slow]
    run: cat it; echo after
";

const OTHER: &str = "\
name: other
on: { manual: {} }
steps:
  quick: { run: \"true\" }
";

fn story(pipeline: &str) -> World {
    let world = World::with(&[(".tidegate/story.yaml", pipeline), (".tidegate/other.yaml", OTHER)]);
    world.commit("A story");
    world
}

/// Starts the pipeline, kills its tidegate when the step has said something, and answers the run.
fn interrupted(world: &World) -> RunId {
    let mut tidegate = world.start(&["run", ".tidegate/story.yaml"]);
    let log = until(|| {
        find(&world.state().join("runs"), "slow.1.log").filter(|log| std::fs::read_to_string(log).is_ok_and(|text| text.contains("line 2\n")))
    });
    tidegate.kill().expect("kill -9");
    tidegate.wait().expect("its end");
    RunId::new(log.parent().and_then(|run| run.file_name()?.to_str()).expect("the run's folder"))
}

fn find(below: &std::path::Path, name: &str) -> Option<PathBuf> {
    let runs = std::fs::read_dir(below).ok()?;
    runs.filter_map(|run| Some(run.ok()?.path().join(name))).find(|path| path.exists())
}

pub fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never came")
}

pub fn facts(world: &World, run: &RunId) -> (Vec<RunFact>, Run) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let journal = journal::open(&world.state().join("journal.db"), "reader").expect("the journal");
        let entries = journal.read(&Stream::Run(run.clone())).await.expect("the run");
        let facts = entries.iter().filter_map(|entry| if let Fact::Run(fact) = &entry.fact { Some(fact.clone()) } else { None }).collect();
        (facts, Run::replay(&run_facts(&entries)).expect("facts that fit"))
    })
}

pub fn ended(run: &Run, node: &str) -> Option<Outcome> {
    if let Some(NodeState::Ended(outcome)) = run.state(&NodeId::new(node)) { Some(outcome.clone()) } else { None }
}

pub fn starts(facts: &[RunFact], node: &str) -> usize {
    facts.iter().filter(|fact| matches!(fact, RunFact::InvocationStarted { node: started, .. } if started.as_str() == node)).count()
}

pub fn log_of(world: &World, run: &RunId, name: &str) -> String {
    std::fs::read_to_string(world.state().join("runs").join(run.as_str()).join(name)).expect("the log")
}

/// What the step says when nobody is killed.
fn truth() -> String {
    let lines: String = (1..=30).map(|n| format!("line {n}\n")).collect();
    format!("begun\n{lines}")
}

/// Processes of tidegate's that own an invocation or watch a sandbox, and belong to this world: by the record's lock that they have open.
pub fn owners_of(world: &World) -> Vec<i32> {
    let records = world.state().join("invocations");
    let pids = std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let holds = |pid: &i32| {
        std::fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|open| {
            open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).any(|target| target.starts_with(&records) && target.ends_with("lock"))
        })
    };
    let mut owners: Vec<i32> = pids.filter(holds).collect();
    // The supervisor is older than the helper that it has forked.
    owners.sort_unstable();
    owners
}

#[test]
fn what_ended_meanwhile_is_recorded_as_it_was_and_the_rest_is_left() {
    let world = story(PIPELINE);
    let run = interrupted(&world);
    until(|| owners_of(&world).is_empty().then_some(()));
    world.tidegate(&["run", ".tidegate/other.yaml"]).expect(0).says(&format!("run {run} was interrupted; it is marked so"));
    let (facts, run_now) = facts(&world, &run);
    assert_eq!(ended(&run_now, "slow"), Some(Outcome::Succeeded));
    assert!(matches!(ended(&run_now, "after"), Some(Outcome::Cancelled { .. })));
    assert_eq!(run_now.outcome(), Some(RunOutcome::Interrupted));
    assert_eq!(starts(&facts, "slow"), 1);
    assert_eq!(log_of(&world, &run, "slow.1.log"), truth());
    let recorded = facts
        .iter()
        .any(|fact| matches!(fact, RunFact::InvocationEnded { record: Some(record), artifacts, .. } if record.started && artifacts.len() == 1));
    assert!(recorded, "{facts:#?}");
    assert_eq!(std::fs::read_dir(world.state().join("invocations")).expect("records").count(), 0, "what is in the journal has no record any more");
}

#[test]
fn what_still_lives_is_followed_while_something_else_runs() {
    let world = story(PIPELINE);
    let run = interrupted(&world);
    world.write(".tidegate/other.yaml", &OTHER.replace("\"true\"", "sleep 5"));
    world.commit("A longer one");
    world.tidegate(&["run", ".tidegate/other.yaml"]).expect(0).says(&format!("run {run} was interrupted; a step of it goes on"));
    let (facts, run_now) = facts(&world, &run);
    assert_eq!(ended(&run_now, "slow"), Some(Outcome::Succeeded));
    assert_eq!(run_now.outcome(), Some(RunOutcome::Interrupted));
    assert_eq!((starts(&facts, "slow"), starts(&facts, "after")), (1, 0));
    assert_eq!(log_of(&world, &run, "slow.1.log"), truth());
}

#[test]
fn a_server_goes_on_with_the_whole_run() {
    let world = story(PIPELINE);
    let run = interrupted(&world);
    let mut serve = world.start(&["serve", "--listen", "127.0.0.1:0"]);
    until(|| facts(&world, &run).1.outcome().map(|_| ()));
    serve.kill().expect("kill -9");
    serve.wait().expect("its end");
    let (facts, run_now) = facts(&world, &run);
    assert_eq!(run_now.outcome(), Some(RunOutcome::Succeeded));
    assert_eq!((starts(&facts, "slow"), starts(&facts, "after")), (1, 1));
    assert_eq!(log_of(&world, &run, "slow.1.log"), truth());
    assert_eq!(log_of(&world, &run, "after.1.log"), "kept\nafter\n");
}

/// A server that has just taken a run over has not written to it yet, for as long as its steps say nothing. Here this test is the server.
#[test]
fn what_a_server_goes_on_with_is_not_marked_by_somebody_else() {
    let adopted = |world: &World, run: &RunId| {
        let state = StateFolder::open(world.state()).expect("the state folder");
        state.adopt(run).expect("asked").expect("nobody else goes on with it")
    };
    let is_untouched = |world: &World, run: &RunId| {
        let (facts, run_now) = facts(world, run);
        assert_eq!((run_now.outcome(), ended(&run_now, "slow")), (None, None), "{facts:#?}");
    };
    let goes_on = |world: &World, run: &RunId| {
        let mut serve = world.start(&["serve", "--listen", "127.0.0.1:0"]);
        until(|| facts(world, run).1.outcome().map(|_| ()));
        serve.kill().expect("kill -9");
        serve.wait().expect("its end");
        let (facts, run_now) = facts(world, run);
        assert_eq!((run_now.outcome(), starts(&facts, "slow"), starts(&facts, "after")), (Some(RunOutcome::Succeeded), 1, 1), "{facts:#?}");
    };
    // Somebody comes later, when nothing of it lives.
    let world = story(PIPELINE);
    let run = interrupted(&world);
    until(|| owners_of(&world).is_empty().then_some(()));
    let server = adopted(&world, &run);
    let seen = world.tidegate(&["run", ".tidegate/other.yaml"]).expect(0);
    assert!(!seen.all().contains("interrupted"), "{}", seen.all());
    is_untouched(&world, &run);
    drop(server);
    goes_on(&world, &run);
    // Somebody came earlier, and follows a step until it ends: then the server has the last word.
    let world = story(&PIPELINE.replace("-lt 30", "-lt 60"));
    let run = interrupted(&world);
    world.write(".tidegate/other.yaml", &OTHER.replace("\"true\"", "sleep 6"));
    world.commit("A longer one");
    let mut earlier = world.command(&["run", ".tidegate/other.yaml"]);
    let mut earlier = earlier.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary");
    let mut said = BufReader::new(earlier.stdout.take().expect("its stdout")).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("a step of it goes on")), "it follows");
    let server = adopted(&world, &run);
    let _ = said.count();
    assert!(earlier.wait().expect("its end").success());
    until(|| owners_of(&world).is_empty().then_some(()));
    is_untouched(&world, &run);
    drop(server);
    goes_on(&world, &run);
}

#[test]
fn a_step_whose_supervisor_died_too_is_not_run_again_unless_it_may() {
    for (retry, starts_of_slow, outcome) in [("", 1, RunOutcome::Infrastructure), ("    idempotent: true\n", 2, RunOutcome::Succeeded)] {
        let world = story(&PIPELINE.replace("  slow:\n", &format!("  slow:\n{retry}")));
        let run = interrupted(&world);
        for owner in owners_of(&world).into_iter().take(1) {
            kill_process(Pid::from_raw(owner).expect("a process"), Signal::KILL).expect("kill -9");
        }
        until(|| owners_of(&world).is_empty().then_some(()));
        let mut serve = world.start(&["serve", "--listen", "127.0.0.1:0"]);
        until(|| facts(&world, &run).1.outcome().map(|_| ()));
        serve.kill().expect("kill -9");
        serve.wait().expect("its end");
        let (facts, run_now) = facts(&world, &run);
        assert_eq!((run_now.outcome(), starts(&facts, "slow")), (Some(outcome), starts_of_slow), "{facts:#?}");
        let lost = facts.iter().find_map(|fact| {
            if let RunFact::InvocationEnded { outcome, record: Some(record), .. } = fact { Some((outcome, record.started)) } else { None }
        });
        assert!(matches!(lost, Some((Outcome::Infrastructure { .. }, true))), "{lost:?}");
        // What it had written is gone with the next start; a supervisor that still lives removes its own a moment after its result is there.
        world.tidegate(&["run", ".tidegate/other.yaml"]).expect(0);
        let folders = || std::fs::read_dir(world.state().join("scratch")).expect("scratch").flatten().filter(|entry| entry.path().is_dir()).count();
        until(|| (folders() == 0 && world.processes().is_empty()).then_some(()));
    }
}

/// Init of a sandbox whose helper owns something: number 1 inside, and a child of that.
fn init_below(owners: &[i32]) -> Option<i32> {
    let status = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let word =
        |pid, name: &str| status(pid).lines().find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next_back()?.parse::<i32>().ok());
    let pids = std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.into_iter().find(|pid| word(*pid, "NSpid:") == Some(1) && *pid != 1 && word(*pid, "PPid:").is_some_and(|parent| owners.contains(&parent)))
}

#[test]
fn a_sandbox_that_is_killed_from_outside_is_not_the_steps_failure() {
    let world = story(PIPELINE);
    let mut tidegate = world.start(&["run", ".tidegate/story.yaml"]);
    let log = until(|| find(&world.state().join("runs"), "slow.1.log").filter(|log| std::fs::read(log).is_ok_and(|text| !text.is_empty())));
    let init = until(|| init_below(&owners_of(&world)));
    kill_process(Pid::from_raw(init).expect("a process"), Signal::KILL).expect("kill -9");
    assert_eq!(tidegate.wait().expect("its end").code(), Some(4));
    let run = RunId::new(log.parent().and_then(|run| run.file_name()?.to_str()).expect("the run's folder"));
    let (facts, run_now) = facts(&world, &run);
    assert!(matches!(ended(&run_now, "slow"), Some(Outcome::Infrastructure { .. })), "{facts:#?}");
    assert_eq!(starts(&facts, "slow"), 1, "it had begun, and is not begun again");
}
