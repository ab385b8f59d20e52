//! A deploy step and its rollout, as facts.

use std::time::Duration;

use tidegate::core::plan::{ArtifactRef, Deploy, Plan, Work};
use tidegate::core::rollout::{Input, Order, Rollout};
use tidegate::model::deploy::{JudgePolicy, RolloutPolicy, Strategy};
use tidegate::model::fact::{Fact, RolloutFact, RunFact, Stream};
use tidegate::model::function::{Function, Target};
use tidegate::model::id::{Digest, NodeId, RolloutId, RunId};
use tidegate::model::outcome::{Outcome, RunOutcome};
use tidegate::model::release::{Release, ReleaseId};
use tidegate::model::traffic::Destination;

use crate::house::*;

fn policy() -> RolloutPolicy {
    RolloutPolicy {
        strategy: Strategy::AllAtOnce,
        hold: Duration::ZERO,
        patience: Duration::from_secs(60),
        prewarm: 0,
        judge: JudgePolicy::default(),
        probe: None,
        keep: Duration::ZERO,
    }
}

fn function() -> Function {
    Function {
        name: "checkout".to_owned(),
        runtime: "provided.al2023".to_owned(),
        handler: "bootstrap".to_owned(),
        memory: 128 << 20,
        timeout: Duration::from_secs(3),
        concurrency: 10,
        env: Default::default(),
        target: Target::Local,
    }
}

fn release() -> Release {
    let digest = Digest::from_sha256([2; 32]);
    Release { id: ReleaseId::new(digest.clone()), function: "checkout".to_owned(), version: 2, artifact: digest, published_at: now() }
}

fn rollout(run: &str) -> RolloutId {
    RolloutId::new(format!("{run}-checkout"))
}

/// A run with one deploy step, which has handed over to a rollout that has begun.
pub async fn begin(house: &House, run: &str) {
    let mut fact = started(run, pull_event(), &["deploy"]);
    if let RunFact::Started { plan, .. } = &mut fact {
        let mut whole: Plan = serde_json::from_value(plan.clone()).expect("a plan");
        let artifact = ArtifactRef { node: NodeId::new("build"), output: "function".to_owned() };
        whole.nodes[0].work = Work::Deploy(Box::new(Deploy { function: function(), artifact, policy: policy() }));
        *plan = serde_json::to_value(whole).expect("a plan");
    }
    let facts = facts(run);
    house.add(Stream::Rollout(rollout(run)), vec![Fact::Rollout(facts[0].clone())]).await;
    house.append(run, vec![fact, RunFact::RolloutAttached { node: NodeId::new("deploy"), rollout: rollout(run) }]).await;
}

/// It finds that the release serves already.
pub async fn end(house: &House, run: &str) {
    house.add(Stream::Rollout(rollout(run)), facts(run).into_iter().skip(1).map(Fact::Rollout).collect()).await;
    let ended = RunFact::NodeEnded { node: NodeId::new("deploy"), outcome: Outcome::Succeeded };
    house.append(run, vec![ended, over(RunOutcome::Succeeded)]).await;
}

fn facts(run: &str) -> Vec<RolloutFact> {
    let order = Order {
        id: rollout(run),
        function: function(),
        policy: policy(),
        stable_version: Some(2),
        stable: Destination::Release(release().id),
        artifact: release().artifact,
        run: Some(RunId::new(run)),
    };
    let (mut machine, turn) = Rollout::start(order, now());
    let mut facts = turn.facts;
    facts.extend(machine.handle(Input::AlreadyLive(release()), now()).expect("it fits").facts);
    facts
}
