//! What people read at GitHub, and attacks on it.

mod attacks;
mod looks;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::{House, Known, Templates, said};
use crate::core::plan::{ArtifactRef, Condition, Deploy, Invoke, Node, Plan, Work};
use crate::core::rollout::{Input, Order, Rollout};
use crate::core::template::Template;
use crate::model::artifact::{Artifact, ArtifactKind};
use crate::model::check::Said;
use crate::model::deploy::{JudgePolicy, RolloutPolicy, Strategy};
use crate::model::egress::{Attempt, Blocked, Egress, Verdict};
use crate::model::event::{Actor, Association, Context, Event, EventKind, PullRequest, Side};
use crate::model::fact::{ArmCounts, Batch, RolloutFact, RunFact};
use crate::model::finding::{Finding, Severity};
use crate::model::function::{Function, Target};
use crate::model::id::{CommitId, Digest, NodeId, RolloutId, RunId};
use crate::model::invocation::{InvocationRecord, Phases};
use crate::model::limits::{Network, Resources, Retry};
use crate::model::outcome::{Exit, Outcome, RunOutcome};
use crate::model::policy::{Approvers, Gate, Protection, Voice};
use crate::model::release::{Release, ReleaseId};
use crate::model::request::RequestFact;
use crate::model::settings::{Price, Prices};
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, Weight};
use crate::model::trust::Permission;
use crate::report::run::summary::LogTail;

/// A run, as its facts come.
#[derive(Default)]
struct Tale {
    request: Vec<(Timestamp, RequestFact)>,
    run: Vec<(Timestamp, RunFact)>,
    rollouts: HashMap<RolloutId, Vec<(Timestamp, RolloutFact)>>,
    tails: Vec<LogTail>,
    findings: HashMap<NodeId, Vec<Finding>>,
}

impl Tale {
    fn said(&self) -> Said {
        let Self { request, run, rollouts, tails, findings } = self;
        said(Known { request, run, rollouts, tails, findings }, &house()).expect("something is said")
    }
}

fn house() -> House {
    let prices = Prices { gb_second: Some(Price(16_666_700)), request: Some(Price(200_000)), cpu_second: None, currency: Some("USD".to_owned()) };
    House { templates: Templates::default(), prices, url: Some("https://ci.example.com".to_owned()) }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + ms * 1000)
}

fn id(text: &str) -> NodeId {
    NodeId::new(text)
}

fn event(text: &str) -> Event {
    let actor = Actor { login: text.to_owned(), id: 1, bot: false };
    let side =
        || Side { repository: "acme/shop".to_owned(), branch: text.to_owned(), commit: CommitId::new("0123456789012345678901234567890123456789") };
    let pull = PullRequest {
        number: 7,
        title: text.to_owned(),
        author: actor.clone(),
        association: Association::None,
        head: side(),
        base: side(),
        fork: true,
        draft: false,
        labels: vec![text.to_owned()],
    };
    Event {
        kind: EventKind::PullRequest,
        repository: "acme/shop".to_owned(),
        reference: format!("refs/heads/{text}"),
        branch: Some(text.to_owned()),
        commit: CommitId::new("0123456789012345678901234567890123456789"),
        subject: text.to_owned(),
        author: text.to_owned(),
        changed: None,
        params: BTreeMap::new(),
        context: Context { actor: Some(actor), pull: Some(pull), installation: Some(1), ..Context::default() },
    }
}

fn node(name: &str, work: Work) -> Node {
    Node {
        id: id(name),
        step: name.to_owned(),
        matrix: BTreeMap::new(),
        needs: Vec::new(),
        condition: Condition::NeedsSucceeded,
        work,
        timeout: Duration::from_secs(60),
        retry: Retry::default(),
        idempotent: false,
        concurrency: None,
        environment: None,
    }
}

fn invoke() -> Work {
    Work::Invoke(Invoke {
        image: None,
        script: Template::literal("true"),
        env: BTreeMap::new(),
        outputs: Vec::new(),
        build: None,
        services: Vec::new(),
        network: Network::None,
        resources: Resources { cpu: None, memory: None, pids: None, disk: None },
        action: None,
    })
}

fn function(name: &str) -> Function {
    Function {
        name: name.to_owned(),
        runtime: "provided.al2023".to_owned(),
        handler: "bootstrap".to_owned(),
        memory: 128 << 20,
        timeout: Duration::from_secs(3),
        concurrency: 10,
        env: BTreeMap::new(),
        target: Target::Local,
    }
}

fn policy() -> RolloutPolicy {
    RolloutPolicy {
        strategy: Strategy::Canary { stages: [1_000, 5_000].map(|points| Weight::try_from(points).unwrap()).to_vec() },
        hold: Duration::from_secs(4),
        patience: Duration::from_secs(60),
        prewarm: 2,
        judge: JudgePolicy { samples: 100, ..JudgePolicy::default() },
        probe: None,
        keep: Duration::ZERO,
    }
}

fn deploy(name: &str) -> Work {
    let artifact = ArtifactRef { node: id("build"), output: "function".to_owned() };
    Work::Deploy(Box::new(Deploy { function: function(name), artifact, policy: policy() }))
}

fn started(pipeline: &str, event: Event, nodes: Vec<Node>) -> RunFact {
    let plan = Plan { pipeline: pipeline.to_owned(), file: "test.yaml".to_owned(), event: event.clone(), trust: Default::default(), nodes };
    let plan = serde_json::to_value(plan).expect("a plan has a JSON form");
    RunFact::Started { run: RunId::new("01990a"), pipeline: pipeline.to_owned(), event, plan }
}

fn gated(name: &str, environment: &str, approvers: Approvers) -> Node {
    let protection = Some(Protection { approvers: Some(approvers), ..Protection::default() });
    Node { environment: Some(Gate { environment: environment.to_owned(), protection }), ..node(name, invoke()) }
}

fn held(node: &str, environment: &str) -> RunFact {
    RunFact::NodeHeld { node: id(node), environment: environment.to_owned(), approval: true, opens: at(0), expires: at(1) }
}

fn begins(node: &str, attempt: u32) -> RunFact {
    RunFact::InvocationStarted { node: id(node), attempt, deadline: at(60_000) }
}

fn tried(node: &str, attempt: u32, outcome: Outcome, record: InvocationRecord, artifacts: Vec<Artifact>) -> RunFact {
    let record = Some(record);
    RunFact::InvocationEnded { node: id(node), attempt, outcome, record, artifacts, values: BTreeMap::new(), layer: None }
}

fn ended(node: &str, outcome: Outcome) -> RunFact {
    RunFact::NodeEnded { node: id(node), outcome }
}

fn record() -> InvocationRecord {
    let phases = Phases { queued_us: 100, workspace_us: 900, setup_us: 2_400, exec_us: 700, run_us: 1_150_000, collect_us: 2_000 };
    let (cpu_user_us, cpu_system_us, peak_memory_bytes) = (Some(900_000), Some(0), Some(12 << 20));
    let (executor, read_bytes, written_bytes) = ("sandbox".to_owned(), Some(0), Some(0));
    let measured = InvocationRecord { cpu_user_us, cpu_system_us, peak_memory_bytes, read_bytes, written_bytes, ..InvocationRecord::default() };
    InvocationRecord { started: true, executor, phases, ..measured }
}

fn blocked(host: &str) -> Egress {
    let attempt = Attempt {
        host: host.to_owned(),
        port: 443,
        verdict: Verdict::Blocked { because: Blocked::NotListed },
        addresses: Vec::new(),
        count: 3,
        sent: 0,
        received: 0,
    };
    Egress { attempts: vec![attempt], ..Egress::default() }
}

fn artifact(name: &str) -> Artifact {
    Artifact { name: name.to_owned(), path: name.to_owned(), digest: Digest::from_sha256([7; 32]), size: 3 << 20, kind: ArtifactKind::File }
}

fn finding(severity: Severity, text: &str, path: &str) -> Finding {
    let text = text.to_owned();
    Finding { rule: text.clone(), severity, message: text, path: path.to_owned(), line: 12, column: 3, fingerprint: "f".to_owned() }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed { exit: Exit::Code(1), reason: reason.to_owned() }
}

/// A real machine, told a script.
fn rollout(name: &str, inputs: Vec<(u64, Input)>) -> Vec<(Timestamp, RolloutFact)> {
    let order = Order {
        id: RolloutId::new("shop-1"),
        function: function(name),
        policy: policy(),
        stable_version: Some(2),
        stable: Destination::Release(release(2).id),
        artifact: Digest::from_sha256([3; 32]),
        run: Some(RunId::new("01990a")),
    };
    let (mut rollout, turn) = Rollout::start(order, at(0));
    let mut facts: Vec<_> = turn.facts.into_iter().map(|fact| (at(0), fact)).collect();
    for (ms, input) in inputs {
        facts.extend(rollout.handle(input, at(ms)).unwrap().facts.into_iter().map(|fact| (at(ms), fact)));
    }
    facts
}

fn release(byte: u8) -> Release {
    let digest = Digest::from_sha256([byte; 32]);
    Release { id: ReleaseId::new(digest.clone()), function: String::new(), version: u64::from(byte), artifact: digest, published_at: at(0) }
}

fn seen(canary: u64, errors: u64, stable: u64) -> Input {
    let arm = |requests, errors| ArmCounts { requests, errors, warm: requests, ..ArmCounts::default() };
    Input::Observed(Batch { canary: arm(canary, errors), stable: arm(stable, 0) })
}

fn to_first_stage() -> Vec<(u64, Input)> {
    let warm = Input::Prewarmed { cold_start_us: vec![31_000, 38_400] };
    vec![(200, Input::Published(release(3))), (600, warm), (700, Input::Shifted { revision: 1 }), (700, seen(0, 0, 14))]
}
