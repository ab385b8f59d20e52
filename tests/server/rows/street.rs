//! A repository with one policy, and what GitHub sends for each row.

use serde_json::{Value, json};
use tidegate::model::event::EventKind;
use tidegate::model::id::RunId;
use tidegate::model::request::RequestFact;

use crate::client::Post;
use crate::payloads::{by, comment, event, person, pull, push, through};
use crate::town::{SHOP, Town};

/// What it prints says whose it is; what it calls is the commit's in any case.
const PIPELINE: &str = r#"
name: shop
on:
  push: { branches: ["**"], tags: ["**"] }
  pull_request: { types: [opened, synchronize, labeled] }
  release: {}
  merge_group: {}
  deployment: {}
  repository_dispatch: {}
steps:
  look:
    network: open
    run: |
      echo "pipeline of main"
      echo "network $(readlink /proc/self/ns/net)"
      sh ./work.sh
  ship: { needs: [look], environment: staging, run: echo shipped }
"#;
const NIGHTLY: &str = "name: nightly\non: { schedule: \"*/10 * * * *\" }\nsteps:\n  look: { network: open, run: 'echo \"network $(readlink /proc/self/ns/net)\"; sh ./work.sh' }\n  ship: { needs: [look], environment: staging, run: echo shipped }\n";
const TEN_MINUTES: u64 = 600_000_000;

/// A column: one repository, and its policy.
pub struct Street {
    pub town: Town,
    base: String,
}

pub enum What {
    Delivery(String),
    /// What was asked for without one.
    Runs(Vec<RunId>),
    /// Nobody was let in to ask.
    Turned(u16),
}

impl Street {
    pub fn new(policy: &str) -> Self {
        let mut files = vec![(".tidegate/shop.yaml", PIPELINE), (".tidegate/nightly.yaml", NIGHTLY), ("work.sh", "echo \"work of main\"\n")];
        if !policy.is_empty() {
            files.push((".tidegate/policy.yaml", policy));
        }
        let town = Town::with(&files);
        {
            let mut world = town.github.world();
            world.installations.extend(1..=40);
            for (login, role) in [("rita", "read"), ("carl", "read"), ("tess", "triage"), ("mary", "write")] {
                world.role(SHOP, login, role);
            }
        }
        let base = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
        Self { town, base }
    }

    /// A commit on main that changes the pipeline and what it calls, at GitHub as this reference.
    fn commit(&self, row: usize, reference: &str) -> String {
        let world = &self.town.world;
        world.git(&["checkout", "--quiet", "--force", "-B", &format!("row{row}"), &self.base]);
        world.write(".tidegate/shop.yaml", &PIPELINE.replace("pipeline of main", "pipeline of the change"));
        self.town.push("work.sh", &format!("echo \"work of row {row}\"\n"), reference)
    }

    /// Pull request `row` with this head, as changed.
    fn pull(&self, row: usize, action: &str, (author, association, home): (&str, &str, Value), sender: &str) -> (String, Value) {
        let head = self.commit(row, &format!("refs/pull/{row}/head"));
        self.town.github.world().pull(SHOP, row as u64, &head);
        let mut body = by(sender, pull(&self.town.url(), action, &head, &self.base));
        body["number"] = row.into();
        let pull = &mut body["pull_request"];
        (pull["number"], pull["user"], pull["author_association"]) = (row.into(), person(author), association.into());
        pull["head"]["repo"] = home;
        (head, body)
    }

    fn token(&self, name: &str, scope: &str) -> String {
        let made = self.town.world.tidegate(&["tokens", "create", name, "--scope", scope, "--json"]).expect(0).out;
        serde_json::from_str::<Value>(&made).expect("JSON")["token"].as_str().expect("a token").to_owned()
    }

    fn by_hand(&self, name: &str, scope: &str, reference: &str) -> What {
        let body = json!({ "repository": SHOP, "pipeline": ".tidegate/shop.yaml", "ref": reference }).to_string();
        let post = Post { path: "/api/v1/runs", ..Post::new("-", "-", body) }.and("authorization", &format!("Bearer {}", self.token(name, scope)));
        let answer = post.send(self.town.server);
        match answer.status {
            202 => What::Runs(answer.json()["runs"].as_array().expect("runs").iter().map(|run| RunId::new(run.as_str().expect("an id"))).collect()),
            status => What::Turned(status),
        }
    }

    /// What was due while nobody was there.
    fn schedule(&mut self) -> What {
        let town = &mut self.town;
        let path = town.world.state().join("schedules.json");
        // From here the repository is known, and from there its default branch.
        town.deliver("ping", "ping", &event(&town.url(), "ada", json!({ "zen": "Keep it logically awesome." })));
        town.deliver("nothing", "issue_comment", &comment(&town.url(), "bob", "/tidegate cancel"));
        let looked = town.until("the first look", || serde_json::from_slice::<Value>(&std::fs::read(&path).ok()?).ok()?[SHOP].as_u64());
        town.stop(rustix::process::Signal::KILL);
        std::fs::write(&path, json!({ SHOP: looked - TEN_MINUTES }).to_string()).expect("written");
        town.start();
        let found = || self.town.requests().into_iter().filter(|run| self.is_of_the_schedule(run)).collect::<Vec<_>>();
        What::Runs(self.town.until("what was due", || Some(found()).filter(|runs| !runs.is_empty())))
    }

    pub fn is_of_the_schedule(&self, run: &RunId) -> bool {
        matches!(self.town.request(run).first(), Some(RequestFact::Asked { event, .. }) if event.kind == EventKind::Schedule)
    }

    /// What a row's name stands for, as many deliveries as it names things. Each is sent, and not waited for.
    pub fn send(&mut self, at: usize, row: &str) -> Vec<(String, What)> {
        let url = self.town.url();
        let fork = |owner: &str| json!({ "id": 2, "full_name": format!("{owner}/shop") });
        let own = || json!({ "id": 1, "full_name": SHOP });
        let branch = format!("refs/heads/row{at}");
        let delivered = |street: &Self, name: &str, commit: String, body: Value| {
            let id = format!("{name}-{at}");
            let answer = street.town.send(&id, name, &through(at as u64, body));
            assert_eq!(answer.status, 202, "{row}: {answer:?}");
            (commit, What::Delivery(id))
        };
        let pushed = |street: &Self, reference: &str, sender: &str| {
            let commit = street.commit(at, reference);
            vec![delivered(street, "push", commit.clone(), by(sender, push(&url, reference, &commit)))]
        };
        let pulled = |street: &Self, action: &str, whose: (&str, &str, Value), sender: &str| {
            let (head, body) = street.pull(at, action, whose, sender);
            vec![delivered(street, "pull_request", head, body)]
        };
        let deployment = |sha: &str, reference: &str| {
            event(&url, "ada", json!({ "action": "created", "deployment": { "sha": sha, "ref": reference, "environment": "staging" } }))
        };
        match row {
            "push by somebody who may write" => pushed(self, &branch, "ada"),
            "push of a tag" => pushed(self, &format!("refs/tags/row{at}"), "ada"),
            "push by a program" => pushed(self, &branch, "deploy[bot]"),
            "push of something that is neither" => pushed(self, "refs/notes/doors", "ada"),
            "schedule" => vec![(String::new(), self.schedule())],
            "release, deployment, repository_dispatch, merge_group" => {
                let (tag, queue) = (format!("row{at}"), "refs/heads/gh-readonly-queue/main/pr-5".to_owned());
                let commit = self.commit(at, &format!("refs/tags/{tag}"));
                self.town.world.git(&["push", "--quiet", "origin", &format!("HEAD:{queue}"), &format!("HEAD:{branch}")]);
                let release = event(&url, "ada", json!({ "action": "published", "release": { "tag_name": tag } }));
                let group = json!({ "head_sha": commit, "head_ref": queue, "base_sha": self.base, "base_ref": "refs/heads/main" });
                let group = event(&url, "ada", json!({ "action": "checks_requested", "merge_group": group }));
                let dispatch = event(&url, "ada", json!({ "action": "nightly", "branch": "main", "client_payload": {} }));
                vec![
                    delivered(self, "release", commit.clone(), release),
                    delivered(self, "deployment", commit.clone(), deployment(&commit, &branch)),
                    delivered(self, "merge_group", commit, group),
                    delivered(self, "repository_dispatch", String::new(), dispatch),
                ]
            }
            "deployment of a commit by its number, where a branch ends" => {
                let commit = self.commit(at, &branch);
                vec![delivered(self, "deployment", commit.clone(), deployment(&commit, &commit))]
            }
            "deployment of a commit by its number, where none does" => {
                let commit = self.commit(at, &format!("refs/pull/{at}/head"));
                vec![delivered(self, "deployment", commit.clone(), deployment(&commit, &commit))]
            }
            "by hand, by somebody who may write" => vec![(String::new(), self.by_hand("writer", "run", ""))],
            "by hand, by somebody who may only read" => vec![(String::new(), self.by_hand("reader", "read", ""))],
            "by hand, of a commit that is in no branch" => {
                let commit = self.commit(at, &format!("refs/pull/{at}/head"));
                vec![
                    (commit.clone(), self.by_hand("by-number", "run", &commit)),
                    (commit, self.by_hand("by-reference", "run", &format!("refs/pull/{at}/head"))),
                ]
            }
            "pull request of a branch, by somebody who may write" => pulled(self, "opened", ("ada", "MEMBER", own()), "ada"),
            "pull request of a branch, opened by a reader" => pulled(self, "opened", ("rita", "NONE", own()), "rita"),
            "pull request of a branch, by a program" => pulled(self, "opened", ("updates[bot]", "NONE", own()), "updates[bot]"),
            "pull request of a fork, by a first-timer" => pulled(self, "opened", ("eve", "FIRST_TIMER", fork("eve")), "eve"),
            "pull request of a fork, by somebody who has contributed" => pulled(self, "opened", ("carl", "CONTRIBUTOR", fork("carl")), "carl"),
            "pull request of a fork, by somebody who may write" => pulled(self, "opened", ("mary", "MEMBER", fork("mary")), "mary"),
            "pull request of a fork, pushed to by a member" => pulled(self, "synchronize", ("eve", "FIRST_TIME_CONTRIBUTOR", fork("eve")), "mary"),
            "pull request of a member's fork, pushed to by a stranger" => pulled(self, "synchronize", ("mary", "MEMBER", fork("mary")), "eve"),
            "pull request of a fork, labelled by a member" => pulled(self, "labeled", ("eve", "NONE", fork("eve")), "tess"),
            "pull request of a fork, labelled by a stranger" => pulled(self, "labeled", ("eve", "CONTRIBUTOR", fork("eve")), "eve"),
            "pull request of a fork, by a program" => pulled(self, "opened", ("updates[bot]", "CONTRIBUTOR", fork("updates")), "updates[bot]"),
            "pull request of a fork that is gone" => pulled(self, "opened", ("eve", "CONTRIBUTOR", Value::Null), "eve"),
            "pull request whose commit is not its head" => {
                let (head, body) = self.pull(at, "opened", ("ada", "OWNER", own()), "ada");
                self.town.github.world().pull(SHOP, at as u64, &self.base);
                vec![delivered(self, "pull_request", head, body)]
            }
            other => panic!("nobody sends the row {other:?}"),
        }
    }
}
