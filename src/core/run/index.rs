//! Names → places: what is looked up once, at the start, so that no input has to look through the plan.

use std::collections::HashMap;

use crate::core::plan::Plan;
use crate::model::id::NodeId;

use super::state::{NodeRun, NodeState, PlanError};

pub(super) struct Links {
    pub index: HashMap<NodeId, usize>,
    pub nodes: Vec<NodeRun>,
    /// The lane of each node: nodes of one step share one.
    pub lane_of: Vec<usize>,
    /// How many of each lane may run at once.
    pub limits: Vec<Option<u32>>,
}

impl Links {
    pub fn of(plan: &Plan) -> Result<Self, PlanError> {
        let mut links = Self { index: HashMap::with_capacity(plan.nodes.len()), nodes: Vec::new(), lane_of: Vec::new(), limits: Vec::new() };
        let mut lanes: HashMap<&str, usize> = HashMap::new();
        for (at, node) in plan.nodes.iter().enumerate() {
            let needs = links.places(&node.id, &node.needs)?;
            for need in &needs {
                links.nodes[*need].dependents.push(at);
            }
            if links.index.insert(node.id.clone(), at).is_some() {
                return Err(PlanError(format!("two nodes are called {}", node.id)));
            }
            let lane = *lanes.entry(&node.step).or_insert(links.limits.len());
            if lane == links.limits.len() {
                links.limits.push(node.concurrency);
            }
            links.lane_of.push(lane);
            let open_needs = needs.len();
            links.nodes.push(NodeRun { needs, dependents: Vec::new(), open_needs, state: NodeState::Waiting, failed: false, kept: None });
        }
        Ok(links)
    }

    /// The places of what a node needs, without repetitions: only nodes that stand before it are known yet, so a cycle can not get in.
    fn places(&self, node: &NodeId, needs: &[NodeId]) -> Result<Vec<usize>, PlanError> {
        let mut places = Vec::with_capacity(needs.len());
        for need in needs {
            let Some(place) = self.index.get(need) else {
                return Err(PlanError(format!("{node} needs {need}, which does not stand before it")));
            };
            places.push(*place);
        }
        let mut seen = std::collections::HashSet::with_capacity(places.len());
        places.retain(|place| seen.insert(*place));
        Ok(places)
    }
}
