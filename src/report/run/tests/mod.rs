//! Snapshots of what people see, and attacks on it.

mod attacks;
mod looks;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use super::look::Look;
use super::view::View;
use crate::core::plan::{Condition, Invoke, Node, Plan, Work};
use crate::model::artifact::{Artifact, ArtifactKind};
use crate::model::egress::{Attempt, Blocked, Egress, Kind, Verdict};
use crate::model::event::{Event, EventKind};
use crate::model::fact::RunFact;
use crate::model::finding::{Finding, Found, Severity, StepSummary};
use crate::model::id::{CommitId, Digest, NodeId, RolloutId, RunId};
use crate::model::invocation::{Discarded, InvocationRecord, Phases};
use crate::model::limits::{Network, Resources, Retry};
use crate::model::outcome::{Exit, Outcome, RunOutcome};
use crate::model::time::Timestamp;

/// 12:03:04 on some day, and so many milliseconds.
fn at(ms: u64) -> Timestamp {
    Timestamp::from_micros((86_400 * 20_000 + 12 * 3600 + 3 * 60 + 4) * 1_000_000 + ms * 1000)
}

fn id(text: &str) -> NodeId {
    NodeId::new(text)
}

fn started(pipeline: &str, subject: &str, names: &[&str]) -> RunFact {
    let node = |name: &&str| Node {
        id: id(name),
        step: (*name).to_owned(),
        matrix: BTreeMap::new(),
        needs: Vec::new(),
        condition: Condition::NeedsSucceeded,
        work: Work::Invoke(Invoke {
            image: None,
            script: crate::core::template::Template::literal("true"),
            env: BTreeMap::new(),
            outputs: Vec::new(),
            build: None,
            services: Vec::new(),
            network: Network::None,
            resources: Resources { cpu: None, memory: None, pids: None, disk: None },
            action: None,
        }),
        timeout: Duration::from_secs(60),
        retry: Retry::default(),
        idempotent: false,
        concurrency: None,
        environment: None,
    };
    let event = Event {
        kind: EventKind::Manual,
        repository: "shop".to_owned(),
        reference: "refs/heads/main".to_owned(),
        branch: Some("main".to_owned()),
        commit: CommitId::new("0123456789012345678901234567890123456789"),
        subject: subject.to_owned(),
        author: "Ada".to_owned(),
        changed: None,
        params: BTreeMap::new(),
        context: Default::default(),
    };
    let plan = Plan {
        pipeline: pipeline.to_owned(),
        file: "shop.yaml".to_owned(),
        event: event.clone(),
        trust: Default::default(),
        nodes: names.iter().map(node).collect(),
    };
    let plan = serde_json::to_value(plan).expect("a plan has a JSON form");
    RunFact::Started { run: RunId::new("01990a"), pipeline: pipeline.to_owned(), event, plan }
}

fn record() -> InvocationRecord {
    let phases = Phases { queued_us: 100, workspace_us: 900, setup_us: 2_400, exec_us: 700, run_us: 1_150_000, collect_us: 2_000 };
    InvocationRecord {
        image: None,
        executor: "sandbox".to_owned(),
        phases,
        cpu_user_us: Some(900_000),
        cpu_system_us: Some(120_000),
        peak_memory_bytes: Some(12 << 20),
        discarded: Discarded { files: 3, bytes: 1300 },
        ..InvocationRecord::default()
    }
}

fn begins(node: &str, attempt: u32) -> RunFact {
    RunFact::InvocationStarted { node: id(node), attempt, deadline: at(60_000) }
}

fn tried(node: &str, attempt: u32, outcome: Outcome, artifacts: Vec<Artifact>) -> RunFact {
    RunFact::InvocationEnded { node: id(node), attempt, outcome, record: Some(record()), artifacts, values: BTreeMap::new(), layer: None }
}

/// Another try of the same node, which was learning and also tried what it may not.
fn reached(text: &str) -> RunFact {
    let attempt =
        |host: &str, port, verdict, count| Attempt { host: host.to_owned(), port, verdict, addresses: Vec::new(), count, sent: 9, received: 9 };
    let because = Blocked::NotPublic { address: [10, 0, 0, 7].into(), kind: Kind::Private };
    let attempts = vec![
        attempt("static.crates.io", 443, Verdict::Allowed, 3),
        attempt(text, 443, Verdict::Blocked { because: Blocked::OtherName { asked: text.to_owned() } }, 1),
        attempt("index.crates.io", 443, Verdict::Allowed, 1),
        attempt("deb.example.org", 80, Verdict::Failed { why: "there is no such name".to_owned() }, 1),
        attempt("db.example.org", 5432, Verdict::Blocked { because }, 12),
        attempt(text, 80, Verdict::Blocked { because: Blocked::NotListed }, 1),
    ];
    let egress = Egress { learning: true, attempts, more: 3, lost: true };
    let (outcome, record) = (Outcome::Succeeded, Some(InvocationRecord { egress, ..record() }));
    RunFact::InvocationEnded { node: id(text), attempt: 1, outcome, record, artifacts: Vec::new(), values: BTreeMap::new(), layer: None }
}

/// Another try, which has found something and says so.
fn found(text: &str) -> RunFact {
    let finding = |severity, path: &str, line| Finding {
        rule: format!("rule-{text}"),
        severity,
        message: format!("because of {text}"),
        path: path.to_owned(),
        line,
        column: 0,
        fingerprint: text.to_owned(),
    };
    let found = Found {
        counts: [(Severity::Critical, 1), (Severity::Low, 600)].into(),
        worst: vec![finding(Severity::Critical, "src/a.rs", 7), finding(Severity::Low, text, 0), finding(Severity::Low, "", 0)],
        problem: Some(format!("not all of {text} was read")),
        ..Found::default()
    };
    let lines = std::iter::repeat_n(format!("- {text}\n"), 50).collect::<String>();
    let summary = StepSummary { text: format!("# Of {text}\n\n{lines}"), dropped_bytes: 4096, problem: None };
    let record = Some(InvocationRecord { found, summary, ..record() });
    let (outcome, artifacts) = (Outcome::Succeeded, Vec::new());
    RunFact::InvocationEnded { node: id(text), attempt: 2, outcome, record, artifacts, values: BTreeMap::new(), layer: None }
}

fn ends(node: &str, outcome: Outcome) -> RunFact {
    RunFact::NodeEnded { node: id(node), outcome }
}

/// A run in which much happens: one node succeeds, one is retried and fails, one is skipped, one is being rolled out.
fn story() -> Vec<(Timestamp, RunFact)> {
    let failed = || Outcome::Failed { exit: Exit::Code(2), reason: "exit code 2".to_owned() };
    let no_space = || Outcome::Infrastructure { reason: "no space left on the device".to_owned() };
    let bundle = Artifact {
        name: "bundle".to_owned(),
        path: "dist/function.zip".to_owned(),
        digest: Digest::from_sha256([0xab; 32]),
        size: 1_258_291,
        kind: ArtifactKind::File,
    };
    vec![
        (at(0), started("shop", "Sell doors as well", &["test", "package", "lint[level=strict]", "ship", "announce"])),
        (at(0), RunFact::NodeQueued { node: id("test") }),
        (at(0), begins("test", 1)),
        (at(2), begins("package", 1)),
        (at(1_200), tried("test", 1, Outcome::Succeeded, Vec::new())),
        (at(1_200), ends("test", Outcome::Succeeded)),
        (at(1_300), tried("package", 1, Outcome::Succeeded, vec![bundle])),
        (at(1_300), ends("package", Outcome::Succeeded)),
        (at(1_301), begins("lint[level=strict]", 1)),
        (at(1_500), tried("lint[level=strict]", 1, no_space(), Vec::new())),
        (at(1_500), RunFact::RetryScheduled { node: id("lint[level=strict]"), attempt: 2, at: at(2_500) }),
        (at(2_500), begins("lint[level=strict]", 2)),
        (at(2_600), RunFact::RolloutAttached { node: id("ship"), rollout: RolloutId::new("0199ff") }),
        (at(65_000), tried("lint[level=strict]", 2, failed(), Vec::new())),
        (at(65_000), ends("lint[level=strict]", failed())),
        (at(65_000), ends("announce", Outcome::Skipped { reason: "it needs lint[level=strict], which failed".to_owned() })),
        (at(70_000), ends("ship", Outcome::Succeeded)),
        (at(70_000), RunFact::Ended { outcome: RunOutcome::Failed }),
    ]
}

fn view(facts: &[(Timestamp, RunFact)]) -> View {
    View::of(facts.iter().map(|(at, fact)| (*at, fact)))
}

fn look(width: usize, colour: bool) -> Look {
    Look { width, colour, ..Look::default() }
}
