//! What people say about what there is already: in comments, and by the buttons of checks. Each needs a permission, which the policy of the default branch names.

use super::environments::Answer;
use super::known::Known;
use crate::adapters::journal::AnyJournal;
use crate::adapters::mailbox::{Letter, Mailbox};
use crate::adapters::state::StateFolder;
use crate::core::trust;
use crate::model::check::External;
use crate::model::delivery::Handled;
use crate::model::event::{Actor, Context, Event};
use crate::model::id::{CommitId, RunId};
use crate::model::policy::{Deed, Policy, Verdict};
use crate::model::trigger::{About, Command, Repository};
use crate::model::trust::{Approval, Permission};
use crate::runtime::asking::{AskError, Asking, Authority, Repeat, Seed};
use crate::runtime::dispatcher::{ControlError, Meant, Which};

/// What words are obeyed with.
#[derive(Debug, Clone)]
pub struct Words {
    pub journal: AnyJournal,
    pub state: StateFolder,
    pub letters: Mailbox,
}

pub(super) fn obeyed(what: impl Into<String>) -> Result<Handled, AskError> {
    Ok(Handled::Obeyed { what: what.into() })
}

pub(super) fn refused(because: impl Into<String>) -> AskError {
    AskError::Refused(because.into())
}

impl Words {
    pub async fn command(
        &self,
        asking: &Asking,
        repository: &Repository,
        actor: &Actor,
        about: &About,
        command: Command,
        seed: &Seed,
    ) -> Result<Handled, AskError> {
        let Some(deed) = trust::deed(&command) else {
            let Command::Unknown { said } = command else { return obeyed("nothing") };
            return Ok(Handled::Ignored { because: format!("{said:?} is no command: run, approve, reject, cancel, promote, rollback") });
        };
        // Who approves for an environment is what the environment says.
        if let Command::Approve { commit, environment: Some(environment) } = &command {
            return self.answer(asking, repository, actor, about, (commit.as_deref(), environment), Answer::yes(seed.at)).await;
        }
        if let Command::Reject { commit, environment: Some(environment) } = &command {
            return self.answer(asking, repository, actor, about, (commit.as_deref(), environment), Answer::no(seed.at)).await;
        }
        let (policy, permission) = self.allowed(asking, repository, actor, deed).await?;
        let number = match about {
            About::Pull(number) => Ok(*number),
            About::Issue(_) | About::Commit(_) => Err(refused("this is understood in pull requests")),
        };
        match command {
            Command::Run { pipeline, params } => self.run(asking, repository, actor, number?, (pipeline.as_deref(), params), seed).await,
            Command::Approve { commit, environment: _ } => {
                self.approve(asking, repository, (actor, permission), &policy, number?, commit.as_deref()).await
            }
            Command::Reject { commit, environment: _ } => self.turn_down(asking, repository, actor, number?, commit.as_deref()).await,
            Command::Cancel => {
                let which = Which::Pull { repository: repository.name.clone(), number: number?, but: None };
                let runs = asking.dispatcher.cancel_all(Meant::Which(which), format!("@{}", actor.login)).await;
                obeyed(format!("cancelled {}", listed(&runs)))
            }
            Command::Promote { rollout } => self.decide(repository, rollout.as_deref(), Letter::Promote).await,
            Command::Rollback { rollout } => self.decide(repository, rollout.as_deref(), Letter::Abort).await,
            Command::Unknown { said } => Ok(Handled::Ignored { because: format!("{said:?} is no command") }),
        }
    }

    /// All that was asked for about a commit once more, or one run.
    pub async fn rerun(
        &self,
        asking: &Asking,
        repository: &Repository,
        actor: &Actor,
        (external, commit): (Option<&str>, &CommitId),
        what: &Repeat,
        seed: &Seed,
    ) -> Result<Handled, AskError> {
        self.allowed(asking, repository, actor, Deed::Run).await?;
        let meant: Vec<RunId> = match external {
            Some(external) => vec![self.of_repository(&run_of(external), repository).await?],
            None => self.newest_of(repository, commit).await?,
        };
        let mut runs = Vec::new();
        for run in meant {
            runs.push(asking.again(&run, what, seed, actor).await?);
        }
        Ok(Handled::Asked { runs })
    }

    pub async fn pressed(
        &self,
        asking: &Asking,
        repository: &Repository,
        actor: &Actor,
        external: &str,
        identifier: &str,
        seed: &Seed,
    ) -> Result<Handled, AskError> {
        let External { run, node } = External::parse(external);
        let run = self.of_repository(&run, repository).await?;
        let nobody = CommitId::new("");
        match identifier {
            "rerun" => self.rerun(asking, repository, actor, (Some(external), &nobody), &Repeat::All, seed).await,
            "rerun-failed" => self.rerun(asking, repository, actor, (Some(external), &nobody), &Repeat::Failed, seed).await,
            "cancel" => {
                self.allowed(asking, repository, actor, Deed::Cancel).await?;
                asking.dispatcher.cancel(run.clone(), format!("@{}", actor.login)).await.map_err(|error| refused(error.to_string()))?;
                obeyed(format!("cancelled {run}"))
            }
            "approve" | "reject" => {
                let answer = if identifier == "approve" { Answer::yes(seed.at) } else { Answer::no(seed.at) };
                match &node {
                    Some(node) => self.answer_one(asking, repository, actor, &run, node, answer).await,
                    None => self.answer_whole(asking, repository, actor, run, answer).await,
                }
            }
            "promote" => {
                self.allowed(asking, repository, actor, Deed::Promote).await?;
                self.decide_of(&run, node.as_ref(), Letter::Promote).await
            }
            "rollback" => {
                self.allowed(asking, repository, actor, Deed::Rollback).await?;
                self.decide_of(&run, node.as_ref(), Letter::Abort).await
            }
            other => Ok(Handled::Ignored { because: format!("there is no button {other:?}") }),
        }
    }

    /// About a run that has not begun, by the button of its check.
    async fn answer_whole(&self, asking: &Asking, repository: &Repository, actor: &Actor, run: RunId, answer: Answer) -> Result<Handled, AskError> {
        self.allowed(asking, repository, actor, Deed::Approve).await?;
        let word = Approval { by: actor.login.clone(), commit: self.commit_of(&run).await? };
        let done = match answer.verdict {
            Verdict::Approve => asking.dispatcher.approve(run.clone(), word).await,
            Verdict::Reject { .. } => asking.dispatcher.turn_down(run.clone(), word).await,
        };
        done.map_err(|error| refused(error.to_string()))?;
        obeyed(format!("{} {run}", answer.done()))
    }

    async fn allowed(&self, asking: &Asking, repository: &Repository, actor: &Actor, deed: Deed) -> Result<(Policy, Permission), AskError> {
        let policy = asking.policy(repository).await?;
        let permission = asking.permission(repository, &actor.login).await?;
        trust::may(&policy, deed, actor, permission).map_err(AskError::Refused)?;
        Ok((policy, permission))
    }

    /// The pipelines of a pull request, as if it had just been pushed to. Nothing is approved by it: what waits for approval still waits.
    async fn run(
        &self,
        asking: &Asking,
        repository: &Repository,
        actor: &Actor,
        number: u64,
        (pipeline, params): (Option<&str>, std::collections::BTreeMap<String, String>),
        seed: &Seed,
    ) -> Result<Handled, AskError> {
        let Some(asked) = self.requests(repository).await?.into_iter().find(|asked| asked.pull() == Some(number)) else {
            return Err(refused("nothing has been asked for in this pull request yet: push to it"));
        };
        let head = head(asking, repository, number).await?;
        if head != asked.event.commit {
            return Err(refused(format!("the head of this pull request is {}, which has not been heard of yet", head.short())));
        }
        let context = Context { action: None, actor: Some(actor.clone()), again: None, ..asked.event.context.clone() };
        let event = Event { params, context, ..asked.event };
        let asked = asking.event(repository, event, seed, pipeline, Authority::Forge, &[]).await?;
        match asked.refused {
            Some(because) => Ok(Handled::Refused { because }),
            None => Ok(Handled::Asked { runs: asked.runs }),
        }
    }

    async fn approve(
        &self,
        asking: &Asking,
        repository: &Repository,
        by: (&Actor, Permission),
        policy: &Policy,
        number: u64,
        said: Option<&str>,
    ) -> Result<Handled, AskError> {
        let requests: Vec<Known> = self.requests(repository).await?.into_iter().filter(|asked| asked.pull() == Some(number)).collect();
        let commits: Vec<CommitId> = requests.iter().map(|asked| asked.event.commit.clone()).collect();
        let head = head(asking, repository, number).await?;
        let approval = trust::approve(policy, by, said, &head, &commits).map_err(AskError::Refused)?;
        let mut approved = Vec::new();
        for asked in requests.into_iter().filter(|asked| asked.waits && asked.event.commit == approval.commit) {
            if asking.dispatcher.approve(asked.run.clone(), approval.clone()).await.is_ok() {
                approved.push(asked.run);
            }
        }
        if approved.is_empty() {
            return Err(refused(format!("nothing waits for approval of {}", approval.commit.short())));
        }
        obeyed(format!("approved {}", listed(&approved)))
    }

    /// What waits for approval of the commit that somebody has looked at, which need not be the head any more.
    async fn turn_down(&self, asking: &Asking, repository: &Repository, actor: &Actor, number: u64, said: Option<&str>) -> Result<Handled, AskError> {
        let requests: Vec<Known> = self.requests(repository).await?.into_iter().filter(|asked| asked.pull() == Some(number)).collect();
        let commits: Vec<CommitId> = requests.iter().map(|asked| asked.event.commit.clone()).collect();
        let said = said.ok_or_else(|| refused("say which commit: /tidegate reject COMMIT"))?;
        let no = Approval { by: actor.login.clone(), commit: trust::named(said, &commits).cloned().map_err(AskError::Refused)? };
        let mut turned_down = Vec::new();
        for asked in requests.into_iter().filter(|asked| asked.waits && asked.event.commit == no.commit) {
            match asking.dispatcher.turn_down(asked.run.clone(), no.clone()).await {
                Ok(()) => turned_down.push(asked.run),
                Err(ControlError::Journal(error)) => return Err(error.into()),
                // It does not wait any more.
                Err(_) => {}
            }
        }
        if turned_down.is_empty() {
            return Err(refused(format!("nothing waits for approval of {}", no.commit.short())));
        }
        obeyed(format!("rejected {}", listed(&turned_down)))
    }
}

/// Where a pull request is now, by the forge: what one has looked at may be older.
async fn head(asking: &Asking, repository: &Repository, number: u64) -> Result<CommitId, AskError> {
    let Some(github) = &asking.github else { return Err(refused("the server has no login at the forge, and can not ask where the pull request is")) };
    let now = github.pull(&Asking::place(repository), number).await?;
    if now.open { Ok(now.commit) } else { Err(refused("the pull request is closed")) }
}

/// The run behind the id that a check was given: `RUN`, or `RUN/NODE` of a step.
fn run_of(external: &str) -> RunId {
    RunId::new(external.split('/').next().unwrap_or_default())
}

fn listed(runs: &[RunId]) -> String {
    let names: Vec<&str> = runs.iter().map(RunId::as_str).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
