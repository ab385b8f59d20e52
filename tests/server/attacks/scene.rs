//! A repository whose people are `ada` (write) and `mary` (maintain), and `eve`, who has a fork of it.

use std::net::TcpListener;

use serde_json::Value;
use tidegate::model::id::RunId;

use crate::payloads::{comment, pressed, pull};
use crate::town::{SHOP, Town};

pub struct Scene {
    pub town: Town,
    /// What main has.
    pub base: String,
}

impl Scene {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let town = Town::with(files);
        town.github.world().role(SHOP, "mary", "maintain");
        let base = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
        Self { town, base }
    }

    /// `eve`'s next commit, as GitHub has it. Which delivery tells of it is another question.
    pub fn head(&self, files: &[(&str, &str)]) -> String {
        let world = &self.town.world;
        for (path, text) in files {
            world.write(path, text);
        }
        let head = self.town.push("door.txt", &format!("{}", fastrand::u64(..)), "refs/pull/7/head");
        self.town.github.world().pull(SHOP, 7, &head);
        head
    }

    /// The pull request with this head is heard of; answers its only run.
    pub fn opened(&self, id: &str, head: &str) -> RunId {
        self.town.asked_one(&self.town.deliver(id, "pull_request", &pull(&self.town.url(), "opened", head, &self.base)))
    }

    pub fn say(&self, id: &str, who: &str, said: &str) -> Value {
        self.town.deliver(id, "issue_comment", &comment(&self.town.url(), who, said))["handled"].clone()
    }

    pub fn press(&self, id: &str, who: &str, (commit, check): (&str, &str), button: &str) -> Value {
        self.town.deliver(id, "check_run", &pressed(&self.town.url(), who, commit, check, button))["handled"].clone()
    }

    pub fn log(&self, run: &RunId, step: &str) -> String {
        self.town.world.tidegate(&["runs", "logs", run.as_str(), step]).expect(0).out
    }

    /// Of a run that has begun: what it was trusted with.
    pub fn is_trusted(&self, run: &RunId) -> bool {
        use tidegate::model::fact::RunFact;
        let facts = self.town.facts(run);
        let Some(RunFact::Started { plan, .. }) = facts.first() else { panic!("{run} has not begun: {facts:#?}") };
        plan["trust"] != "untrusted"
    }
}

#[track_caller]
pub fn is(handled: &Value, word: &str, why: &str) {
    assert!(handled["handled"] == word && handled.to_string().contains(why), "{word}, {why}: {handled}");
}

/// Something of the machine's that a step with its network reaches, and one without does not.
pub struct Prize {
    listener: TcpListener,
}

impl Prize {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("set");
        Self { listener }
    }

    /// A script that tries to reach it and says whether it did.
    pub fn raid(&self) -> String {
        let port = self.listener.local_addr().expect("its address").port();
        format!(
            "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5)' 2>/dev/null && echo got the prize || echo got nothing\n"
        )
    }

    /// How often it was reached since it was asked last.
    pub fn taken(&self) -> usize {
        std::iter::from_fn(|| self.listener.accept().ok()).count()
    }
}
