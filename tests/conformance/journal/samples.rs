//! One run, one rollout and one request with every kind of fact: what `fixtures/journals/` holds. Not a history that could have happened.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate::model::artifact::{Artifact, ArtifactKind};
use tidegate::model::deploy::{ErrorPolicy, JudgePolicy, LatencyPolicy, Probe, RolloutPolicy, Strategy};
use tidegate::model::event::{Actor, Association, Context, Event, EventKind, PullRequest, Side};
use tidegate::model::fact::{
    ArmCounts, Batch, DecidedBy, Decision, Fact, MetricRecord, ProviderCall, RolloutFact, RolloutOutcome, RunFact, Stream, VerdictRecord,
};
use tidegate::model::function::{EnvValue, Function, Target};
use tidegate::model::id::{CommitId, DeliveryId, Digest, NodeId, RolloutId, RunId};
use tidegate::model::invocation::{Discarded, InvocationRecord, Phases};
use tidegate::model::outcome::{Exit, Outcome, RunOutcome};
use tidegate::model::policy::Voice;
use tidegate::model::release::{Release, ReleaseId};
use tidegate::model::request::{Again, Dropped, Group, RequestFact, Waiting};
use tidegate::model::time::Timestamp;
use tidegate::model::traffic::{Destination, TrafficSplit, Weight};
use tidegate::model::trust::{Approval, Permission, Trust};

pub fn at() -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000)
}

fn text(text: &str) -> String {
    text.to_owned()
}

pub fn run_facts() -> (Stream, Vec<Fact>) {
    let run = RunId::new("01990a6e-0000-7000-8000-000000000001");
    let node = || NodeId::new("test[features=full]");
    let ended = |outcome| RunFact::NodeEnded { node: node(), outcome };
    let reason = || text("because");
    let facts = vec![
        RunFact::Started { run: run.clone(), pipeline: text("shop"), event: event(), plan: serde_json::json!({ "nodes": [] }) },
        RunFact::NodeQueued { node: node() },
        RunFact::InvocationStarted { node: node(), attempt: 1, deadline: at() },
        invocation_ended(node()),
        RunFact::RetryScheduled { node: node(), attempt: 2, at: at() },
        RunFact::RolloutAttached { node: node(), rollout: RolloutId::new("o1") },
        ended(Outcome::Succeeded),
        ended(Outcome::Failed { exit: Exit::Code(3), reason: reason() }),
        ended(Outcome::Failed { exit: Exit::Signal(9), reason: reason() }),
        ended(Outcome::Failed { exit: Exit::None, reason: reason() }),
        ended(Outcome::TimedOut { after_ms: 60_000 }),
        ended(Outcome::Cancelled { reason: reason() }),
        ended(Outcome::Skipped { reason: reason() }),
        ended(Outcome::Memoised { from: text("r0") }),
        ended(Outcome::Infrastructure { reason: reason() }),
        RunFact::CancelRequested { reason: reason() },
        RunFact::Ended { outcome: RunOutcome::Succeeded },
        RunFact::Ended { outcome: RunOutcome::Failed },
        RunFact::Ended { outcome: RunOutcome::Cancelled },
        RunFact::Ended { outcome: RunOutcome::Interrupted },
        RunFact::Ended { outcome: RunOutcome::Infrastructure },
    ];
    (Stream::Run(run), facts.into_iter().map(Fact::Run).collect())
}

fn event() -> Event {
    Event {
        kind: EventKind::PullRequest,
        repository: text("shop"),
        reference: text("refs/heads/main"),
        branch: Some(text("main")),
        commit: CommitId::new("0123456789012345678901234567890123456789"),
        subject: text("Sell doors as well: 門"),
        author: text("Ada"),
        changed: Some(vec![text("src/door.rs")]),
        params: BTreeMap::from([(text("fault"), text("5%"))]),
        context: Default::default(),
    }
}

fn invocation_ended(node: NodeId) -> RunFact {
    let phases = Phases { queued_us: 1, workspace_us: 2, setup_us: 3, exec_us: 4, run_us: 5, collect_us: 6 };
    let record = InvocationRecord {
        chosen: None,
        image: None,
        executor: text("sandbox"),
        isolation: vec![text("user-namespace")],
        phases,
        cpu_user_us: Some(7),
        cpu_system_us: Some(8),
        peak_memory_bytes: Some(9),
        read_bytes: Some(0),
        written_bytes: Some(0),
        log_bytes: 10,
        log_dropped_bytes: 11,
        discarded: Discarded { files: 12, bytes: 13 },
        // Added after the sample was written: what an old journal does not say.
        ..InvocationRecord::default()
    };
    let (digest, path) = (Digest::from_sha256([1; 32]), text("dist/function.zip"));
    RunFact::InvocationEnded {
        node,
        attempt: 1,
        outcome: Outcome::Succeeded,
        record: Some(record),
        artifacts: vec![Artifact { name: text("bundle"), path, digest, size: 14, kind: ArtifactKind::File }],
        values: BTreeMap::from([(text("version"), text("7"))]),
        layer: Some(text("/state/layers/1")),
    }
}

/// What there is since schema 2.
pub fn since_2() -> Vec<(Stream, Vec<Fact>)> {
    let kept = RunFact::NodeKept {
        node: NodeId::new("build"),
        from: RunId::new("r0"),
        artifacts: Vec::new(),
        values: BTreeMap::from([(text("version"), text("7"))]),
        layer: Some(text("/state/layers/1")),
    };
    let run = RunId::new("01990a6e-0000-7000-8000-000000000004");
    let held = |approval| RunFact::NodeHeld { node: NodeId::new("ship"), environment: text("production"), approval, opens: at(), expires: at() };
    let by = || Voice::Forge { login: text("ada"), id: None, permission: Permission::Maintain };
    let facts = vec![
        kept,
        held(true),
        held(false),
        RunFact::NodeApproved { node: NodeId::new("ship"), by: by() },
        RunFact::NodeApproved { node: NodeId::new("ship"), by: Voice::Machine { user: text("root") } },
        RunFact::NodeRejected { node: NodeId::new("ship"), by: by(), reason: text("not today") },
    ];
    vec![(Stream::Run(run), facts.into_iter().map(Fact::Run).collect()), request_facts()]
}

pub fn asked() -> RequestFact {
    match request_facts().1.swap_remove(0) {
        Fact::Request(asked) => asked,
        other => panic!("a request begins otherwise: {other:?}"),
    }
}

fn request_facts() -> (Stream, Vec<Fact>) {
    let run = RunId::new("01990a6e-0000-7000-8000-000000000003");
    let reason = || text("because");
    let facts = vec![
        RequestFact::Asked {
            run: run.clone(),
            pipeline: text("shop"),
            event: Box::new(event_of_a_fork()),
            plan: serde_json::json!({ "nodes": [] }),
            trust: Trust::Untrusted,
            url: text("https://github.com/acme/shop.git"),
            group: Some(Group { name: text("refs/heads/main"), supersede: true, queue: Waiting::Latest }),
            priority: -1,
            approval: Some(text("it comes from a fork")),
            again: Some(Again { run: RunId::new("r0"), keep: vec![NodeId::new("build")] }),
        },
        RequestFact::Approved { approval: Approval { by: text("ada"), commit: commit() } },
        RequestFact::Begun,
        RequestFact::Dropped { why: Dropped::Superseded { by: RunId::new("r2") } },
        RequestFact::Dropped { why: Dropped::Cancelled { by: text("ada") } },
        RequestFact::Dropped { why: Dropped::Void { because: reason() } },
        RequestFact::Dropped { why: Dropped::Failed { why: reason() } },
    ];
    (Stream::Request(run), facts.into_iter().map(Fact::Request).collect())
}

fn commit() -> CommitId {
    CommitId::new("0123456789012345678901234567890123456789")
}

fn event_of_a_fork() -> Event {
    let actor = || Actor { login: text("mallory"), id: 7, bot: true };
    let side = |repository: &str| Side { repository: text(repository), branch: text("main"), commit: commit() };
    let pull = PullRequest {
        number: 3,
        title: text("A better door"),
        author: actor(),
        association: Association::FirstTimeContributor,
        head: side("mallory/shop"),
        base: side("acme/shop"),
        fork: true,
        draft: false,
        labels: vec![text("door")],
    };
    let context = Context {
        action: Some(text("opened")),
        actor: Some(actor()),
        again: None,
        pull: Some(pull),
        before: Some(commit()),
        environment: Some(text("production")),
        default_branch: Some(text("main")),
        delivery: Some(DeliveryId::new("72d3162e-cc78-11e3-81ab-4c9367dc0958")),
        installation: Some(5),
    };
    Event { context, ..event() }
}

pub fn rollout_facts() -> (Stream, Vec<Fact>) {
    let rollout = RolloutId::new("01990a6e-0000-7000-8000-000000000002");
    let id = || ReleaseId::new(Digest::from_sha256([2; 32]));
    let release = || Release { id: id(), function: text("checkout"), version: 3, artifact: Digest::from_sha256([1; 32]), published_at: at() };
    let weight = || Weight::from_basis_points(2_500).expect("25 %");
    let split = || TrafficSplit::between(Destination::Upstream(text("http://shop:8080")), Destination::Release(id()), weight());
    let started = RolloutFact::Started {
        rollout: rollout.clone(),
        function: Box::new(function()),
        policy: Box::new(policy()),
        stable: Destination::Vacant,
        stable_version: None,
        run: Some(RunId::new("r1")),
    };
    let decided = |decision, by| RolloutFact::Decided { decision, by, verdict: verdict() };
    let reason = || text("because");
    let mut facts = vec![
        started,
        RolloutFact::PublishIntended { artifact: Digest::from_sha256([1; 32]) },
        RolloutFact::Published { release: release() },
        RolloutFact::AlreadyLive { release: release() },
        RolloutFact::PrewarmIntended { stage: 0, instances: 2 },
        RolloutFact::Prewarmed { stage: 0, instances: 2, cold_start_us: vec![120_000, 130_000] },
        RolloutFact::ShiftIntended { stage: Some(0), split: split() },
        RolloutFact::Shifted { stage: None, split: split(), revision: 4 },
        RolloutFact::Observed { stage: 0, batch: Batch { stable: counts(1), canary: counts(2) } },
        RolloutFact::StageHeld { stage: 0, weight: weight(), verdict: verdict() },
        decided(Decision::Promote, DecidedBy::Judge),
        RolloutFact::CallFailed { call: ProviderCall::Shift, attempt: 2, reason: reason(), retry_at: Some(at()) },
        decided(Decision::RollBack, DecidedBy::Provider { reason: reason() }),
        decided(Decision::Abort, DecidedBy::Person),
        decided(Decision::RollBack, DecidedBy::Recovery),
    ];
    let outcomes = [
        RolloutOutcome::Promoted,
        RolloutOutcome::Unchanged,
        RolloutOutcome::RolledBack { reason: reason() },
        RolloutOutcome::Aborted { reason: reason() },
        RolloutOutcome::Failed { reason: reason() },
        RolloutOutcome::Stuck { reason: reason() },
    ];
    facts.extend(outcomes.map(|outcome| RolloutFact::Ended { outcome }));
    (Stream::Rollout(rollout), facts.into_iter().map(Fact::Rollout).collect())
}

fn function() -> Function {
    let env = [(text("TABLE"), EnvValue::Plain(text("orders"))), (text("API_KEY"), EnvValue::Secret(text("checkout-api-key")))];
    Function {
        name: text("checkout"),
        runtime: text("provided.al2023"),
        handler: text("bootstrap"),
        memory: 256 << 20,
        timeout: Duration::from_secs(10),
        concurrency: 100,
        env: BTreeMap::from(env),
        target: Target::Aws { region: text("eu-west-1"), role: None, alias: text("live") },
    }
}

fn policy() -> RolloutPolicy {
    let latency = LatencyPolicy { over: Duration::from_millis(300), margin: 0.01, objective: 0.05 };
    let judge = JudgePolicy { errors: ErrorPolicy { margin: 0.005, objective: 0.01 }, latency: Some(latency), confidence: 0.999, samples: 500 };
    RolloutPolicy {
        strategy: Strategy::Canary { stages: [100, 2_500].into_iter().filter_map(Weight::from_basis_points).collect() },
        hold: Duration::from_secs(300),
        patience: Duration::from_secs(3_600),
        prewarm: 2,
        judge,
        probe: Some(Probe { path: text("/health"), rate: 20.0 }),
        keep: Duration::from_secs(86_400),
    }
}

fn counts(n: u64) -> ArmCounts {
    ArmCounts { requests: 100 * n, errors: n, warm: 90 * n, slow: 2 * n, init_failures: 0 }
}

fn verdict() -> VerdictRecord {
    let metric = MetricRecord { name: text("errors"), stable_rate: 0.125, canary_rate: 0.25, log_evidence: 7.5, log_threshold: 6.875 };
    VerdictRecord { stable: counts(1), canary: counts(2), metrics: vec![metric], because: text("errors are twice as frequent") }
}
