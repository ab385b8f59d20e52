//! Two rollouts of one run are under way at once: each is watched, told and ended by itself, also by the next server when one was killed in the middle of both.

use rustix::process::Signal;
use serde_json::Value;
use tidegate::model::fact::{Fact, RolloutFact, RolloutOutcome, RunFact, Stream};
use tidegate::model::id::{RolloutId, RunId};
use tidegate::model::outcome::RunOutcome;

use crate::attacks::scene::is;
use crate::payloads::{comment_in, pressed, push};
use crate::rollouts::{FIRST, THEN, asked, town};
use crate::town::{SHOP, Town, begun};

/// What each of them greets with.
struct Greets {
    door: &'static str,
    window: &'static str,
}

const ONE: Greets = Greets { door: "one", window: "one" };
const TWO: Greets = Greets { door: "two", window: "two" };

fn pipeline(greets: &Greets, rollout: &str) -> String {
    let function = |name: &str, greeting: &str| {
        format!("  {name}: {{ runtime: provided.al2023, timeout: 5s, env: {{ GREETING: {greeting} }}, rollout: {rollout} }}\n")
    };
    format!(
        "\
name: shop
on: {{ push: {{}} }}
steps:
  package: {{ run: mkdir dist && python3 -m zipfile -c dist/hello.zip bootstrap, outputs: {{ bundle: dist/hello.zip }} }}
  ship-door: {{ needs: [package], deploy: {{ function: door, artifact: package.bundle }} }}
  ship-window: {{ needs: [package], deploy: {{ function: window, artifact: package.bundle }} }}
functions:
{}{}",
        function("door", greets.door),
        function("window", greets.window)
    )
}

struct Scene {
    town: Town,
    sent: usize,
}

/// A run both of whose rollouts have come to their first stage.
struct Both {
    run: RunId,
    commit: String,
    door: RolloutId,
    window: RolloutId,
}

impl Scene {
    /// v1 of both serves.
    fn new() -> Self {
        let town = town(&pipeline(&ONE, FIRST));
        town.github.world().role(SHOP, "mary", "maintain");
        let mut scene = Self { town, sent: 0 };
        let (first, _) = scene.ship(&ONE, FIRST);
        assert_eq!(scene.town.end_of(&first), RunOutcome::Succeeded);
        scene.serves(("v1", "v1"));
        scene
    }

    fn next(&mut self) -> String {
        self.sent += 1;
        format!("d{}", self.sent)
    }

    fn ship(&mut self, greets: &Greets, rollout: &str) -> (RunId, String) {
        let commit = self.town.push(".tidegate/shop.yaml", &pipeline(greets, rollout), "refs/heads/main");
        let id = self.next();
        (self.town.asked_one(&self.town.deliver(&id, "push", &push(&self.town.url(), "refs/heads/main", &commit))), commit)
    }

    /// Until half of the traffic of each goes to its new release.
    fn half(&mut self, greets: &Greets) -> Both {
        let (run, commit) = self.ship(greets, THEN);
        let of = |step: &str| {
            let attached = |fact: &RunFact| match fact {
                RunFact::RolloutAttached { node, rollout } if node.as_str() == step => Some(rollout.clone()),
                _ => None,
            };
            let rollout = self.town.until(&format!("the rollout of {step}"), || self.town.facts(&run).iter().find_map(attached));
            let shifted = |fact: &RolloutFact| matches!(fact, RolloutFact::Shifted { stage: Some(0), .. });
            self.town.until(&format!("the first stage of {step}"), || self.facts(&rollout).iter().any(shifted).then_some(()));
            rollout
        };
        let (door, window) = (of("ship-door"), of("ship-window"));
        Both { run, commit, door, window }
    }

    fn facts(&self, rollout: &RolloutId) -> Vec<RolloutFact> {
        let entries = self.town.entries(&Stream::Rollout(rollout.clone()));
        entries.into_iter().filter_map(|entry| if let Fact::Rollout(fact) = entry.fact { Some(fact) } else { None }).collect()
    }

    fn outcome(&self, rollout: &RolloutId) -> Option<RolloutOutcome> {
        self.facts(rollout).iter().find_map(|fact| if let RolloutFact::Ended { outcome } = fact { Some(outcome.clone()) } else { None })
    }

    fn end(&self, rollout: &RolloutId) -> RolloutOutcome {
        self.town.until(&format!("the end of {rollout}"), || self.outcome(rollout))
    }

    fn answers(&self, function: &str, many: usize) -> Vec<String> {
        let gateway = self.town.gateway();
        (0..many).map(|_| asked(gateway, function)).collect()
    }

    /// People use both until both rollouts have come to their ends.
    fn used_until_both_end(&self, both: &Both) -> (RolloutOutcome, RolloutOutcome) {
        self.town.until("the ends of both", || {
            self.answers("door", 10);
            self.answers("window", 10);
            Some((self.outcome(&both.door)?, self.outcome(&both.window)?))
        })
    }

    /// All of the traffic of each goes to one release.
    #[track_caller]
    fn serves(&self, (door, window): (&str, &str)) {
        for (function, version) in [("door", door), ("window", window)] {
            let answers = self.answers(function, 20);
            assert!(answers.iter().all(|answer| *answer == format!("200 {version}")), "{function}, {version}: {answers:?}");
        }
    }

    fn killed_in_the_middle(&mut self, both: &Both) {
        self.town.stop(Signal::KILL);
        assert_eq!((self.outcome(&both.door), self.outcome(&both.window)), (None, None), "it was in the middle");
        self.town.start();
        for rollout in [&both.door, &both.window] {
            let text = format!("rollout {rollout} was interrupted: going on with it");
            self.town.until(&text, || self.town.server_log().contains(&text).then_some(()));
        }
    }

    fn say(&mut self, line: &str) -> Value {
        let id = self.next();
        self.town.deliver(&id, "issue_comment", &comment_in(10, &self.town.url(), "mary", line))["handled"].clone()
    }

    /// A button of the run's check, or of a step's.
    fn press(&mut self, both: &Both, step: Option<&str>, button: &str) -> Value {
        let id = self.next();
        let check = step.map_or_else(|| both.run.to_string(), |step| format!("{}/{step}", both.run));
        self.town.deliver(&id, "check_run", &pressed(&self.town.url(), "mary", &both.commit, &check, button))["handled"].clone()
    }

    /// Nothing of either was lost or done twice, and GitHub knows how each has ended.
    #[track_caller]
    fn is_whole(&self, both: &Both, outcome: RunOutcome, (door, window): (&str, &str)) {
        assert_eq!(self.town.end_of(&both.run), outcome);
        let facts = self.town.facts(&both.run);
        let count = |is: fn(&RunFact) -> bool| facts.iter().filter(|fact| is(fact)).count();
        assert_eq!(count(|fact| matches!(fact, RunFact::RolloutAttached { .. })), 2, "{facts:#?}");
        assert_eq!(count(|fact| matches!(fact, RunFact::Ended { .. })), 1, "{facts:#?}");
        assert_eq!(begun(&facts, "package"), 1);
        for (rollout, step, word) in [(&both.door, "ship-door", door), (&both.window, "ship-window", window)] {
            let facts = self.facts(rollout);
            let count = |is: fn(&RolloutFact) -> bool| facts.iter().filter(|fact| is(fact)).count();
            assert_eq!(count(|fact| matches!(fact, RolloutFact::Published { .. })), 1, "{facts:#?}");
            assert_eq!(count(|fact| matches!(fact, RolloutFact::Shifted { stage: Some(0), .. })), 1, "{facts:#?}");
            assert_eq!(count(|fact| matches!(fact, RolloutFact::Ended { .. })), 1, "{facts:#?}");
            let of = format!("{}/{step}", both.run);
            self.town.check(&of, word);
            self.town.until(&format!("what GitHub knows of the deployment of {step}"), || {
                let deployments = self.town.github.deployments(SHOP);
                let mine: Vec<_> = deployments.iter().filter(|it| it.payload["tidegate"] == of.as_str()).collect();
                assert!(mine.len() <= 1, "{mine:?}");
                mine.first().and_then(|it| it.statuses.last()).is_some_and(|(state, _)| state == word).then_some(())
            });
        }
        assert_eq!(self.town.unfinished(), 0);
    }
}

#[test]
fn both_are_gone_on_with_to_their_ends_each_by_what_it_shows() {
    let mut scene = Scene::new();
    let good = scene.half(&TWO);
    scene.killed_in_the_middle(&good);
    assert_eq!(scene.used_until_both_end(&good), (RolloutOutcome::Promoted, RolloutOutcome::Promoted));
    scene.is_whole(&good, RunOutcome::Succeeded, ("success", "success"));
    scene.serves(("v2", "v2"));

    // One of them fails each request: the other one does not care.
    let half_bad = scene.half(&Greets { door: "three", window: "bad" });
    scene.killed_in_the_middle(&half_bad);
    let (door, window) = scene.used_until_both_end(&half_bad);
    assert!(door == RolloutOutcome::Promoted && matches!(window, RolloutOutcome::RolledBack { .. }), "{door:?}, {window:?}");
    scene.is_whole(&half_bad, RunOutcome::Failed, ("success", "failure"));
    scene.serves(("v3", "v2"));
}

#[test]
fn what_people_say_is_about_the_one_that_they_name() {
    let mut scene = Scene::new();
    let both = scene.half(&TWO);
    // Nobody can know which one is meant.
    for handled in [scene.say("/tidegate promote"), scene.say("/tidegate rollback"), scene.press(&both, None, "promote")] {
        is(&handled, "refused", "several rollouts are under way");
        is(&handled, "refused", both.door.as_str());
        is(&handled, "refused", both.window.as_str());
    }
    scene.killed_in_the_middle(&both);

    // The next server is told as the one before would have been, from its first moment on.
    let promote = format!("/tidegate promote {}", both.door);
    is(&scene.say(&promote), "obeyed", both.door.as_str());
    assert_eq!(scene.end(&both.door), RolloutOutcome::Promoted);
    assert_eq!(scene.outcome(&both.window), None, "nobody has said anything about it");
    let mixed = scene.answers("window", 20);
    assert!(mixed.iter().all(|answer| answer.starts_with("200 ")), "{mixed:?}");
    is(&scene.say(&promote), "refused", "no such rollout is under way");
    is(&scene.press(&both, Some("ship-door"), "rollback"), "refused", "has ended already (promoted)");
    is(&scene.press(&both, Some("package"), "rollback"), "refused", "has no rollout");
    assert_eq!(scene.outcome(&both.window), None);

    is(&scene.press(&both, Some("ship-window"), "rollback"), "obeyed", both.window.as_str());
    let outcome = scene.end(&both.window);
    assert!(matches!(outcome, RolloutOutcome::Aborted { .. }), "{outcome:?}");
    scene.is_whole(&both, RunOutcome::Failed, ("success", "failure"));
    scene.serves(("v2", "v1"));
}
