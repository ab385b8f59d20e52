//! Whether a node runs, once all that it needs has ended.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value as Json, json};

use super::graph::{Condition, Node, Plan};
use crate::core::spec::condition::{CompiledCondition, ConditionError};
use crate::model::id::NodeId;
use crate::model::outcome::Outcome;

/// How a node ended and which values it left (`TIDEGATE_OUTPUT`).
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    pub outcome: &'a Outcome,
    pub values: &'a BTreeMap<String, String>,
}

/// Answers for every node that has ended.
pub type EndedLookup<'a> = dyn Fn(&NodeId) -> Option<Ended<'a>> + 'a;

/// To be asked when every need of the node has ended; `false` means that it is skipped.
pub fn evaluate(plan: &Plan, node: &Node, ended: &EndedLookup<'_>) -> Result<bool, ConditionError> {
    let needs_succeeded = || node.needs.iter().all(|need| ended(need).is_some_and(|need| need.outcome.is_success()));
    match &node.condition {
        Condition::NeedsSucceeded => Ok(needs_succeeded()),
        Condition::Never { .. } => Ok(false),
        Condition::Cel { even_after_failure: false, .. } if !needs_succeeded() => Ok(false),
        Condition::Cel { source, known, .. } => {
            // Looking for failed ancestors is dear, and few conditions ask.
            let failed = source.contains("failed") && any_ancestor_failed(plan, node, ended);
            holds(source, known, steps_context(node, ended), failed)
        }
    }
}

/// `{ steps: { NAME: { outcome, outputs } } }` of what the node needs: what `Invoke::resolve` and conditions are given.
pub fn steps_context(node: &Node, ended: &EndedLookup<'_>) -> Json {
    steps_of(node.needs.iter().filter_map(|need| Some((need, ended(need)?))))
}

/// The same of needs that are at hand.
/// The nodes of a matrix count as one step: succeeded if all have, else as the first that has not; their values are not given.
pub fn steps_of<'a>(needs: impl Iterator<Item = (&'a NodeId, Ended<'a>)>) -> Json {
    let mut steps: BTreeMap<&str, (&str, BTreeMap<String, String>)> = BTreeMap::new();
    for (need, found) in needs {
        let many = need.as_str().contains('[');
        let name = step_of(need);
        let (outcome, values) = steps.entry(name).or_insert_with(|| (found.outcome.word(), BTreeMap::new()));
        if *outcome == "succeeded" || *outcome == "memoised" {
            *outcome = found.outcome.word();
        }
        if !many {
            values.extend(found.values.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    let steps: Map<String, Json> =
        steps.into_iter().map(|(name, (outcome, outputs))| (name.to_owned(), json!({ "outcome": outcome, "outputs": outputs }))).collect();
    json!({ "steps": steps })
}

/// Whether a condition holds, given what the plan knew, `steps` as [`steps_of`] gives them, and whether anything before it failed.
pub fn holds(source: &str, known: &Json, steps: Json, failed: bool) -> Result<bool, ConditionError> {
    let condition = CompiledCondition::compile(source).map_err(|problems| ConditionError {
        source_text: source.to_owned(),
        why: problems.into_iter().next().map_or_else(String::new, |problem| problem.message),
    })?;
    let mut names = known.as_object().cloned().unwrap_or_default();
    if let Json::Object(steps) = steps {
        names.extend(steps);
    }
    condition.decide(&Json::Object(names), failed)
}

/// A step's name has no bracket, a node's matrix values stand in one.
fn step_of(node: &NodeId) -> &str {
    node.as_str().split('[').next().unwrap_or_default()
}

/// Also behind steps that were skipped because of it.
fn any_ancestor_failed(plan: &Plan, node: &Node, ended: &EndedLookup<'_>) -> bool {
    let index: HashMap<&NodeId, &Node> = plan.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut open: Vec<&NodeId> = node.needs.iter().collect();
    let mut seen: HashSet<&NodeId> = open.iter().copied().collect();
    while let Some(at) = open.pop() {
        match ended(at).map(|ended| ended.outcome) {
            Some(Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Infrastructure { .. }) => return true,
            _ => open.extend(index.get(at).map(|node| node.needs.as_slice()).unwrap_or_default().iter().filter(|need| seen.insert(need))),
        }
    }
    false
}
