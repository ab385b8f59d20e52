//! What the API's people and programs want done, by whoever drives runs.

use tokio::sync::mpsc;

use super::super::session::Session;
use crate::adapters::journal::AnyJournal;
use crate::adapters::mailbox::{Letter, Mailbox};
use crate::adapters::state::StateFolder;
use crate::model::event::{Actor, Context};
use crate::model::id::{CommitId, RolloutId, RunId};
use crate::model::trigger::Repository;
use crate::model::trust::Approval;
use crate::runtime::asking::{AskError, Authority, Repeat, Seed, SharedAsking};
use crate::runtime::dispatcher::ControlError;
use crate::runtime::tell::{self, TellError};
use crate::runtime::{clock, schedule};
use crate::server::api::control::{Again, Asked, Command, Done, Refused};

/// Commands that are obeyed at once.
const AT_ONCE: usize = 16;

#[derive(Debug, Clone)]
struct Means {
    asking: SharedAsking,
    journal: AnyJournal,
    state: StateFolder,
    letters: Mailbox,
}

#[derive(Debug)]
pub struct Obeying {
    asked: mpsc::Receiver<Asked>,
    means: Means,
}

impl Obeying {
    pub fn new(asked: mpsc::Receiver<Asked>, asking: SharedAsking, session: &Session, letters: Mailbox) -> Self {
        let means = Means { asking, journal: session.journal.clone(), state: session.state.clone(), letters };
        Self { asked, means }
    }

    /// Until nobody is left who could ask.
    pub async fn run(mut self) {
        let room = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        while let Some(Asked { command, answer }) = self.asked.recv().await {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            let means = self.means.clone();
            tokio::spawn(async move {
                let _ = answer.send(means.obey(command).await);
                drop(permit);
            });
        }
    }
}

impl Means {
    async fn obey(&self, command: Command) -> Result<Done, Refused> {
        match command {
            Command::Start { repository, pipeline, reference, params, by } => self.start(&repository, &pipeline, &reference, params, by).await,
            Command::Drop { run, by } => {
                self.asking.dispatcher.cancel(run.clone(), by).await.map_err(control)?;
                Ok(Done::Told(format!("run {run} is cancelled")))
            }
            Command::Rerun { run, what, by } => {
                let what = match what {
                    Again::All => Repeat::All,
                    Again::Failed => Repeat::Failed,
                    Again::Step(step) => Repeat::Step(step),
                };
                let run = self.asking.again(&run, &what, &seed(&by), &person(&by)).await.map_err(ask)?;
                Ok(Done::Asked(vec![run]))
            }
            Command::Approve { run, commit, by } => self.approve(run, commit, by).await,
            Command::Reject { run, commit, by } => {
                self.asking.dispatcher.turn_down(run.clone(), Approval { by, commit }).await.map_err(control)?;
                Ok(Done::Told(format!("run {run} is rejected")))
            }
            Command::Promote { rollout, by: _ } => self.decide(&rollout, Letter::Promote).await,
            Command::RollBack { rollout, by: _ } => self.decide(&rollout, Letter::Abort).await,
        }
    }

    async fn start(
        &self,
        repository: &str,
        pipeline: &str,
        reference: &str,
        params: std::collections::BTreeMap<String, String>,
        by: String,
    ) -> Result<Done, Refused> {
        let unknown = || Refused::Unknown(format!("{repository:?} has not been heard of here: a push or a ping of its webhook makes it known"));
        let known = self.asking.mirrors.known(repository).ok_or_else(unknown)?;
        let (reference, commit) = named(reference, &known.default_branch)?;
        let context = Context {
            actor: Some(person(&by)),
            default_branch: Some(known.default_branch.clone()),
            installation: known.installation,
            ..Context::default()
        };
        let event = schedule::manual(known.clone(), reference, commit, params, context);
        let repository = Repository::from(known);
        let asked = self.asking.event(&repository, event, &seed(&by), Some(pipeline), Authority::Server, &[]).await.map_err(ask)?;
        match asked.refused {
            Some(because) => Err(Refused::Forbidden(because)),
            None => Ok(Done::Asked(asked.runs)),
        }
    }

    async fn approve(&self, run: RunId, commit: CommitId, by: String) -> Result<Done, Refused> {
        self.asking.dispatcher.approve(run.clone(), Approval { by, commit }).await.map_err(control)?;
        Ok(Done::Told(format!("run {run} is approved")))
    }

    /// By letter: whoever drives it, here or in another process.
    async fn decide(&self, rollout: &RolloutId, letter: Letter) -> Result<Done, Refused> {
        let done = tell::decide(&self.state, &self.journal, &self.letters, rollout, letter).await;
        done.map_err(|error| match error {
            TellError::Ended { .. } | TellError::Nobody(_) => Refused::Conflict(error.to_string()),
            error => Refused::Unavailable(error.to_string()),
        })?;
        Ok(Done::Told(format!("rollout {rollout} has been told")))
    }
}

/// Somebody as the API knows them: by a name, without a number.
fn person(by: &str) -> Actor {
    Actor { login: by.to_owned(), id: 0, bot: false }
}

/// Asked for now, by somebody.
fn seed(by: &str) -> Seed {
    Seed { at: clock::now(), name: format!("by {by} {:016x}", fastrand::u64(..)) }
}

/// A branch, a tag, a whole reference or a commit; the default branch where nothing is said.
fn named(given: &str, default: &str) -> Result<(String, CommitId), Refused> {
    let nobody = CommitId::new("");
    if given.is_empty() {
        return Ok((format!("refs/heads/{default}"), nobody));
    }
    if given.len() == 40 && given.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        // A forge shows the commits of all forks in a repository: a commit is only taken as what the default branch holds.
        return Err(Refused::Invalid("name a branch or a tag: a commit alone does not say whose it is".to_owned()));
    }
    Ok((if given.starts_with("refs/") { given.to_owned() } else { format!("refs/heads/{given}") }, nobody))
}

fn ask(error: AskError) -> Refused {
    match error {
        AskError::Refused(why) => Refused::Conflict(why),
        AskError::Unknown(why) => Refused::Unknown(why),
        error if error.is_passing() => Refused::Unavailable(error.to_string()),
        error => Refused::Invalid(error.to_string()),
    }
}

fn control(error: ControlError) -> Refused {
    match error {
        ControlError::NotHere(_) => Refused::Unknown(error.to_string()),
        ControlError::NotWaiting(_) | ControlError::OtherCommit { .. } | ControlError::NeedsNone(_) => Refused::Conflict(error.to_string()),
        ControlError::Stopped | ControlError::Journal(_) => Refused::Unavailable(error.to_string()),
    }
}
