//! From a delivery to the first line of its first step.

use std::collections::HashMap;
use std::time::Duration;

use tidegate::model::fact::{Fact, RunFact, Stream};
use tidegate::model::id::RunId;
use tidegate::model::request::RequestFact;
use tidegate::model::time::Timestamp;

use crate::payloads::{own_pull, push};
use crate::town::{SHOP, Town};
use crate::{common, watch};

const PIPELINE: &str = "\
name: shop
on: { push: {}, pull_request: {} }
steps:
  build: { run: echo built }
";

/// What a delivery is of.
#[derive(Clone, Copy)]
enum Kind {
    Known,
    Fresh,
    Branch,
    Pull,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Known, "the default branch, a commit that is in the mirror"),
    (Kind::Fresh, "the default branch, a new commit"),
    (Kind::Branch, "another branch, a new commit"),
    (Kind::Pull, "a pull request, a new commit (and three questions to GitHub)"),
];

/// Moments of one delivery.
#[derive(Clone, Copy)]
struct Moments {
    answered: Timestamp,
    asked: Timestamp,
    begun: Timestamp,
    invoked: Timestamp,
    ended: Timestamp,
}

struct Sent {
    kind: usize,
    run: RunId,
    at: Timestamp,
    answered: Timestamp,
    line: Timestamp,
}

pub fn table(many: usize) {
    // As much as a small service has, so that a snapshot is none of nothing.
    let files: Vec<(String, String)> = (0..200).map(|n| (format!("src/part{n}.rs"), format!("// part {n}\n").repeat(50))).collect();
    let mut all: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    all.push((".tidegate/shop.yaml", PIPELINE));
    let town = Town::with(&all);
    let lines = watch::first_lines(&town.world.state());
    let known = town.push("door.txt", "known", "refs/heads/main");
    let mut sent = Vec::new();
    for round in 0..=many {
        for (kind, (what, _)) in KINDS.iter().enumerate() {
            let one = one(&town, &lines, (round, kind), *what, &known);
            // The first of each makes the mirror.
            if round > 0 {
                sent.push(one);
            }
        }
    }
    print(&sent, &moments(&town));
}

fn one(town: &Town, lines: &std::sync::mpsc::Receiver<(RunId, Timestamp)>, (round, kind): (usize, usize), what: Kind, known: &str) -> Sent {
    let id = format!("{kind}-{round}");
    let commit = |reference: &str| town.push("door.txt", &id, reference);
    let (event, body) = match what {
        Kind::Known => ("push", push(&town.url(), "refs/heads/main", known)),
        Kind::Fresh => ("push", push(&town.url(), "refs/heads/main", &commit("refs/heads/main"))),
        Kind::Branch => ("push", push(&town.url(), "refs/heads/doors", &commit("refs/heads/doors"))),
        Kind::Pull => {
            let head = commit("refs/pull/7/head");
            town.github.world().pull(SHOP, 7, &head);
            ("pull_request", own_pull(&town.url(), "synchronize", &head, known))
        }
    };
    let at = watch::now();
    let answer = town.send(&id, event, &body);
    let answered = watch::now();
    assert_eq!(answer.status, 202, "{answer:?}");
    let (run, line) = lines.recv_timeout(Duration::from_secs(60)).expect("a first line within a minute");
    town.until("the end of the run", || (town.unfinished() == 0).then_some(()));
    Sent { kind, run, at, answered, line }
}

fn moments(town: &Town) -> HashMap<RunId, Moments> {
    let mut all: HashMap<RunId, Moments> = HashMap::new();
    for entry in town.journal() {
        let (Stream::Run(run) | Stream::Request(run)) = &entry.stream else { continue };
        let never = Timestamp::from_micros(0);
        let one = all.entry(run.clone()).or_insert(Moments { answered: never, asked: never, begun: never, invoked: never, ended: never });
        match &entry.fact {
            Fact::Request(RequestFact::Asked { .. }) => one.asked = entry.at,
            Fact::Run(RunFact::Started { .. }) => one.begun = entry.at,
            Fact::Run(RunFact::InvocationStarted { .. }) => one.invoked = entry.at,
            Fact::Run(RunFact::Ended { .. }) => one.ended = entry.at,
            _ => {}
        }
    }
    all
}

fn print(sent: &[Sent], moments: &HashMap<RunId, Moments>) {
    println!(
        "| a push to | deliveries | p50 ms | p99 ms | answered | asked for | begun | its step asked for | its first line | its end after that |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (kind, (_, name)) in KINDS.iter().enumerate() {
        let of: Vec<(&Sent, Moments)> =
            sent.iter().filter(|one| one.kind == kind).map(|one| (one, Moments { answered: one.answered, ..moments[&one.run] })).collect();
        let part = |from: fn(&Sent, &Moments) -> Timestamp, to: fn(&Sent, &Moments) -> Timestamp| -> Vec<Duration> {
            of.iter().map(|(one, moments)| to(one, moments).since(from(one, moments))).collect()
        };
        let p50 = |mut times: Vec<Duration>| common::quantile(&mut times, 0.5);
        let mut whole = part(|one, _| one.at, |one, _| one.line);
        println!(
            "| {name} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
            of.len(),
            common::quantile(&mut whole, 0.5),
            common::quantile(&mut whole, 0.99),
            p50(part(|one, _| one.at, |_, it| it.answered)),
            p50(part(|_, it| it.answered, |_, it| it.asked)),
            p50(part(|_, it| it.asked, |_, it| it.begun)),
            p50(part(|_, it| it.begun, |_, it| it.invoked)),
            p50(part(|one, it| it.invoked.min(one.line), |one, _| one.line)),
            p50(part(|one, _| one.line, |_, it| it.ended)),
        );
    }
    println!("\nThe last six columns are medians of each part, in ms, in the order in which they follow.\n");
}
