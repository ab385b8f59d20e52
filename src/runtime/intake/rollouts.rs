//! What people say about rollouts: in a comment, by an id, or by the buttons of checks.

use super::words::{Words, obeyed, refused};
use crate::adapters::journal::Journal as _;
use crate::adapters::mailbox::Letter;
use crate::model::delivery::Handled;
use crate::model::fact::{Entry, Fact, RolloutFact, RunFact, Stream};
use crate::model::id::{NodeId, RolloutId, RunId};
use crate::model::trigger::Repository;
use crate::runtime::asking::AskError;
use crate::runtime::tell;

impl Words {
    /// A rollout of this repository that is under way: the one that is named, or the only one.
    pub(super) async fn decide(&self, repository: &Repository, named: Option<&str>, letter: Letter) -> Result<Handled, AskError> {
        let mut found = Vec::new();
        for rollout in self.under_way().await? {
            if named.is_some_and(|named| named != rollout.as_str()) {
                continue;
            }
            let entries = self.journal.read(&Stream::Rollout(rollout.clone())).await?;
            let Some(Fact::Rollout(RolloutFact::Started { run: Some(run), .. })) = entries.first().map(|entry| &entry.fact) else { continue };
            if self.repository_of(run).await?.as_deref() == Some(&*repository.name) {
                found.push(rollout);
            }
        }
        match found.as_slice() {
            [one] => self.say(one, letter).await,
            [] => Err(refused("no such rollout is under way")),
            many => Err(several(many)),
        }
    }

    /// That of the step whose button it is; by the button of the whole run, the only one that is under way.
    pub(super) async fn decide_of(&self, run: &RunId, node: Option<&NodeId>, letter: Letter) -> Result<Handled, AskError> {
        let attached = attached(&self.journal.read(&Stream::Run(run.clone())).await?, node);
        let under_way = self.under_way().await?;
        let open: Vec<RolloutId> = attached.iter().filter(|rollout| under_way.contains(rollout)).cloned().collect();
        match (open.as_slice(), attached.last()) {
            ([one], _) => self.say(one, letter).await,
            // It answers how it has ended.
            ([], Some(last)) => self.say(last, letter).await,
            ([], None) => Err(refused(match node {
                Some(node) => format!("{node} of run {run} has no rollout"),
                None => format!("run {run} has no rollout"),
            })),
            (many, _) => Err(several(many)),
        }
    }

    async fn under_way(&self) -> Result<Vec<RolloutId>, AskError> {
        let unfinished = self.journal.unfinished().await?.into_iter();
        Ok(unfinished.filter_map(|one| if let Stream::Rollout(rollout) = one.stream { Some(rollout) } else { None }).collect())
    }

    async fn say(&self, rollout: &RolloutId, letter: Letter) -> Result<Handled, AskError> {
        let word = if letter == Letter::Promote { "promoted" } else { "rolled back" };
        match tell::decide(&self.state, &self.journal, &self.letters, rollout, letter).await {
            Ok(()) => obeyed(format!("{rollout} is {word}")),
            Err(error) => Err(refused(error.to_string())),
        }
    }
}

/// The rollouts of one step of a run, or of all, the newest last.
fn attached(entries: &[Entry], meant: Option<&NodeId>) -> Vec<RolloutId> {
    let attached = entries.iter().filter_map(|entry| match &entry.fact {
        Fact::Run(RunFact::RolloutAttached { node, rollout }) if meant.is_none_or(|meant| meant == node) => Some(rollout.clone()),
        _ => None,
    });
    attached.collect()
}

fn several(many: &[RolloutId]) -> AskError {
    let many: Vec<&str> = many.iter().map(RolloutId::as_str).collect();
    refused(format!("several rollouts are under way, name one: {}", many.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    #[test]
    fn a_step_has_its_own_rollouts_and_a_run_those_of_all_its_steps() {
        let run = RunId::new("r1");
        let entry = |(number, node): (u64, &str)| {
            let fact = RunFact::RolloutAttached { node: NodeId::new(node), rollout: RolloutId::new(format!("of-{node}-{number}")) };
            Entry { stream: Stream::Run(run.clone()), number, at: Timestamp::EPOCH, fact: Fact::Run(fact) }
        };
        let entries: Vec<Entry> = [(1, "shop"), (2, "shop"), (3, "door")].into_iter().map(entry).collect();
        let of = |node: Option<&str>| {
            let found = attached(&entries, node.map(NodeId::new).as_ref());
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of(Some("shop")), ["of-shop-1", "of-shop-2"]);
        assert_eq!(of(Some("door")), ["of-door-3"]);
        assert_eq!(of(Some("build")), [""; 0]);
        assert_eq!(of(None), ["of-shop-1", "of-shop-2", "of-door-3"]);
    }
}
