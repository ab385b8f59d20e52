//! What people say about what waits for an environment: in a comment, or by the button of a step's check. Who may, the environment says, as it was when the run was
//! asked for.

use super::known::Known;
use super::words::{Words, obeyed, refused};
use crate::adapters::forge::ForgeError;
use crate::adapters::journal::Journal as _;
use crate::core::run::{NodeState, Run};
use crate::core::trust;
use crate::model::delivery::Handled;
use crate::model::event::Actor;
use crate::model::fact::{RunFact, Stream};
use crate::model::id::{CommitId, NodeId, RunId};
use crate::model::policy::{Gate, Verdict, Voice, Word};
use crate::model::time::Timestamp;
use crate::model::trigger::{About, Repository};
use crate::runtime::asking::{AskError, Asking};
use crate::runtime::recover::run_facts;
use crate::runtime::tell::{self, TellError};

/// Runs of one commit that are looked through.
const RUNS: usize = 100;

/// A step with an environment, of a run that has begun.
struct Door {
    run: RunId,
    node: NodeId,
    gate: Gate,
    started: Vec<Actor>,
    /// When its run began.
    begun: Timestamp,
    waits: bool,
    /// It does not wait yet, and may.
    comes: bool,
    approved: Option<(Timestamp, Voice)>,
}

impl Words {
    /// What waits for an environment, of the commit that a comment is about. A comment can be handled long after it was said, and again: what has begun since `said_at`
    /// is nothing that its writer has looked at.
    pub(super) async fn let_in(
        &self,
        asking: &Asking,
        repository: &Repository,
        actor: &Actor,
        about: &About,
        (said, environment): (Option<&str>, &str),
        said_at: Timestamp,
    ) -> Result<Handled, AskError> {
        let voice = heard(asking, repository, actor).await?;
        let mut requests = self.requests_and_runs(repository).await?;
        requests.retain(|asked| is_about(asked, about));
        let commit = meant(&commits(asking, repository, &requests, about).await?, about, said, environment)?;
        let begun = requests.into_iter().filter(|asked| asked.event.commit == commit && !asked.waits).take(RUNS);
        let mut doors = Vec::new();
        for asked in begun {
            let of_run = self.doors(&asked.run).await?;
            doors.extend(of_run.into_iter().filter(|door| door.gate.environment == environment && door.begun <= said_at));
        }
        self.open(doors, (&voice, said_at), &format!("nothing of {} waits for {environment}", commit.short())).await
    }

    /// One step of one run.
    pub(super) async fn let_in_one(
        &self,
        asking: &Asking,
        repository: &Repository,
        actor: &Actor,
        run: &RunId,
        node: &NodeId,
        said_at: Timestamp,
    ) -> Result<Handled, AskError> {
        let voice = heard(asking, repository, actor).await?;
        let mut doors = self.doors(run).await?;
        doors.retain(|door| door.node == *node);
        self.open(doors, (&voice, said_at), &format!("{node} of run {run} does not wait for approval")).await
    }

    async fn doors(&self, run: &RunId) -> Result<Vec<Door>, AskError> {
        let facts = run_facts(&self.journal.read(&Stream::Run(run.clone())).await?);
        // It has not begun.
        let Ok(known) = Run::replay(&facts) else { return Ok(Vec::new()) };
        let waiting: Vec<NodeId> = known.unapproved().into_iter().map(|(node, _)| node).collect();
        let Some(begun) = facts.first().map(|(at, _)| *at) else { return Ok(Vec::new()) };
        let approved = |node: &NodeId| {
            facts.iter().rev().find_map(|(at, fact)| match fact {
                RunFact::NodeApproved { node: about, by } if about == node => Some((*at, by.clone())),
                _ => None,
            })
        };
        let started: Vec<Actor> = known.plan().event.context.starters().cloned().collect();
        let doors = known.plan().nodes.iter().filter_map(|node| {
            let (run, gate) = (run.clone(), node.environment.clone()?);
            let needs_approval = gate.protection.as_ref().is_some_and(|protection| protection.approvers.is_some());
            let comes = needs_approval && known.outcome().is_none() && matches!(known.state(&node.id), Some(NodeState::Waiting));
            let (waits, approved) = (waiting.contains(&node.id), approved(&node.id));
            Some(Door { run, node: node.id.clone(), gate, started: started.clone(), begun, waits, comes, approved })
        });
        Ok(doors.collect())
    }

    /// What was said already counts once, however often its delivery is handled. What the same person has approved before they said it is not what they have said now.
    async fn open(&self, doors: Vec<Door>, (voice, said_at): (&Voice, Timestamp), nothing: &str) -> Result<Handled, AskError> {
        let (waiting, before): (Vec<Door>, Vec<Door>) = doors.into_iter().partition(|door| door.waits);
        let (mut let_in, mut kept_out) = (Vec::new(), Vec::new());
        for door in waiting {
            match self.open_one(&door, voice).await? {
                Ok(()) => let_in.push(format!("{} of run {}", door.node, door.run)),
                Err(why) => kept_out.push(why),
            }
        }
        if let_in.is_empty() {
            let own = before.iter().filter(|door| door.is_approved_by(voice) && door.approved.as_ref().is_some_and(|(at, _)| *at >= said_at));
            let_in.extend(own.map(|door| format!("{} of run {}", door.node, door.run)));
        }
        kept_out.dedup();
        match (let_in.as_slice(), before.iter().find_map(|door| door.approved.as_ref())) {
            ([], _) if kept_out.is_empty() && before.iter().any(|door| door.comes) => {
                Err(refused(format!("{nothing} yet: say it again when it does")))
            }
            ([], Some((_, other))) if kept_out.is_empty() => Err(refused(format!("{other} has approved it already"))),
            ([], None) if kept_out.is_empty() => Err(refused(nothing)),
            ([], _) => Err(refused(kept_out.join("; "))),
            (all, _) if kept_out.is_empty() => obeyed(format!("{voice} has approved {}", all.join(", "))),
            (all, _) => obeyed(format!("{voice} has approved {}; not so: {}", all.join(", "), kept_out.join("; "))),
        }
    }

    /// Decided here for the answer, and by the run itself for good. The inner error is the answer.
    async fn open_one(&self, door: &Door, voice: &Voice) -> Result<Result<(), String>, AskError> {
        if let Err(why) = trust::accepts(&door.gate, &door.started, voice) {
            return Ok(Err(why));
        }
        let (environment, node) = (Some(door.gate.environment.clone()), Some(door.node.clone()));
        let word = Word { environment, node, by: voice.clone(), verdict: Verdict::Approve, ahead: false };
        match tell::say(&self.state, &self.journal, &door.run, &word).await {
            Ok(()) => {}
            Err(error @ (TellError::Ended { .. } | TellError::Nobody(_))) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error.into()),
        }
        let now = self.doors(&door.run).await?.into_iter().find(|now| now.node == door.node);
        match now {
            Some(now) if now.is_approved_by(voice) => Ok(Ok(())),
            Some(Door { approved: Some((_, other)), .. }) => Ok(Err(format!("{other} has approved it already"))),
            _ => Ok(Err(format!("{} of run {} does not wait any more", door.node, door.run))),
        }
    }
}

impl Door {
    fn is_approved_by(&self, voice: &Voice) -> bool {
        self.approved.as_ref().is_some_and(|(_, by)| by.to_string() == voice.to_string())
    }
}

async fn heard(asking: &Asking, repository: &Repository, actor: &Actor) -> Result<Voice, AskError> {
    let policy = asking.policy(repository).await?;
    let permission = asking.permission(repository, &actor.login).await?;
    trust::voice(&policy, actor, permission).map_err(AskError::Refused)
}

fn is_about(asked: &Known, about: &About) -> bool {
    match about {
        About::Pull(number) => asked.pull() == Some(*number),
        About::Commit(commit) => asked.event.commit == *commit,
        About::Issue(_) => false,
    }
}

/// Those that something was asked for, and where the pull request is now: whoever looks at it sees that one, heard of here or not.
async fn commits(asking: &Asking, repository: &Repository, requests: &[Known], about: &About) -> Result<Vec<CommitId>, AskError> {
    let mut commits: Vec<CommitId> = requests.iter().map(|asked| asked.event.commit.clone()).collect();
    if let (About::Pull(number), Some(github)) = (about, &asking.github) {
        match github.pull(&Asking::place(repository), *number).await {
            Ok(now) => commits.push(now.commit),
            Err(ForgeError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(commits)
}

/// The commit that somebody has looked at: a pull request can have another one by the time that a comment is heard of, a comment at a commit can not.
fn meant(commits: &[CommitId], about: &About, said: Option<&str>, environment: &str) -> Result<CommitId, AskError> {
    match (about, said) {
        (About::Commit(commit), None) => Ok(commit.clone()),
        (About::Commit(commit), Some(said)) => trust::named(said, std::slice::from_ref(commit)).cloned().map_err(AskError::Refused),
        (About::Pull(_), Some(said)) => trust::named(said, commits).cloned().map_err(AskError::Refused),
        (About::Pull(_), None) => Err(refused(format!("say which commit: /tidegate approve COMMIT --environment {environment}"))),
        (About::Issue(_), _) => Err(refused("an issue has no commit: write it at the commit, or in its pull request")),
    }
}
