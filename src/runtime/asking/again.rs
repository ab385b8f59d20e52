//! A run that is asked for once more: all of it, what failed, or one step. The plan is the one that was made then, with what it was trusted with.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{AskError, Asking, Seed};
use crate::adapters::journal::Journal as _;
use crate::core::plan::{Node, Plan};
use crate::core::run::{NodeState, Run};
use crate::core::trust;
use crate::model::event::Actor;
use crate::model::fact::{Fact, Stream};
use crate::model::id::{NodeId, RunId};
use crate::model::outcome::Outcome;
use crate::model::request::{Again, RequestFact};
use crate::model::trigger::Repository;
use crate::runtime::ids;
use crate::runtime::recover::run_facts;

/// What of a run is done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    All,
    /// What did not succeed, and what needs it.
    Failed,
    /// One step, and what needs it.
    Step(String),
}

impl Asking {
    /// Who did it first and who asks again have both started it: neither can approve it alone.
    pub async fn again(&self, run: &RunId, what: &Repeat, seed: &Seed, by: &Actor) -> Result<RunId, AskError> {
        let entries = self.journal.read(&Stream::Request(run.clone())).await?;
        let Some(Fact::Request(asked @ RequestFact::Asked { .. })) = entries.into_iter().next().map(|entry| entry.fact) else {
            return Err(AskError::Unknown(format!("run {run} was not asked for through this server: start it anew")));
        };
        let RequestFact::Asked { run: _, pipeline, mut event, plan, trust, url, group, priority, approval: _, again: _ } = asked else {
            return Err(AskError::Unknown(format!("the request for run {run} is damaged")));
        };
        if plan.is_null() {
            return Err(AskError::Refused(format!("run {run} had no plan, as its pipeline file is not valid: push a better one")));
        }
        let facts = run_facts(&self.journal.read(&Stream::Run(run.clone())).await?);
        let earlier = Run::replay(&facts).map_err(|_| AskError::Refused(format!("run {run} has not begun")))?;
        if earlier.outcome().is_none() {
            return Err(AskError::Refused(format!("run {run} has not ended: cancel it first, or wait")));
        }
        self.is_still_so(run, &event).await?;
        let keep = keep(&earlier, what)?;
        let plan = asked_by(plan, by).map_err(|why| AskError::Unknown(format!("the plan of run {run} is damaged: {why}")))?;
        event.context.again = Some(by.clone());
        let id = ids::asked(seed.at, &[&seed.name, "again", run.as_str()]);
        let again = Some(Again { run: run.clone(), keep });
        let asked = RequestFact::Asked { run: id.clone(), pipeline, event, plan, trust, url, group, priority, approval: None, again };
        self.dispatcher.ask(asked).await?;
        Ok(id)
    }

    /// Of a pull request only its head is run again: what was approved once is not approved for ever.
    async fn is_still_so(&self, run: &RunId, event: &crate::model::event::Event) -> Result<(), AskError> {
        let (Some(pull), Some(github)) = (&event.context.pull, &self.github) else { return Ok(()) };
        let Some(known) = self.mirrors.known(&event.repository) else { return Ok(()) };
        let now = github.pull(&Self::place(&Repository::from(known)), pull.number).await?;
        let head = now.open.then_some(&now.commit);
        match trust::void(event, head) {
            Some(why) => Err(AskError::Refused(format!("run {run} is not run again: {why}"))),
            None => Ok(()),
        }
    }
}

fn asked_by(plan: Value, by: &Actor) -> Result<Value, serde_json::Error> {
    let mut plan: Plan = serde_json::from_value(plan)?;
    plan.event.context.again = Some(by.clone());
    serde_json::to_value(&plan)
}

/// The nodes that are not run again.
fn keep(earlier: &Run, what: &Repeat) -> Result<Vec<NodeId>, AskError> {
    let plan: &Plan = earlier.plan();
    let good = |node: &Node| matches!(earlier.state(&node.id), Some(NodeState::Ended(Outcome::Succeeded | Outcome::Memoised { .. })));
    let mut again: BTreeSet<&NodeId> = match what {
        Repeat::All => return Ok(Vec::new()),
        Repeat::Failed => plan.nodes.iter().filter(|node| !good(node)).map(|node| &node.id).collect(),
        Repeat::Step(step) => {
            let meant: BTreeSet<&NodeId> =
                plan.nodes.iter().filter(|node| node.step == *step || node.id.as_str() == step).map(|node| &node.id).collect();
            if meant.is_empty() {
                let known: BTreeSet<&str> = plan.nodes.iter().map(|node| node.step.as_str()).collect();
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                return Err(AskError::Unknown(format!("run {} has no step {step:?}; it has {known}", earlier.id())));
            }
            meant
        }
    };
    // Every node stands behind all that it needs.
    for node in &plan.nodes {
        if node.needs.iter().any(|need| again.contains(need)) || !good(node) && *what == Repeat::Failed {
            again.insert(&node.id);
        }
    }
    let needed_and_bad: Vec<&str> = plan
        .nodes
        .iter()
        .filter(|node| again.contains(&node.id))
        .flat_map(|node| &node.needs)
        .filter(|need| !again.contains(need) && plan.node(need).is_some_and(|node| !good(node)))
        .map(NodeId::as_str)
        .collect();
    if let Some(first) = needed_and_bad.first() {
        return Err(AskError::Refused(format!("it needs {first}, which did not succeed: run what failed again instead")));
    }
    Ok(plan.nodes.iter().filter(|node| !again.contains(&node.id) && good(node)).map(|node| node.id.clone()).collect())
}
