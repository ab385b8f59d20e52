//! Past runs in a state folder, as the machine itself makes them: one has ended, one is alive, one was killed.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use tidegate::adapters::journal::{self, Journal as _};
use tidegate::adapters::state::{Owner, StateFolder};
use tidegate::core::plan::{Condition, Invoke, Node, Plan, Work};
use tidegate::core::run::{Effect, Input, NeedsView, Rules, Run, always};
use tidegate::model::event::{Event, EventKind};
use tidegate::model::fact::{Fact, Stream};
use tidegate::model::id::{CommitId, NodeId, RunId};
use tidegate::model::invocation::{InvocationRecord, InvocationResult};
use tidegate::model::limits::{Network, Resources, Retry};
use tidegate::model::outcome::{Exit, Outcome};
use tidegate::model::time::Timestamp;

pub fn node(name: &str, needs: &[&str]) -> Node {
    Node {
        id: NodeId::new(name),
        step: name.to_owned(),
        matrix: BTreeMap::new(),
        needs: needs.iter().map(|need| NodeId::new(*need)).collect(),
        condition: Condition::NeedsSucceeded,
        work: Work::Invoke(Invoke {
            script: tidegate::core::template::Template::literal("true"),
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

pub fn plan() -> Plan {
    let event = Event {
        kind: EventKind::Manual,
        repository: "shop".to_owned(),
        reference: "refs/heads/main".to_owned(),
        branch: Some("main".to_owned()),
        commit: CommitId::new("0123456789012345678901234567890123456789"),
        subject: "Sell doors\u{1b}[2J as well".to_owned(),
        author: "Ada".to_owned(),
        changed: None,
        params: BTreeMap::new(),
        context: Default::default(),
    };
    Plan {
        pipeline: "shop".to_owned(),
        file: "shop.yaml".to_owned(),
        event,
        trust: Default::default(),
        nodes: vec![node("test", &[]), node("build", &["test"])],
    }
}

pub fn seconds(n: u64) -> Timestamp {
    Timestamp::from_micros((1_790_000_000 + n) * 1_000_000)
}

fn yes(_: &str, _: &serde_json::Value, _: &NeedsView<'_>) -> Result<bool, String> {
    Ok(true)
}

/// A run as `owner` drives it: its steps end with these outcomes, one a second, and then it is left as it is.
pub fn drive(state: &StateFolder, owner: &Owner, id: &str, begin: u64, outcomes: &[Outcome]) {
    let rules = Rules { parallel: NonZeroUsize::MIN, condition: &yes, room: &always };
    let (mut run, mut turn) = Run::start(RunId::new(id), plan(), rules, seconds(begin)).expect("a plan");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let journal = journal::open(&state.journal(), owner.id()).expect("the journal");
    let (mut number, mut outcomes, mut now) = (1, outcomes.iter(), begin);
    state.make_run(run.id()).expect("a folder for its logs");
    loop {
        let facts: Vec<Fact> = turn.facts.into_iter().map(Fact::Run).collect();
        let many = facts.len() as u64;
        runtime.block_on(journal.append(&Stream::Run(RunId::new(id)), number, seconds(now), facts)).expect("appended");
        number += many;
        let invoked =
            turn.effects.iter().find_map(|effect| if let Effect::Invoke { node, attempt, .. } = effect { Some((node, *attempt)) } else { None });
        let Some((node, attempt)) = invoked else { return };
        std::fs::write(state.log(run.id(), node, attempt), format!("{node} says\n\u{1b}]0;owned\u{7}hello\n")).expect("its log");
        let Some(outcome) = outcomes.next() else { return };
        let record = InvocationRecord::default();
        let result = InvocationResult { outcome: outcome.clone(), record, artifacts: Vec::new(), values: BTreeMap::new(), layer: None };
        now += 1;
        let input = Input::InvocationEnded { node: node.clone(), attempt, result: Box::new(result) };
        turn = run.handle(input, rules, seconds(now)).expect("it fits");
    }
}

pub struct Story {
    _place: tempfile::TempDir,
    pub state: StateFolder,
    pub living: Owner,
}

pub fn story() -> Story {
    let place = tempfile::tempdir().expect("a temporary folder");
    let state = StateFolder::open(place.path().join("state")).expect("a state folder");
    let (living, killed) = (state.claim().expect("one that lives"), state.claim().expect("one that will not"));
    let failed = Outcome::Failed { exit: Exit::Code(2), reason: "exit code 2".to_owned() };
    drive(&state, &living, "aa01", 0, &[Outcome::Succeeded, failed]);
    drive(&state, &killed, "aa02", 60, &[Outcome::Succeeded]);
    drive(&state, &living, "bb03", 120, &[]);
    drop(killed);
    Story { _place: place, state, living }
}
