//! What waits: memory, start-up, what one more costs, and how long the next one takes when a place is free.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tidegate::model::fact::{Entry, Fact, RunFact, Stream};
use tidegate::model::id::RunId;
use tidegate::model::request::RequestFact;
use tidegate::model::time::Timestamp;

use crate::payloads::push;
use crate::town::Town;
use crate::{common, watch};

pub const SIZES: [usize; 4] = [0, 100, 1_000, 10_000];
/// Deliveries that ask for one more while the others wait.
const MORE: usize = 100;
/// Runs that begin one after another.
const HANDED: usize = 100;

/// One at a time, in order; the one of the branch `slow` holds up the others.
const PIPELINE: &str = "\
name: shop
on: { push: {} }
concurrency: { group: shop, queue: all }
steps:
  build: { run: \"case ${{ event.branch }} in slow) exec sleep 3000;; esac\" }
";

struct Row {
    waiting: usize,
    start: Duration,
    resident: f64,
    more_ms: f64,
    more_cpu: f64,
    handed: Vec<Duration>,
    run_cpu: f64,
}

pub fn table(sizes: &[usize]) {
    println!(
        "| runs that wait | start-up, s | resident, MB | one more asked for: CPU ms | and ms each | the next begins, p50 ms | p99 ms | a run: CPU ms |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for waiting in sizes {
        let Row { waiting, start, resident, more_cpu, more_ms, mut handed, run_cpu } = row(*waiting);
        println!(
            "| {waiting} | {:.2} | {resident:.1} | {more_cpu:.1} | {more_ms:.1} | {:.1} | {:.1} | {run_cpu:.1} |",
            start.as_secs_f64(),
            common::quantile(&mut handed, 0.5),
            common::quantile(&mut handed, 0.99),
        );
    }
    println!("\nCPU is of the server's own process, in ticks of 10 ms over {MORE} deliveries and {HANDED} runs.\n");
}

fn row(waiting: usize) -> Row {
    let mut town = Town::with(&[(".tidegate/shop.yaml", PIPELINE)]);
    let commit = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let ask = |town: &Town, id: &str, branch: &str| {
        let answer = town.send(id, "push", &push(&town.url(), &format!("refs/heads/{branch}"), &commit));
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    // One of each kind, as the server asks for them: the others are like the second.
    town.push("door.txt", "", "refs/heads/slow");
    ask(&town, "slow", "slow");
    let slow = town.asked_one(&town.handled("slow"));
    town.invoked(&slow);
    ask(&town, "first", "main");
    let first = town.asked_one(&town.handled("first"));
    town.stop(Signal::TERM);
    fill(&town, &first, waiting);

    let begun = Instant::now();
    town.start();
    let start = begun.elapsed();
    let server = town.pid();
    settle(server);
    let resident = watch::resident(server);

    let (cpu, at) = (watch::cpu(server), Instant::now());
    for more in 0..MORE {
        ask(&town, &format!("more-{more}"), "main");
    }
    town.handled(&format!("more-{}", MORE - 1));
    let (more_cpu, more_ms) = ((watch::cpu(server) - cpu) * 1e3 / MORE as f64, at.elapsed().as_secs_f64() * 1e3 / MORE as f64);

    // Before it is asked to: the others may have ended before whoever asks for that returns.
    let (cpu, ended_before) = (watch::cpu(server), town.ended());
    town.world.tidegate(&["runs", "cancel", slow.as_str()]).expect(0);
    let wanted = HANDED.min(waiting + MORE);
    // And the one that is cancelled.
    town.until_none_is_left("runs that end one after another", || (ended_before + 1 + wanted).saturating_sub(town.ended()));
    let run_cpu = (watch::cpu(server) - cpu) * 1e3 / wanted as f64;
    let handed = handed(&town.journal());
    town.stop(Signal::TERM);
    Row { waiting, start, resident, more_ms, more_cpu, handed, run_cpu }
}

/// What it had to do at its start is done: it does next to nothing for a second.
fn settle(server: i32) {
    loop {
        let before = watch::cpu(server);
        std::thread::sleep(Duration::from_secs(1));
        if watch::cpu(server) - before < 0.05 {
            return;
        }
    }
}

/// So many requests like this one, written as the server writes them.
fn fill(town: &Town, like: &RunId, many: usize) {
    let asked = town.request(like).swap_remove(0);
    let requests = (0..many).map(|n| {
        let run = RunId::new(format!("20260101-000000-{n:012x}"));
        let RequestFact::Asked { pipeline, event, plan, trust, url, group, priority, approval, again, .. } = asked.clone() else {
            panic!("a request begins otherwise: {asked:?}")
        };
        RequestFact::Asked { run, pipeline, event, plan, trust, url, group, priority, approval, again }
    });
    town.write_requests(requests.collect());
}

/// Between the end of one and the beginning of the next.
fn handed(journal: &[Entry]) -> Vec<Duration> {
    let mut free: Option<Timestamp> = None;
    let mut all = Vec::new();
    for entry in journal {
        match (&entry.stream, &entry.fact) {
            (Stream::Run(_), Fact::Run(RunFact::Ended { .. })) => free = Some(entry.at),
            (Stream::Run(_), Fact::Run(RunFact::Started { .. })) => all.extend(free.take().map(|free| entry.at.since(free))),
            _ => {}
        }
    }
    all
}
