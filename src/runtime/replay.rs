//! What a step was asked and given, found again in the facts of its run.

use std::path::{Path, PathBuf};

use crate::core::plan::Work;
use crate::core::run::{NodeState, ReplayError, Run};
use crate::model::artifact::Artifact;
use crate::model::event::Event;
use crate::model::fact::RunFact;
use crate::model::id::{InvocationId, NodeId};
use crate::model::invocation::{ImageRecord, InvocationRecord, InvocationSpec};
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;

use super::{clock, invocation};

#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    #[error(transparent)]
    Damaged(#[from] ReplayError),
    #[error("no step of this run failed; name one: {0}")]
    NoneFailed(String),
    #[error("several steps failed; name one: {0}")]
    SeveralFailed(String),
    #[error("{given:?} is several: {known}; name one of them")]
    Several { given: String, known: String },
    #[error("the run has no step {given:?}; it has {known}")]
    Unknown { given: String, known: String },
    #[error("{0} is a deploy: only steps that run a script can be replayed")]
    Deploys(NodeId),
    #[error("{0} has not ended once: there is nothing to compare with")]
    NotEnded(NodeId),
}

/// The last attempt of a step that has ended.
#[derive(Debug)]
pub struct Past {
    run: Run,
    pub node: NodeId,
    pub attempt: u32,
    pub outcome: Outcome,
    pub record: Option<InvocationRecord>,
}

/// What a step that this one needs left for it.
#[derive(Debug)]
pub struct Given {
    pub by: NodeId,
    pub layer: PathBuf,
    pub artifacts: Vec<Artifact>,
}

/// The step that somebody means: the one they name, or the only one that failed.
pub fn choose(facts: &[(Timestamp, RunFact)], step: Option<&str>) -> Result<Past, ChoiceError> {
    let run = Run::replay(facts)?;
    let wrong =
        |state: &NodeState| matches!(state, NodeState::Ended(Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Infrastructure { .. }));
    let ended = |id: &NodeId| last_end(facts, id).is_some();
    let names = |ids: &[NodeId]| ids.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ");
    let all = || run.nodes().map(|(node, _)| node.id.clone()).collect::<Vec<_>>();
    let meant: Vec<NodeId> = match step {
        Some(given) => {
            let exactly = all().into_iter().filter(|id| id.as_str() == given).collect::<Vec<_>>();
            let so_called = || run.nodes().filter(|(node, _)| node.step == given).map(|(node, _)| node.id.clone()).collect();
            if exactly.is_empty() { so_called() } else { exactly }
        }
        None => run.nodes().filter(|(node, state)| wrong(state) && ended(&node.id)).map(|(node, _)| node.id.clone()).collect(),
    };
    let node = match (meant.as_slice(), step) {
        ([one], _) => one.clone(),
        ([], Some(given)) => return Err(ChoiceError::Unknown { given: given.to_owned(), known: names(&all()) }),
        ([], None) => return Err(ChoiceError::NoneFailed(names(&all()))),
        (several, Some(given)) => return Err(ChoiceError::Several { given: given.to_owned(), known: names(several) }),
        (several, None) => return Err(ChoiceError::SeveralFailed(names(several))),
    };
    if run.node(&node).is_some_and(|node| matches!(node.work, Work::Deploy(_))) {
        return Err(ChoiceError::Deploys(node));
    }
    let (attempt, outcome, record) = last_end(facts, &node).ok_or_else(|| ChoiceError::NotEnded(node.clone()))?;
    Ok(Past { run, node, attempt, outcome, record })
}

fn last_end(facts: &[(Timestamp, RunFact)], id: &NodeId) -> Option<(u32, Outcome, Option<InvocationRecord>)> {
    facts.iter().rev().find_map(|(_, fact)| match fact {
        RunFact::InvocationEnded { node, attempt, outcome, record, .. } if node == id => Some((*attempt, outcome.clone(), record.clone())),
        _ => None,
    })
}

impl Past {
    pub fn run(&self) -> &Run {
        &self.run
    }

    pub fn event(&self) -> &Event {
        &self.run.plan().event
    }

    /// In the order in which they lie above the commit.
    pub fn given(&self) -> Vec<Given> {
        let needs = self.run.needs(&self.node).map(|view| view.needs).unwrap_or_default();
        let given = |need: &crate::core::run::Need<'_>| {
            let kept = need.kept?;
            Some(Given { by: need.node.clone(), layer: PathBuf::from(kept.layer.as_ref()?), artifacts: kept.artifacts.clone() })
        };
        needs.iter().filter_map(given).collect()
    }

    /// What the executor was asked, but for the moment: its time begins now.
    pub fn spec(&self, snapshot: &Path) -> Result<InvocationSpec, String> {
        let timeout = self.run.node(&self.node).map(|node| node.timeout).unwrap_or_default();
        let id = InvocationId::of(self.run.id(), &self.node, self.attempt);
        let mut spec = invocation::spec(&self.run, &self.node, self.attempt, id, clock::now().after(timeout), snapshot)?;
        // The images that they were, whatever their names stand for now.
        if let Some(record) = &self.record {
            spec.image = spec.image.map(|named| record.image.as_ref().map_or(named, ImageRecord::pinned));
            for service in &mut spec.services {
                if let Some(known) = record.services.iter().find(|known| known.name == service.name) {
                    service.image = known.image.pinned();
                }
            }
        }
        // Said as it was, not as what is left of it.
        Ok(InvocationSpec { timeout, ..spec })
    }
}
