//! The server is killed at random moments while deliveries come: what was answered is run, once, and reported, once.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate::model::fact::RunFact;
use tidegate::model::id::RunId;
use tidegate::model::outcome::{Outcome, RunOutcome};

use crate::aftermath::Aftermath;
use crate::client::{Post, read};
use crate::payloads::push;
use crate::town::Town;

const BRANCHES: usize = 10;
const PIPELINE: &str = "\
name: shop
on: { push: {} }
steps:
  build: { run: echo built }
  odd: { needs: [build], run: \"case ${{ event.branch }} in b1|b3|b5|b7|b9) exit 1;; esac\" }
";

/// As GitHub: who is not there, or goes away, has not answered.
fn send(to: SocketAddr, post: &Post) -> u16 {
    let Ok(mut stream) = TcpStream::connect(to) else { return 0 };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    if stream.write_all(&post.bytes()).is_err() {
        return 0;
    }
    read(&mut stream).status
}

/// A delivery: its id, its branch, and whether it was answered that it is kept.
type Sent = Vec<(String, usize, bool)>;

fn post(id: &str, branch: usize, bodies: &[String]) -> Post {
    Post::new(id, "push", bodies[branch].clone())
}

/// Sends while the server lives, from the moment when it listens; at most so many.
fn load(to: SocketAddr, bodies: &[String], (first, most): (usize, usize), mut random: fastrand::Rng, over: &AtomicBool) -> Sent {
    let mut sent = Sent::new();
    while !over.load(Ordering::SeqCst) && sent.len() < most {
        if TcpStream::connect(to).is_ok() {
            let (id, branch) = (format!("delivery-{}", first + sent.len()), random.usize(..bodies.len()));
            let kept = matches!(send(to, &post(&id, branch, bodies)), 200 | 202);
            sent.push((id, branch, kept));
        }
        std::thread::sleep(Duration::from_millis(random.u64(1..60)));
    }
    sent
}

/// What was not answered is sent once more, as people do on GitHub's page.
fn rest(town: &Town, bodies: &[String], sent: &Sent) {
    for (id, branch, _) in sent.iter().filter(|(_, _, kept)| !kept) {
        let status = send(town.server, &post(id, *branch, bodies));
        assert!(matches!(status, 200 | 202), "{id}: {status}");
    }
}

#[test]
fn nothing_that_was_answered_is_lost_and_nothing_is_begun_twice() {
    let kills: usize = std::env::var("TIDEGATE_TEST_KILLS").map_or(12, |n| n.parse().expect("a number"));
    let seed = std::env::var("TIDEGATE_TEST_SEED").map_or(5, |n| n.parse().expect("a number"));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut town = Town::quiet(&[(".tidegate/shop.yaml", PIPELINE)]);
    let (mut bodies, mut commits) = (Vec::new(), Vec::new());
    for n in 0..BRANCHES {
        let reference = format!("refs/heads/b{n}");
        let commit = town.push("door.txt", &format!("{n}"), &reference);
        bodies.push(push(&town.url(), &reference, &commit).to_string());
        commits.push(commit);
    }
    let mut sent = Sent::new();
    let mut in_the_start = 0;
    for _ in 0..kills {
        let mut child = town.command().stdout(Stdio::null()).spawn().expect("the binary");
        // Every second one in its start, or soon after.
        let most = if random.bool() { 400 } else { 3000 };
        let patience = Duration::from_millis(random.u64(..most));
        let (over, first, fork) = (AtomicBool::new(false), sent.len(), random.fork());
        let (server, bodies) = (town.server, &bodies);
        let came = std::thread::scope(|scope| {
            let sending = scope.spawn(|| load(server, bodies, (first, 4), fork, &over));
            std::thread::sleep(patience);
            child.kill().expect("killed");
            child.wait().expect("it ended");
            over.store(true, Ordering::SeqCst);
            sending.join().expect("sent")
        });
        in_the_start += usize::from(came.is_empty());
        sent.extend(came);
    }
    let answered = sent.iter().filter(|(_, _, kept)| *kept).count();
    town.start();
    rest(&town, &bodies, &sent);
    let all = Aftermath::of(&town, sent.len(), 3);
    let mut torn = 0;
    let mut runs = BTreeSet::new();
    for (id, branch, _) in &sent {
        let run = all.asked_one(id);
        assert!(runs.insert(run.clone()), "{run} is of two deliveries, {id} is one of them");
        torn += usize::from(one_run(&all, &run, (&commits[*branch], branch % 2 == 1)));
    }
    all.nothing_else(&runs);
    println!(
        "seed {seed}: {kills} kills ({in_the_start} before it listened), {} deliveries ({answered} answered before a kill), 0 lost, 0 doubled, {torn} with a step that was torn, {} checks, {} requests to GitHub",
        sent.len(),
        all.checks(),
        town.github.requests().len()
    );
}

/// Begun once, ended once, no attempt twice, every word of a step once, and the truth at GitHub, once. Answers whether a step of it was lost to a kill, which is the truth as well.
fn one_run(all: &Aftermath, run: &RunId, (commit, fails): (&str, bool)) -> bool {
    let facts = all.facts(run);
    all.went_once(run);
    let torn = facts.iter().find_map(torn);
    let (outcome, build, odd) = match (torn, fails) {
        (Some("build"), _) => (RunOutcome::Infrastructure, "failure", "neutral"),
        (Some(_), _) => (RunOutcome::Infrastructure, "success", "failure"),
        (None, true) => (RunOutcome::Failed, "success", "failure"),
        (None, false) => (RunOutcome::Succeeded, "success", "success"),
    };
    assert_eq!(all.end_of(run), outcome, "{facts:#?}");
    let whole = if outcome == RunOutcome::Succeeded { "success" } else { "failure" };
    all.check(run.as_str(), commit, whole);
    all.check(&format!("{run}/build"), commit, build);
    all.check(&format!("{run}/odd"), commit, odd);
    if build == "success" {
        assert_eq!(all.said(run, "build"), "built\n", "{run}");
    }
    torn.is_some()
}

/// The step, if the kill fell between its begin and the first word of whoever looks after it: nobody can know then whether it has run, so it is not run again.
fn torn(fact: &RunFact) -> Option<&str> {
    match fact {
        RunFact::NodeEnded { node, outcome: Outcome::Infrastructure { reason } } if reason.contains("nobody was left") => Some(node.as_str()),
        _ => None,
    }
}
