//! Everything that a run knows, and how to ask it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::core::plan::{Node, Plan};
use crate::model::artifact::Artifact;
use crate::model::id::{NodeId, RolloutId, RunId};
use crate::model::outcome::{Outcome, RunOutcome};
use crate::model::time::Timestamp;

use super::index::Links;
use super::needs::NeedsView;
use super::queue::Queue;

/// Where a node stands.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeState {
    /// Something that it needs has not ended yet.
    Waiting,
    /// All that it needs has ended. It waits for its environment: for an approval if `approval`, for `opens`, for whoever else is there.
    Held {
        approval: bool,
        opens: Timestamp,
        expires: Timestamp,
    },
    /// It may start. An invocation waits for room; a deploy for its rollout.
    Queued {
        attempt: u32,
        since: Timestamp,
    },
    Running {
        attempt: u32,
        deadline: Timestamp,
        since: Timestamp,
    },
    /// Its attempt has ended. Never lasts: the turn that brought it here decides what it means.
    Tried {
        attempt: u32,
        outcome: Outcome,
    },
    /// `attempt` is the next one.
    BackingOff {
        attempt: u32,
        until: Timestamp,
    },
    Deploying {
        rollout: RolloutId,
        since: Timestamp,
    },
    Ended(Outcome),
}

impl NodeState {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held { approval: true, .. } => "waiting for approval",
            Self::Held { approval: false, .. } => "waiting for its environment",
            Self::Queued { .. } => "queued",
            Self::Running { .. } => "running",
            Self::Tried { .. } => "tried",
            Self::BackingOff { .. } => "backing off",
            Self::Deploying { .. } => "deploying",
            Self::Ended(outcome) => outcome.word(),
        }
    }
}

/// What the last attempt of a node left for those who need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    pub artifacts: Vec<Artifact>,
    pub values: BTreeMap<String, String>,
    pub layer: Option<String>,
}

/// One node as the machine keeps it. Others are named by their place in the plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NodeRun {
    pub needs: Vec<usize>,
    pub dependents: Vec<usize>,
    /// How many of `needs` have not ended.
    pub open_needs: usize,
    pub state: NodeState,
    /// See [`super::Need::failed`].
    pub failed: bool,
    pub kept: Option<Box<Kept>>,
}

/// How many nodes ended in each way that matters for the whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub open: usize,
    pub failed: usize,
    pub cancelled: usize,
    pub infrastructure: usize,
}

/// One execution of a plan. Equal runs behave equally.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub(super) id: RunId,
    pub(super) plan: Plan,
    pub(super) started: Timestamp,
    pub(super) index: HashMap<NodeId, usize>,
    pub(super) nodes: Vec<NodeRun>,
    pub(super) queue: Queue,
    /// Deadlines of the running, ends of the back-offs, and when what is held opens or expires.
    pub(super) timers: BTreeSet<(Timestamp, usize)>,
    /// Invocations that have not ended.
    pub(super) running: BTreeSet<usize>,
    /// Deploys that have been asked for and have not ended.
    pub(super) deploying: BTreeSet<usize>,
    pub(super) tally: Tally,
    pub(super) cancel: Option<String>,
    pub(super) ended: Option<RunOutcome>,
}

/// The plan is not one: two nodes of the same name, or a need that does not stand before what needs it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this plan can not be run: {0}")]
pub struct PlanError(pub(super) String);

impl Run {
    /// Nothing has happened yet but the start: used live and in replay.
    pub(super) fn new(id: RunId, plan: Plan, started: Timestamp) -> Result<Self, PlanError> {
        let Links { index, nodes, lane_of, limits } = Links::of(&plan)?;
        let tally = Tally { open: nodes.len(), ..Tally::default() };
        let queue = Queue::new(lane_of, limits);
        let (timers, running, deploying) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Ok(Self { id, plan, started, index, nodes, queue, timers, running, deploying, tally, cancel: None, ended: None })
    }

    pub fn id(&self) -> &RunId {
        &self.id
    }
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
    pub fn started(&self) -> Timestamp {
        self.started
    }
    /// Why it is being cancelled, if it is.
    pub fn cancelled(&self) -> Option<&str> {
        self.cancel.as_deref()
    }
    pub fn outcome(&self) -> Option<RunOutcome> {
        self.ended
    }
    /// A node of the plan, without looking through all of it.
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.index.get(id).map(|at| &self.plan.nodes[*at])
    }
    pub fn state(&self, id: &NodeId) -> Option<&NodeState> {
        self.index.get(id).map(|at| &self.nodes[*at].state)
    }
    /// Every node with its state, in the plan's order.
    pub fn nodes(&self) -> impl Iterator<Item = (&Node, &NodeState)> {
        self.plan.nodes.iter().zip(self.nodes.iter().map(|node| &node.state))
    }
    /// Invocations that have begun and not ended.
    pub fn under_way(&self) -> Vec<(NodeId, u32)> {
        let attempt = |at: &usize| match self.nodes[*at].state {
            NodeState::Running { attempt, .. } => Some((self.plan.nodes[*at].id.clone(), attempt)),
            _ => None,
        };
        self.running.iter().filter_map(attempt).collect()
    }
    /// Deploys that have been asked for and have not ended, with their rollouts as far as these have begun.
    pub fn deploying(&self) -> Vec<(NodeId, Option<RolloutId>)> {
        let rollout = |at: &usize| match &self.nodes[*at].state {
            NodeState::Deploying { rollout, .. } => Some(rollout.clone()),
            _ => None,
        };
        self.deploying.iter().map(|at| (self.plan.nodes[*at].id.clone(), rollout(at))).collect()
    }
    /// What waits for somebody's approval, with its environment.
    pub fn unapproved(&self) -> Vec<(NodeId, &str)> {
        let waits = |state: &NodeState| matches!(state, NodeState::Held { approval: true, .. });
        // Who is held up has a timer: nobody else has to be looked at.
        let waiting = self.timers.iter().map(|(_, at)| *at).filter(|at| waits(&self.nodes[*at].state));
        waiting.filter_map(|at| Some((self.plan.nodes[at].id.clone(), self.plan.nodes[at].environment.as_ref()?.environment.as_str()))).collect()
    }
    /// What a node's last attempt left; `None` before it has ended once.
    pub fn kept(&self, id: &NodeId) -> Option<&Kept> {
        self.index.get(id).and_then(|at| self.nodes[*at].kept.as_deref())
    }
    /// What a node may know of its needs: those of them that have ended.
    pub fn needs(&self, id: &NodeId) -> Option<NeedsView<'_>> {
        self.index.get(id).map(|at| self.view(*at))
    }
}
