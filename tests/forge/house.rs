//! A house with a journal, and somebody who writes into it as a server would.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tidegate::adapters::forge::github::Manners;
use tidegate::adapters::journal::{self, AnyJournal, Journal as _};
use tidegate::adapters::state::{Owner, StateFolder};
use tidegate::core::plan::{Condition, Invoke, Node, Plan, Work};
use tidegate::core::template::Template;
use tidegate::model::artifact::Artifact;
use tidegate::model::event::{Actor, Association, Context, Event, EventKind, PullRequest, Side};
use tidegate::model::fact::{Fact, RunFact, Stream};
use tidegate::model::id::{CommitId, DeliveryId, NodeId, RunId};
use tidegate::model::invocation::{InvocationRecord, Phases};
use tidegate::model::limits::{Network, Resources, Retry};
use tidegate::model::outcome::{Outcome, RunOutcome};
use tidegate::model::secret::SecretSource;
use tidegate::model::settings::{Github as Forge, GithubLogin, Server, Settings};
use tidegate::model::time::Timestamp;
use tidegate::runtime::observer::{Observer, Shown};
use tidegate::runtime::reports::{Pace, Reports};

use crate::github::Github;

pub const SHOP: &str = "acme/shop";
pub const COMMIT: &str = "0123456789012345678901234567890123456789";

/// As fast as a test wants it.
pub fn pace() -> Pace {
    let millisecond = Duration::from_millis(1);
    let manners = Manners { patience: Duration::from_secs(5), between: Duration::ZERO, burst: 1 };
    Pace { refresh: 5 * millisecond, first: 5 * millisecond, longest: 100 * millisecond, manners }
}

pub fn settings(github: &Github) -> Settings {
    let login = GithubLogin::App { id: github.app(), key: SecretSource::File(github.key_file()) };
    let forge = Forge { login: Some(login), api: Some(github.url.clone()), ..Forge::default() };
    let server = Server { url: Some("https://ci.example.com".to_owned()), ..Server::default() };
    Settings { github: Some(forge), server, ..Settings::default() }
}

pub struct House {
    pub state: StateFolder,
    pub journal: AnyJournal,
    pub observer: Observer,
    _owner: Owner,
    _folder: Option<tempfile::TempDir>,
}

impl House {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut house = Self::at(folder.path().join("state"));
        house._folder = Some(folder);
        house
    }

    pub fn at(root: PathBuf) -> Self {
        let state = StateFolder::open(root).expect("a state folder");
        let owner = state.claim().expect("an owner");
        let journal = journal::open(&state.journal(), owner.id()).expect("a journal");
        Self { state, journal, observer: Observer::default(), _owner: owner, _folder: None }
    }

    pub async fn reports(&self, settings: &Settings, pace: Pace) -> Reports {
        let started = Reports::start(settings, self.journal.clone(), self.state.clone(), self.observer.clone(), pace).await;
        started.expect("reports start").expect("there is a login")
    }

    /// Facts of a run, appended to those that it has.
    pub async fn append(&self, run: &str, facts: Vec<RunFact>) {
        self.add(Stream::Run(RunId::new(run)), facts.into_iter().map(Fact::Run).collect()).await;
    }

    pub async fn add(&self, stream: Stream, facts: Vec<Fact>) {
        let written = self.journal.read(&stream).await.expect("read").len() as u64;
        self.journal.append(&stream, written + 1, now(), facts).await.expect("appended");
    }

    pub fn notes(&self) -> Vec<String> {
        self.observer.drain().into_iter().filter_map(|shown| if let Shown::Note(text) = shown { Some(text) } else { None }).collect()
    }
}

pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_micros(u64::try_from(since.as_micros()).expect("a time"))
}

pub fn event() -> Event {
    Event {
        kind: EventKind::Push,
        repository: SHOP.to_owned(),
        reference: "refs/heads/main".to_owned(),
        branch: Some("main".to_owned()),
        commit: CommitId::new(COMMIT),
        subject: "Sell doors".to_owned(),
        author: "Ada".to_owned(),
        changed: None,
        params: BTreeMap::new(),
        context: Context { delivery: Some(DeliveryId::new("d1")), installation: Some(1), ..Context::default() },
    }
}

/// The same commit as the head of pull request 7.
pub fn pull_event() -> Event {
    let side = |repository: &str, branch: &str| Side { repository: repository.to_owned(), branch: branch.to_owned(), commit: CommitId::new(COMMIT) };
    let pull = PullRequest {
        number: 7,
        title: "Sell doors".to_owned(),
        author: Actor { login: "ada".to_owned(), id: 1, bot: false },
        association: Association::Member,
        head: side(SHOP, "doors"),
        base: side(SHOP, "main"),
        fork: false,
        draft: false,
        labels: Vec::new(),
    };
    let mut event = Event { kind: EventKind::PullRequest, ..event() };
    event.context.pull = Some(pull);
    event
}

pub fn started(run: &str, event: Event, nodes: &[&str]) -> RunFact {
    let nodes = nodes.iter().map(|name| node(name)).collect();
    let plan = Plan { pipeline: "test".to_owned(), file: "test.yaml".to_owned(), event: event.clone(), trust: Default::default(), nodes };
    let plan = serde_json::to_value(plan).expect("a plan");
    RunFact::Started { run: RunId::new(run), pipeline: "test".to_owned(), event, plan }
}

fn node(name: &str) -> Node {
    Node {
        id: NodeId::new(name),
        step: name.to_owned(),
        matrix: BTreeMap::new(),
        needs: Vec::new(),
        condition: Condition::NeedsSucceeded,
        work: Work::Invoke(Invoke {
            script: Template::literal("true"),
            env: BTreeMap::new(),
            outputs: Vec::new(),
            image: None,
            build: None,
            services: Vec::new(),
            network: Network::None,
            resources: Resources { cpu: None, memory: None, pids: None, disk: None },
            action: None,
        }),
        timeout: Duration::from_secs(60),
        retry: Retry { attempts: 1, on: Vec::new(), delay: Duration::ZERO, after_start: false },
        idempotent: false,
        concurrency: None,
        environment: None,
    }
}

pub fn begins(node: &str) -> RunFact {
    RunFact::InvocationStarted { node: NodeId::new(node), attempt: 1, deadline: now() }
}

/// The attempt and the node.
pub fn ends(node: &str, outcome: Outcome) -> [RunFact; 2] {
    ends_with(node, outcome, Vec::new(), None)
}

pub fn ends_with(node: &str, outcome: Outcome, artifacts: Vec<Artifact>, layer: Option<String>) -> [RunFact; 2] {
    let phases = Phases { setup_us: 900, exec_us: 300, run_us: 12_000, ..Phases::default() };
    let record = InvocationRecord {
        started: true,
        phases,
        cpu_user_us: Some(9_000),
        cpu_system_us: Some(0),
        peak_memory_bytes: Some(12 << 20),
        ..InvocationRecord::default()
    };
    let id = NodeId::new(node);
    let ended = RunFact::InvocationEnded {
        node: id.clone(),
        attempt: 1,
        outcome: outcome.clone(),
        record: Some(record),
        artifacts,
        values: BTreeMap::new(),
        layer,
    };
    [ended, RunFact::NodeEnded { node: id, outcome }]
}

pub fn over(outcome: RunOutcome) -> RunFact {
    RunFact::Ended { outcome }
}

pub fn failed(reason: &str) -> Outcome {
    Outcome::Failed { exit: tidegate::model::outcome::Exit::Code(1), reason: reason.to_owned() }
}
