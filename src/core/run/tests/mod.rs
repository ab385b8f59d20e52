//! The machine, told as stories (`stories`), driven at random (`any_order`) and at size (`large`).

mod any_order;
mod environments;
mod large;
mod stories;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::*;
use crate::core::plan::{Condition, Deploy, Invoke, Node, Plan, Work};
use crate::core::turn::Turn;
use crate::model::event::{Event, EventKind};
use crate::model::fact::RunFact;
use crate::model::id::{CommitId, NodeId, RunId};
use crate::model::invocation::{InvocationRecord, InvocationResult};
use crate::model::limits::{Network, Resources, Retry, RetryOn};
use crate::model::outcome::{Exit, Outcome};
use crate::model::policy::{Approvers, Gate, PATIENCE, Protection, Voice};
use crate::model::time::Timestamp;

/// Knows three conditions: `always()`, `failed()`, and what can not be decided.
fn condition(source: &str, _known: &serde_json::Value, view: &NeedsView<'_>) -> Result<bool, String> {
    match source {
        "always()" => Ok(true),
        "never()" => Ok(false),
        "failed()" => Ok(view.needs.iter().any(|need| need.failed)),
        other => Err(format!("no such function: {other}")),
    }
}

fn rules(parallel: usize) -> Rules<'static> {
    Rules { parallel: NonZeroUsize::new(parallel).expect("at least one"), condition: &condition, room: &always }
}

fn seconds(n: u64) -> Timestamp {
    Timestamp::from_micros(n * 1_000_000)
}

fn id(text: &str) -> NodeId {
    NodeId::new(text)
}

fn node(name: &str, needs: &[&str]) -> Node {
    Node {
        id: id(name),
        step: name.to_owned(),
        matrix: BTreeMap::new(),
        needs: needs.iter().map(|need| id(need)).collect(),
        condition: Condition::NeedsSucceeded,
        work: Work::Invoke(Invoke {
            script: crate::core::template::Template::literal("true"),
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

fn deploy(name: &str, needs: &[&str]) -> Node {
    use crate::core::plan::ArtifactRef;
    use crate::model::deploy::{JudgePolicy, RolloutPolicy, Strategy};
    use crate::model::function::{Function, Target};
    let function = Function {
        name: "checkout".to_owned(),
        runtime: "provided.al2023".to_owned(),
        handler: "bootstrap".to_owned(),
        memory: 128 << 20,
        timeout: Duration::from_secs(3),
        concurrency: 10,
        env: BTreeMap::new(),
        target: Target::Local,
    };
    let policy = RolloutPolicy {
        strategy: Strategy::AllAtOnce,
        hold: Duration::ZERO,
        patience: Duration::from_secs(60),
        prewarm: 0,
        judge: JudgePolicy::default(),
        probe: None,
        keep: Duration::ZERO,
    };
    let artifact = ArtifactRef { node: id(needs.first().copied().unwrap_or(name)), output: "bundle".to_owned() };
    Node { work: Work::Deploy(Box::new(Deploy { function, artifact, policy })), ..node(name, needs) }
}

fn gated(node: Node, approvers: Option<Approvers>, wait: u64) -> Node {
    let protection = Protection { approvers, wait: Duration::from_secs(wait), self_approval: false };
    Node { environment: Some(Gate { environment: "production".to_owned(), protection: Some(protection) }), ..node }
}

fn when(source: &str, even_after_failure: bool, node: Node) -> Node {
    Node { condition: Condition::Cel { source: source.to_owned(), even_after_failure, known: serde_json::Value::Null }, ..node }
}

fn plan(nodes: Vec<Node>) -> Plan {
    let event = Event {
        kind: EventKind::Manual,
        repository: "shop".to_owned(),
        reference: "refs/heads/main".to_owned(),
        branch: Some("main".to_owned()),
        commit: CommitId::new("0123456789012345678901234567890123456789"),
        subject: "Add a door".to_owned(),
        author: "Ada".to_owned(),
        changed: None,
        params: BTreeMap::new(),
        context: Default::default(),
    };
    Plan { pipeline: "shop".to_owned(), file: ".tidegate/shop.yaml".to_owned(), event, trust: Default::default(), nodes }
}

fn start(nodes: Vec<Node>, parallel: usize) -> (Run, Turn<RunFact, Effect>) {
    Run::start(RunId::new("r1"), plan(nodes), rules(parallel), seconds(0)).expect("a plan that can be run")
}

fn result(outcome: Outcome) -> Box<InvocationResult> {
    let values = BTreeMap::from([("version".to_owned(), "7".to_owned())]);
    Box::new(InvocationResult { outcome, record: InvocationRecord::default(), artifacts: Vec::new(), values, layer: None })
}

fn ended(name: &str, attempt: u32, outcome: Outcome) -> Input {
    Input::InvocationEnded { node: id(name), attempt, result: result(outcome) }
}

fn failed() -> Outcome {
    Outcome::Failed { exit: Exit::Code(1), reason: "exit code 1".to_owned() }
}

fn infrastructure() -> Outcome {
    Outcome::Infrastructure { reason: "no space left".to_owned() }
}
