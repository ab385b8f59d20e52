//! Issue 3, "No survivors": two hundred kills of servers, runs, supervisors, helpers and nurseries during a load of steps of every kind. Then nothing is left
//! of them, no step has begun twice, and what its supervisor finished is as if nobody had been killed.

mod hunt;
mod load;

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tidegate::adapters::journal::{self, Journal as _};
use tidegate::model::fact::{Entry, Fact, RunFact, Stream};
use tidegate::model::id::{Digest as ModelDigest, NodeId, RunId};
use tidegate::model::invocation::InvocationRecord;
use tidegate::model::outcome::Outcome;
use tidegate::model::time::Timestamp;

use crate::support::World;
use hunt::Grounds;

/// As root; somebody else (users.rs) has the rest of the way in common with root, and is content with fewer. `TIDEGATE_TEST_KILLS` says otherwise.
fn kills() -> usize {
    let said = std::env::var("TIDEGATE_TEST_KILLS").ok().and_then(|kills| kills.parse().ok());
    said.unwrap_or(if std::env::var_os("TIDEGATE_UNDER_TEST").is_some() { 40 } else { 200 })
}

/// Runs of the load beside the server.
const RUNS: usize = 2;
/// A step's time to end after TERM, and what a busy machine may add to it.
const GRACE: Duration = Duration::from_secs(10 + 60);

#[test]
fn two_hundred_kills_leave_nothing_and_change_nothing_that_was_finished() {
    let seed = std::env::var("TIDEGATE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("TIDEGATE_TEST_SEED={seed}");
    let world = World::with(&[(".tidegate/load.yaml", &load::pipeline()), (".tidegate/other.yaml", load::OTHER)]);
    let mut grounds = Grounds::new(&world);
    // Left alone it does what is said of it, and fails only as it shall.
    world.tidegate(&["run", ".tidegate/load.yaml"]).expect(1);
    let killed = hunt_for(&mut grounds, fastrand::Rng::with_seed(seed));
    println!("{} kills: {killed:?}", kills());
    end_all_runs(&world, &grounds);
    check_what_is_left(&world, &grounds);
    check_what_was_done(&world, &grounds);
}

/// One server and some runs, always, whoever was killed. Answers how many of each kind were.
fn hunt_for(grounds: &mut Grounds<'_>, mut random: fastrand::Rng) -> BTreeMap<&'static str, usize> {
    let serve = |grounds: &Grounds<'_>| grounds.start(&["serve", "--listen", "127.0.0.1:0"]);
    let run = |grounds: &Grounds<'_>| grounds.start(&["run", ".tidegate/load.yaml"]);
    let mut server = serve(grounds);
    let mut runs: Vec<Child> = (0..RUNS).map(|_| run(grounds)).collect();
    let mut killed = BTreeMap::new();
    for _ in 0..kills() {
        std::thread::sleep(Duration::from_millis(random.u64(50..400)));
        let victim = random.usize(..runs.len());
        let mains: Vec<i32> = runs.iter().chain([&server]).map(|child| child.id() as i32).collect();
        let kind = match random.u8(..10) {
            0..3 if grounds.shoot_an_owner(&mut random) => "one of a sandbox",
            3..5 => {
                end(&mut server);
                if grounds.shoot_an_owner(&mut random) { "the server and one of a sandbox" } else { "the server" }
            }
            5..7 => {
                end(&mut runs[victim]);
                if grounds.shoot_an_owner(&mut random) { "a run and one of a sandbox" } else { "a run" }
            }
            7 if grounds.shoot_a_bystander(&mut random, &mains) => "a nursery or waiting helper",
            8 => {
                end(&mut server);
                "the server"
            }
            _ => {
                end(&mut runs[victim]);
                "a run"
            }
        };
        *killed.entry(kind).or_insert(0) += 1;
        if server.try_wait().expect("its state").is_some() {
            server = serve(grounds);
        }
        for child in runs.iter_mut().filter_map(|child| child.try_wait().expect("its state").is_some().then_some(child)) {
            *child = run(grounds);
        }
    }
    runs.iter_mut().chain([&mut server]).for_each(end);
    killed
}

fn end(child: &mut Child) {
    child.kill().expect("kill -9");
    child.wait().expect("its end");
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(180), "{what} never came");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server goes on with what was left, to its end.
fn end_all_runs(world: &World, grounds: &Grounds<'_>) {
    let mut server = grounds.start(&["serve", "--listen", "127.0.0.1:0"]);
    until("the end of all runs", || read(world, async |journal| journal.unfinished().await.expect("the journal").is_empty()));
    end(&mut server);
}

fn read<T>(world: &World, ask: impl AsyncFnOnce(journal::AnyJournal) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async { ask(journal::open(&world.state().join("journal.db"), "reader").expect("the journal")).await })
}

fn check_what_is_left(world: &World, grounds: &Grounds<'_>) {
    // Groups are the machine's: those of other tests may die at this moment.
    until("a machine without groups of the dead", || {
        assert!(grounds.start(&["run", ".tidegate/other.yaml"]).wait().expect("its end").success());
        hunt::dead_groups().is_empty()
    });
    // Whoever has ended takes a moment to be gone. A network, too, is there only as long as a process is in it or a mount of it.
    until("an end of all processes", || grounds.survivors().is_empty());
    assert_eq!(world.mounts(), Vec::<String>::new());
    let count = |folder: &str| {
        let entries = std::fs::read_dir(world.state().join(folder)).expect("a folder of the state").filter_map(Result::ok);
        entries.filter(|entry| entry.file_name() != ".gate").map(|entry| entry.path()).collect::<Vec<_>>()
    };
    for folder in ["scratch", "invocations", "owners"] {
        assert_eq!(count(folder), Vec::<std::path::PathBuf>::new(), "in {folder}");
    }
}

/// What the journal says of one attempt.
struct Attempt {
    deadline: Timestamp,
    began: Timestamp,
    ended: Option<(Outcome, InvocationRecord)>,
}

fn attempts(entries: &[Entry]) -> BTreeMap<(NodeId, u32), Attempt> {
    let mut attempts = BTreeMap::new();
    for entry in entries {
        match &entry.fact {
            Fact::Run(RunFact::InvocationStarted { node, attempt, deadline }) => {
                let one = Attempt { deadline: *deadline, began: entry.at, ended: None };
                assert!(attempts.insert((node.clone(), *attempt), one).is_none(), "{node} was started twice as attempt {attempt}");
            }
            Fact::Run(RunFact::InvocationEnded { node, attempt, outcome, record, .. }) => {
                let one: &mut Attempt = attempts.get_mut(&(node.clone(), *attempt)).expect("what ends has begun");
                one.ended = Some((outcome.clone(), record.clone().expect("a record")));
            }
            _ => {}
        }
    }
    attempts
}

fn check_what_was_done(world: &World, grounds: &Grounds<'_>) {
    let streams = read(world, async |journal| {
        let runs = journal.runs(10_000).await.expect("the journal");
        let mut streams = Vec::new();
        for (first, last) in runs {
            assert!(matches!(last.fact, Fact::Run(RunFact::Ended { .. })), "{last:?}");
            streams.push((first.stream.clone(), journal.read(&first.stream).await.expect("a run")));
        }
        streams
    });
    let (mut finished, mut lost) = (0, 0);
    for (stream, entries) in streams {
        let Stream::Run(run) = stream else { continue };
        if matches!(&entries[0].fact, Fact::Run(RunFact::Started { pipeline, .. }) if pipeline == "other") {
            continue;
        }
        let mut begun: BTreeMap<String, usize> = BTreeMap::new();
        for ((node, attempt), one) in attempts(&entries) {
            let said = std::fs::read(log_of(world, &run, &node, attempt)).unwrap_or_default();
            *begun.entry(node.to_string()).or_default() += usize::from(!said.is_empty());
            if check(grounds, &run, &node, attempt, &one, &said) { finished += 1 } else { lost += 1 }
        }
        for (step, times) in begun {
            assert!(times <= load::may_begin(&step), "{step} of {run} began {times} times");
        }
    }
    println!("{finished} invocations were finished by their supervisors, {lost} were lost");
    assert!(2 * finished > kills(), "too few to say anything: {finished}");
}

fn log_of(world: &World, run: &RunId, node: &NodeId, attempt: u32) -> std::path::PathBuf {
    world.state().join("runs").join(run.as_str()).join(format!("{node}.{attempt}.log"))
}

/// Whether its supervisor finished it; then it is as if nobody had been killed.
fn check(grounds: &Grounds<'_>, run: &RunId, node: &NodeId, attempt: u32, one: &Attempt, said: &[u8]) -> bool {
    let what = format!("{node}.{attempt} of {run}");
    let (outcome, record) = one.ended.as_ref().unwrap_or_else(|| panic!("{what} has no end"));
    let truth = load::log(node.as_str(), attempt);
    if let Outcome::Infrastructure { reason } = outcome {
        assert!(truth.as_bytes().starts_with(said), "{what}: what it said is not even the beginning of what it says");
        // Nobody else can have lost what had begun.
        let shot = grounds.shot.contains(&format!("{run}/{node}.{attempt}"));
        assert!(said.is_empty() || shot, "{what}: {reason}");
        assert!(said.is_empty() || record.started || load::is_idempotent(node.as_str()), "{what} had begun, and is not said to have");
        return false;
    }
    assert!(load::is_true_end(node.as_str(), attempt, outcome), "{what}: {outcome:?}");
    assert_eq!(Sha256::digest(said), Sha256::digest(&truth), "{what} said {}", String::from_utf8_lossy(said));
    assert_eq!(record.log_bytes, said.len() as u64, "{what}");
    assert_eq!(record.log_digest, Some(ModelDigest::from_sha256(Sha256::digest(said).into())), "{what}");
    let (may_take, took) = (one.deadline.since(one.began), Duration::from_micros(record.phases.run_us));
    assert!(took <= may_take + GRACE, "{what} ran for {took:?} of {may_take:?}");
    true
}
