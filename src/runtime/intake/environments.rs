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
    answered: Option<Answered>,
}

/// Whose word about a step was heard.
struct Answered {
    at: Timestamp,
    by: Voice,
    yes: bool,
}

/// What somebody says, and when they said it.
pub(super) struct Answer {
    pub verdict: Verdict,
    pub said_at: Timestamp,
}

impl Answer {
    pub fn yes(said_at: Timestamp) -> Self {
        Self { verdict: Verdict::Approve, said_at }
    }

    pub fn no(said_at: Timestamp) -> Self {
        Self { verdict: Verdict::Reject { reason: String::new() }, said_at }
    }

    pub fn done(&self) -> &'static str {
        done(self.is_yes())
    }

    fn is_yes(&self) -> bool {
        self.verdict == Verdict::Approve
    }

    fn verb(&self) -> &'static str {
        if self.is_yes() { "approve" } else { "reject" }
    }
}

fn done(yes: bool) -> &'static str {
    if yes { "approved" } else { "rejected" }
}

impl Words {
    /// What waits for an environment, of the commit that a comment is about. A comment can be handled long after it was said, and again: what has begun since it was
    /// is nothing that its writer has looked at.
    pub(super) async fn answer(
        &self,
        asking: &Asking,
        repository: &Repository,
        actor: &Actor,
        about: &About,
        (said, environment): (Option<&str>, &str),
        answer: Answer,
    ) -> Result<Handled, AskError> {
        let voice = heard(asking, repository, actor).await?;
        let mut requests = self.requests_and_runs(repository).await?;
        requests.retain(|asked| is_about(asked, about));
        let commit = meant(
            &commits(asking, repository, &requests, about).await?,
            about,
            said,
            &format!("{} COMMIT --environment {environment}", answer.verb()),
        )?;
        let begun = requests.into_iter().filter(|asked| asked.event.commit == commit && !asked.waits).take(RUNS);
        let mut doors = Vec::new();
        for asked in begun {
            let of_run = self.doors(&asked.run).await?;
            doors.extend(of_run.into_iter().filter(|door| door.gate.environment == environment && door.begun <= answer.said_at));
        }
        self.open(doors, &voice, &answer, &format!("nothing of {} waits for {environment}", commit.short())).await
    }

    /// One step of one run.
    pub(super) async fn answer_one(
        &self,
        asking: &Asking,
        repository: &Repository,
        actor: &Actor,
        run: &RunId,
        node: &NodeId,
        answer: Answer,
    ) -> Result<Handled, AskError> {
        let voice = heard(asking, repository, actor).await?;
        let mut doors = self.doors(run).await?;
        doors.retain(|door| door.node == *node);
        self.open(doors, &voice, &answer, &format!("{node} of run {run} does not wait for approval")).await
    }

    async fn doors(&self, run: &RunId) -> Result<Vec<Door>, AskError> {
        let facts = run_facts(&self.journal.read(&Stream::Run(run.clone())).await?);
        // It has not begun.
        let Ok(known) = Run::replay(&facts) else { return Ok(Vec::new()) };
        let waiting: Vec<NodeId> = known.unapproved().into_iter().map(|(node, _)| node).collect();
        let Some(begun) = facts.first().map(|(at, _)| *at) else { return Ok(Vec::new()) };
        let answered = |node: &NodeId| {
            facts.iter().rev().find_map(|(at, fact)| match fact {
                RunFact::NodeApproved { node: about, by } if about == node => Some(Answered { at: *at, by: by.clone(), yes: true }),
                RunFact::NodeRejected { node: about, by, .. } if about == node => Some(Answered { at: *at, by: by.clone(), yes: false }),
                _ => None,
            })
        };
        let started: Vec<Actor> = known.plan().event.context.starters().cloned().collect();
        let doors = known.plan().nodes.iter().filter_map(|node| {
            let (run, gate) = (run.clone(), node.environment.clone()?);
            let needs_approval = gate.protection.as_ref().is_some_and(|protection| protection.approvers.is_some());
            let comes = needs_approval && known.outcome().is_none() && matches!(known.state(&node.id), Some(NodeState::Waiting));
            let (waits, answered) = (waiting.contains(&node.id), answered(&node.id));
            Some(Door { run, node: node.id.clone(), gate, started: started.clone(), begun, waits, comes, answered })
        });
        Ok(doors.collect())
    }

    /// What was said already counts once, however often its delivery is handled. What the same person has answered before they said it is not what they have said now.
    async fn open(&self, doors: Vec<Door>, voice: &Voice, answer: &Answer, nothing: &str) -> Result<Handled, AskError> {
        let (waiting, before): (Vec<Door>, Vec<Door>) = doors.into_iter().partition(|door| door.waits);
        let (mut heard, mut refusals) = (Vec::new(), Vec::new());
        for door in waiting {
            match self.open_one(&door, voice, answer).await? {
                Ok(()) => heard.push(format!("{} of run {}", door.node, door.run)),
                Err(why) => refusals.push(why),
            }
        }
        if heard.is_empty() {
            let own =
                before.iter().filter(|door| door.is_answered(voice, answer) && door.answered.as_ref().is_some_and(|it| it.at >= answer.said_at));
            heard.extend(own.map(|door| format!("{} of run {}", door.node, door.run)));
        }
        refusals.dedup();
        let done = answer.done();
        match (heard.as_slice(), before.iter().find_map(|door| door.answered.as_ref())) {
            ([], _) if refusals.is_empty() && before.iter().any(|door| door.comes) => {
                Err(refused(format!("{nothing} yet: say it again when it does")))
            }
            ([], Some(other)) if refusals.is_empty() => Err(refused(other.to_string())),
            ([], None) if refusals.is_empty() => Err(refused(nothing)),
            ([], _) => Err(refused(refusals.join("; "))),
            (all, _) if refusals.is_empty() => obeyed(format!("{voice} has {done} {}", all.join(", "))),
            (all, _) => obeyed(format!("{voice} has {done} {}; not so: {}", all.join(", "), refusals.join("; "))),
        }
    }

    /// Decided here for the answer, and by the run itself for good. The inner error is the answer.
    async fn open_one(&self, door: &Door, voice: &Voice, answer: &Answer) -> Result<Result<(), String>, AskError> {
        // Whoever has started it may not let it in, and may take it back.
        let started: &[Actor] = if answer.is_yes() { &door.started } else { &[] };
        if let Err(why) = trust::accepts(&door.gate, started, voice) {
            return Ok(Err(why));
        }
        let (environment, node) = (Some(door.gate.environment.clone()), Some(door.node.clone()));
        let word = Word { environment, node, by: voice.clone(), verdict: answer.verdict.clone(), ahead: false };
        match tell::say(&self.state, &self.journal, &door.run, &word).await {
            Ok(()) => {}
            Err(error @ (TellError::Ended { .. } | TellError::Nobody(_))) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error.into()),
        }
        let now = self.doors(&door.run).await?.into_iter().find(|now| now.node == door.node);
        match now {
            Some(now) if now.is_answered(voice, answer) => Ok(Ok(())),
            Some(Door { answered: Some(other), .. }) => Ok(Err(other.to_string())),
            _ => Ok(Err(format!("{} of run {} does not wait any more", door.node, door.run))),
        }
    }
}

impl Door {
    fn is_answered(&self, voice: &Voice, answer: &Answer) -> bool {
        self.answered.as_ref().is_some_and(|it| it.by.to_string() == voice.to_string() && it.yes == answer.is_yes())
    }
}

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} has {} it already", self.by, done(self.yes))
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
fn meant(commits: &[CommitId], about: &About, said: Option<&str>, how: &str) -> Result<CommitId, AskError> {
    match (about, said) {
        (About::Commit(commit), None) => Ok(commit.clone()),
        (About::Commit(commit), Some(said)) => trust::named(said, std::slice::from_ref(commit)).cloned().map_err(AskError::Refused),
        (About::Pull(_), Some(said)) => trust::named(said, commits).cloned().map_err(AskError::Refused),
        (About::Pull(_), None) => Err(refused(format!("say which commit: /tidegate {how}"))),
        (About::Issue(_), _) => Err(refused("an issue has no commit: write it at the commit, or in its pull request")),
    }
}
