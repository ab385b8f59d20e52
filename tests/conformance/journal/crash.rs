//! `kill -9` at random moments: what was acknowledged is there, without gaps, and the file opens.
//!
//! This shows that a process may die anywhere. That the machine may lose power rests on SQLite's `synchronous=FULL`, which no test here can show.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tidegate::adapters::journal::Journal as _;
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
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut acknowledged: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..ROUNDS {
        killed_while_writing(&place.path(), &mut random, &mut acknowledged);
        block_on(async {
            let journal = open(&place.path(), "survivor");
            for which in 0..STREAMS {
                let entries = journal.read(&stream(which)).await.expect("no gap, nothing half-written");
                let known = acknowledged.get(&format!("r{which}")).copied().unwrap_or(0);
                assert!(entries.len() >= known, "round {round}, seed {seed}: r{which} has {} facts, {known} were acknowledged", entries.len());
            }
        });
    }
    assert!(acknowledged.values().sum::<usize>() > ROUNDS, "the writers were killed before they wrote anything");
}

fn killed_while_writing(path: &Path, random: &mut fastrand::Rng, acknowledged: &mut BTreeMap<String, usize>) {
    let this = std::env::current_exe().expect("this test binary");
    let mut child = Command::new(this)
        .args(["--exact", "journal::crash::the_child_that_is_killed", "--ignored", "--nocapture"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut note = |line: std::io::Result<String>| {
        let line = line.unwrap_or_default();
        if let Some((stream, number)) = line.strip_prefix("kept ").and_then(|rest| rest.split_once(' ')) {
            acknowledged.insert(stream.to_owned(), number.parse().expect("a number"));
        }
    };
    // Some after its very start, most in the middle of its work.
    for _ in 0..random.usize(0..30) {
        lines.by_ref().next().map(&mut note);
    }
    std::thread::sleep(Duration::from_micros(random.u64(0..3_000)));
    child.kill().expect("it is killed");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), None, "the child must not have ended by itself");
    lines.for_each(note);
}

/// Writes to several streams at once, for ever, and says what it was told is kept.
#[test]
#[ignore = "the child of the test above: it never ends by itself"]
fn the_child_that_is_killed() {
    let path = std::env::var_os(PATH).expect("the test above says where");
    block_on(async {
        let journal = open(Path::new(&path), "child");
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
