//! `kill -9` at random moments: what was acknowledged is there, without gaps, the file opens, and the writer is known to be dead.
//!
//! This shows that a process may die anywhere. That the machine may lose power rests on SQLite's `synchronous=FULL`, which no test here can show.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use tidegate::adapters::journal::Journal as _;
use tidegate::adapters::state::StateFolder;
use tidegate::model::fact::{Fact, RunFact, Stream};
use tidegate::model::id::{NodeId, RunId};
use tidegate::model::time::Timestamp;

use super::{Place, block_on, open};

const PATH: &str = "TIDEGATE_TEST_JOURNAL";
const ROUNDS: usize = 50;
const STREAMS: usize = 3;

fn stream(which: usize) -> Stream {
    Stream::Run(RunId::new(format!("r{which}")))
}

#[test]
fn a_writer_that_is_killed_loses_nothing_that_it_was_told_is_kept() {
    let place = Place::new();
    let state = StateFolder::open(place.folder.path().join("state")).expect("a state folder");
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut acknowledged: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        let killed = killed_while_writing(&state, &mut random, &mut acknowledged);
        block_on(async {
            let journal = open(&state.journal(), "survivor");
            for left in journal.unfinished().await.expect("listed") {
                assert!(!state.is_alive(&left.owner).expect("asked"), "round {round}: the dead {} counts as alive", left.owner);
            }
            for which in 0..STREAMS {
                let entries = journal.read(&stream(which)).await.expect("no gap, nothing half-written");
                let known = acknowledged.get(&format!("r{which}")).copied().unwrap_or(0);
                assert!(entries.len() >= known, "round {round}, seed {seed}: r{which} has {} facts, {known} were acknowledged", entries.len());
            }
        });
        let buried = state.bury_the_dead().expect("tidied");
        assert!(killed.is_none_or(|killed| buried == [killed]), "round {round}: {buried:?}");
    }
    assert!(acknowledged.values().sum::<usize>() > ROUNDS, "the writers were killed before they wrote anything");
}

/// Answers the owner's id, if the child lived long enough to say it.
fn killed_while_writing(state: &StateFolder, random: &mut fastrand::Rng, acknowledged: &mut BTreeMap<String, usize>) -> Option<String> {
    let this = std::env::current_exe().expect("this test binary");
    let mut child = Command::new(this)
        .args(["--exact", "journal::crash::the_child_that_is_killed", "--ignored", "--nocapture"])
        .env(PATH, state.root())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut owner = None;
    let mut note = |line: std::io::Result<String>| {
        let line = line.unwrap_or_default();
        if let Some(id) = line.strip_prefix("owner ") {
            assert!(state.is_alive(id).expect("asked"), "the living {id} counts as dead");
            owner = Some(id.to_owned());
        }
        acknowledge(&line, acknowledged);
    };
    // Some after its very start, most in the middle of its work.
    for _ in 0..random.usize(0..30) {
        lines.by_ref().next().map(&mut note);
    }
    std::thread::sleep(Duration::from_micros(random.u64(0..3_000)));
    child.kill().expect("it is killed");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), None, "the child must not have ended by itself");
    for line in lines {
        let line = line.unwrap_or_default();
        // What it said with its last breath counts as well.
        match line.strip_prefix("owner ") {
            Some(id) => owner = Some(id.to_owned()),
            None => acknowledge(&line, acknowledged),
        }
    }
    owner
}

fn acknowledge(line: &str, acknowledged: &mut BTreeMap<String, usize>) {
    if let Some((stream, number)) = line.strip_prefix("kept ").and_then(|rest| rest.split_once(' ')) {
        acknowledged.insert(stream.to_owned(), number.parse().expect("a number"));
    }
}

/// Writes to several streams at once, for ever, and says what it was told is kept.
#[test]
#[ignore = "the child of the test above: it never ends by itself"]
fn the_child_that_is_killed() {
    let path = std::env::var_os(PATH).expect("the test above says where");
    block_on(async {
        let state = StateFolder::open(path.into()).expect("the state folder");
        let owner = state.claim().expect("it says that it lives");
        std::io::stdout().write_all(format!("\nowner {}\n", owner.id()).as_bytes()).expect("the parent listens");
        let journal = open(&state.journal(), owner.id());
        tokio::join!(write(&journal, 0), write(&journal, 1), write(&journal, 2));
    });
}

async fn write(journal: &tidegate::adapters::journal::AnyJournal, which: usize) {
    let mut number = journal.read(&stream(which)).await.expect("read").len() as u64 + 1;
    loop {
        let facts: Vec<Fact> = (0..=number % 3).map(|n| Fact::Run(RunFact::NodeQueued { node: NodeId::new(format!("{number}+{n}")) })).collect();
        let last = number + facts.len() as u64 - 1;
        journal.append(&stream(which), number, Timestamp::from_micros(number), facts).await.expect("appended");
        // Past the capture of the test harness, in one write, so that no line is torn.
        std::io::stdout().write_all(format!("kept r{which} {last}\n").as_bytes()).expect("the parent listens");
        number = last + 1;
    }
}
