//! A server that drives a rollout dies in the middle of it, or hands over: the next one goes on, and nothing is left half shifted.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use tidegate::model::fact::{Fact, RolloutFact, RolloutOutcome, RunFact, Stream};
use tidegate::model::id::{RolloutId, RunId};
use tidegate::model::outcome::RunOutcome;

use crate::payloads::push;
use crate::town::{SHOP, Town, begun};

const FUNCTION: &str = include_str!("../../fixtures/functions/hello-python/bootstrap");
/// All at once, as there is nothing yet.
pub const FIRST: &str = "{ strategy: all-at-once, hold: 100ms, judge: { samples: 5 }, probe: { path: /, rate: 100/s } }";
/// Half of the traffic, until the new release has had forty requests: who sends none holds it where it is.
pub const THEN: &str = "{ stages: [50%], hold: 100ms, patience: 1h, judge: { samples: 40 } }";

fn pipeline(greeting: &str, rollout: &str) -> String {
    format!(
        "\
name: shop
on: {{ push: {{}} }}
steps:
  package: {{ run: mkdir dist && python3 -m zipfile -c dist/hello.zip bootstrap, outputs: {{ bundle: dist/hello.zip }} }}
  ship: {{ needs: [package], deploy: {{ function: hello, artifact: package.bundle }} }}
functions:
  hello:
    runtime: provided.al2023
    timeout: 5s
    env: {{ GREETING: {greeting} }}
    rollout: {rollout}
"
    )
}

struct Scene {
    town: Town,
    sent: usize,
}

/// Status and release of one answer.
pub fn asked(gateway: SocketAddr, function: &str) -> String {
    let mut stream = TcpStream::connect(gateway).expect("the gateway");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    write!(stream, "GET /{function}/ HTTP/1.1\r\nHost: {gateway}\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let release = answer.lines().find_map(|line| line.strip_prefix("x-tidegate-release: ")).unwrap_or_else(|| panic!("{answer}"));
    format!("{status} {}", release.rsplit(' ').next().expect("a version"))
}

/// The function fails each request where its greeting is `bad`.
pub fn town(pipeline: &str) -> Town {
    let function =
        FUNCTION.replace("    path = event[\"rawPath\"]\n", "    path = event[\"rawPath\"] if os.environ[\"GREETING\"] != \"bad\" else \"/fail\"\n");
    assert_ne!(function, FUNCTION);
    let town = Town::with(&[("bootstrap", &function), (".tidegate/shop.yaml", pipeline)]);
    // Git keeps that.
    std::fs::set_permissions(town.world.repository().join("bootstrap"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
    town
}

/// A rollout that has come to its first stage, and the run that wants it.
struct Half {
    run: RunId,
    rollout: RolloutId,
}

impl Scene {
    /// v1 serves.
    fn new() -> Self {
        let town = town(&pipeline("one", FIRST));
        let mut scene = Self { town, sent: 0 };
        let first = scene.ship("one", FIRST);
        assert_eq!(scene.town.end_of(&first), RunOutcome::Succeeded);
        assert!(scene.answers(5).iter().all(|answer| answer == "200 v1"));
        scene
    }

    fn ship(&mut self, greeting: &str, rollout: &str) -> RunId {
        self.sent += 1;
        let commit = self.town.push(".tidegate/shop.yaml", &pipeline(greeting, rollout), "refs/heads/main");
        let id = format!("ship-{}", self.sent);
        self.town.asked_one(&self.town.deliver(&id, "push", &push(&self.town.url(), "refs/heads/main", &commit)))
    }

    /// Until half of the traffic goes to the new release.
    fn half(&mut self, greeting: &str) -> Half {
        let run = self.ship(greeting, THEN);
        let attached = |fact: &RunFact| if let RunFact::RolloutAttached { rollout, .. } = fact { Some(rollout.clone()) } else { None };
        let rollout = self.town.until("a rollout", || self.town.facts(&run).iter().find_map(attached));
        let half = Half { run, rollout };
        let shifted = |fact: &RolloutFact| matches!(fact, RolloutFact::Shifted { stage: Some(0), .. });
        self.town.until("its first stage", || self.facts(&half).iter().any(shifted).then_some(()));
        half
    }

    fn facts(&self, half: &Half) -> Vec<RolloutFact> {
        let entries = self.town.entries(&Stream::Rollout(half.rollout.clone()));
        entries.into_iter().filter_map(|entry| if let Fact::Rollout(fact) = entry.fact { Some(fact) } else { None }).collect()
    }

    fn outcome(&self, half: &Half) -> Option<RolloutOutcome> {
        self.facts(half).iter().find_map(|fact| if let RolloutFact::Ended { outcome } = fact { Some(outcome.clone()) } else { None })
    }

    /// Status and release of so many answers, one after the other: each on a connection of its own, as weights are rolled for requests.
    fn answers(&self, many: usize) -> Vec<String> {
        (0..many).map(|_| self.answer()).collect()
    }

    fn answer(&self) -> String {
        asked(self.town.gateway(), "hello")
    }

    /// People go on using it until the rollout has come to an end.
    fn used_until_it_ends(&self, half: &Half) -> RolloutOutcome {
        self.town.until("the end of the rollout", || {
            self.answers(10);
            self.outcome(half)
        })
    }

    /// There was one rollout for the run, nothing of it was done twice, and all traffic goes to one release.
    #[track_caller]
    fn is_whole(&self, half: &Half, (outcome, word): (RunOutcome, &str), serves: &str) {
        assert_eq!(self.town.end_of(&half.run), outcome);
        let facts = self.town.facts(&half.run);
        let count = |is: fn(&RunFact) -> bool| facts.iter().filter(|fact| is(fact)).count();
        assert_eq!(count(|fact| matches!(fact, RunFact::RolloutAttached { .. })), 1, "{facts:#?}");
        assert_eq!(count(|fact| matches!(fact, RunFact::Ended { .. })), 1, "{facts:#?}");
        assert_eq!(begun(&facts, "package"), 1);
        let facts = self.facts(half);
        let count = |is: fn(&RolloutFact) -> bool| facts.iter().filter(|fact| is(fact)).count();
        assert_eq!(count(|fact| matches!(fact, RolloutFact::Published { .. })), 1, "{facts:#?}");
        assert_eq!(count(|fact| matches!(fact, RolloutFact::Shifted { stage: Some(0), .. })), 1, "{facts:#?}");
        assert_eq!(count(|fact| matches!(fact, RolloutFact::Ended { .. })), 1, "{facts:#?}");
        assert_eq!(self.town.unfinished(), 0);
        let answers = self.answers(30);
        assert!(answers.iter().all(|answer| *answer == format!("200 {serves}")), "{answers:?}");
        self.town.check(half.run.as_str(), word);
        self.town.check(&format!("{}/ship", half.run), word);
        self.town.until("what GitHub knows of the deployment", || {
            // That of this run: what is said of the one before may come later.
            let of = format!("{}/ship", half.run);
            let deployments = self.town.github.deployments(SHOP);
            let mine: Vec<_> = deployments.iter().filter(|it| it.payload["tidegate"] == of.as_str()).collect();
            assert!(mine.len() <= 1, "{mine:?}");
            mine.first().and_then(|it| it.statuses.last()).is_some_and(|(state, _)| state == word).then_some(())
        });
    }

    #[track_caller]
    fn server_said(&self, text: &str) {
        self.town.until(&format!("the word that {text}"), || self.town.server_log().contains(text).then_some(()));
    }
}

const PROMOTED: (RunOutcome, &str) = (RunOutcome::Succeeded, "success");
const TAKEN_BACK: (RunOutcome, &str) = (RunOutcome::Failed, "failure");

#[test]
fn a_rollout_whose_server_is_killed_is_gone_on_with_to_its_end() {
    let mut scene = Scene::new();
    let good = scene.half("two");
    scene.answers(10);
    scene.town.stop(Signal::KILL);
    assert_eq!(scene.outcome(&good), None, "it was in the middle");
    scene.town.start();
    scene.server_said(&format!("rollout {} was interrupted: going on with it", good.rollout));
    assert_eq!(scene.used_until_it_ends(&good), RolloutOutcome::Promoted);
    scene.is_whole(&good, PROMOTED, "v2");

    // And one that fails each request: nobody has asked it before the kill, so it is the next server that finds out.
    let bad = scene.half("bad");
    scene.town.stop(Signal::KILL);
    assert_eq!(scene.outcome(&bad), None, "it was in the middle");
    scene.town.start();
    let outcome = scene.used_until_it_ends(&bad);
    assert!(matches!(outcome, RolloutOutcome::RolledBack { .. }), "{outcome:?}");
    scene.is_whole(&bad, TAKEN_BACK, "v2");
}

#[test]
fn a_rollout_goes_on_over_handovers_and_everybody_is_answered() {
    let mut scene = Scene::new();
    let half = scene.half("two");
    for _ in 0..2 {
        scene.answers(5);
        assert_eq!(scene.town.hand_over(), Some(0));
        assert_eq!(scene.outcome(&half), None, "it was in the middle");
        let answers = scene.answers(5);
        assert!(answers.iter().all(|answer| answer.starts_with("200 ")), "{answers:?}");
    }
    assert_eq!(scene.used_until_it_ends(&half), RolloutOutcome::Promoted);
    scene.is_whole(&half, PROMOTED, "v2");
}

#[test]
fn a_rollout_that_nobody_has_watched_for_long_is_taken_back() {
    let mut scene = Scene::new();
    let half = scene.half("two");
    scene.town.stop(Signal::KILL);
    assert_eq!(scene.outcome(&half), None, "it was in the middle");
    scene.town.was_long_ago(&Stream::Rollout(half.rollout.clone()), Duration::from_secs(301));
    scene.town.start();
    scene.server_said(&format!("rollout {} was interrupted: putting back what was there", half.rollout));
    let answers = scene.answers(30);
    assert!(answers.iter().all(|answer| answer == "200 v1"), "nothing is left half shifted: {answers:?}");
    let outcome = scene.used_until_it_ends(&half);
    assert!(matches!(outcome, RolloutOutcome::RolledBack { .. }), "{outcome:?}");
    scene.is_whole(&half, TAKEN_BACK, "v1");
}
