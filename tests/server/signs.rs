//! Commands in comments come as fast as anybody can write them: what they are answered costs the forge no more for that, and holds up nobody.

use std::time::{Duration, Instant};

use crate::attacks::scene::is;
use crate::github::Fault;
use crate::payloads::{comment_in, event};
use crate::town::{SHOP, Town};

/// As many as are made at once.
const AT_ONCE: usize = 16;
const FLOOD: usize = 60;
/// As long as the server waits for GitHub, and a little less.
const PATIENCE: Duration = Duration::from_secs(25);
const PIPELINE: &str = "name: shop\non: { pull_request: {} }\nsteps:\n  build: { run: echo built }\n";

struct Scene {
    town: Town,
    said: u64,
}

impl Scene {
    fn new() -> Self {
        Self { town: Town::with(&[(".tidegate/shop.yaml", PIPELINE)]), said: 0 }
    }

    /// Each in a comment of its own; answered when the last of them is handled.
    fn say(&mut self, who: &str, times: usize) {
        for _ in 0..times {
            self.said += 1;
            let mut body = comment_in(10, &self.town.url(), who, "/tidegate please");
            body["comment"]["id"] = self.said.into();
            assert_eq!(self.town.send(&format!("d{}", self.said), "issue_comment", &body).status, 202);
        }
        self.town.handled(&format!("d{}", self.said));
    }

    /// While GitHub takes its time with these; answers how many at once it was asked at most. At least so many as are wanted are seen, however slow this machine is.
    fn flood(&mut self, who: &str, what: (&str, &str)) -> usize {
        for _ in 0..5 {
            let begun = Instant::now();
            let most = self.flood_once(who, what);
            // Whoever is held longer gives up, and the next one comes before that is heard here: then it says nothing how many there were.
            if begun.elapsed() < PATIENCE {
                return most;
            }
        }
        panic!("this machine is too slow for it");
    }

    fn flood_once(&mut self, who: &str, (method, path): (&str, &str)) -> usize {
        self.town.github.fail(method, path, usize::MAX, Fault::Held);
        let begun = Instant::now();
        self.say(who, FLOOD);
        while self.town.github.held().1 < AT_ONCE {
            assert!(begun.elapsed() < Duration::from_secs(180), "GitHub was asked for {:?}\n{}", self.town.github.held(), self.town.server_log());
            self.say(who, 5);
        }
        // Others are not waiting for that.
        let other = format!("ping-{}", self.said);
        let ping = event(&self.town.url(), "ada", serde_json::json!({ "zen": "Keep it logically awesome." }));
        is(&self.town.deliver(&other, "ping", &ping)["handled"], "ignored", "a ping");
        self.say(who, AT_ONCE);
        let (_, most) = self.town.github.held();
        self.town.github.heal();
        self.town.until("nothing that is held", || (self.town.github.held().0 == 0).then_some(()));
        self.town.github.count_held_anew();
        most
    }

    /// Until one of theirs has its sign, as there may be no room for the first ones; answers their comments.
    fn say_until_answered(&mut self, who: &str) -> Vec<(u64, String)> {
        let mut said = Vec::new();
        for _ in 0..60 {
            self.say(who, 1);
            said.push((self.said, "confused".to_owned()));
            for _ in 0..60 {
                if said.iter().any(|sign| self.signs().contains(sign)) {
                    return said;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        panic!("{who} got no sign; there are {:?}\n{}", self.signs(), self.town.server_log());
    }

    fn signs(&self) -> Vec<(u64, String)> {
        self.town.github.world().reactions.iter().cloned().collect()
    }
}

#[test]
fn a_flood_of_commands_makes_so_many_signs_at_once_and_no_more() {
    let mut scene = Scene::new();
    assert_eq!(scene.flood("ada", ("POST", "/reactions")), AT_ONCE);
    scene.say_until_answered("ada");
    assert!(scene.signs().len() < usize::try_from(scene.said).expect("a number") / 2, "what there was no room for is not made up for");
}

#[test]
fn a_strangers_flood_asks_for_little_and_gets_no_sign() {
    let mut scene = Scene::new();
    assert_eq!(scene.flood("eve", ("GET", "/permission")), AT_ONCE);
    scene.town.github.world().role(SHOP, "tess", "triage");
    let tess = scene.say_until_answered("tess");
    assert!(scene.signs().iter().all(|sign| tess.contains(sign)), "{:?}", scene.signs());
}
