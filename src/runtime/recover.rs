//! What a start does first: end what dead processes left unfinished, by replaying their facts through the same machines.
//!
//! A dead rollout is taken back to the stable release: nobody has watched it since, and going back needs nothing. Only where somebody stays, and it was
//! watched until a moment ago, it goes on. A dead run's invocations have not died with
//! it: what has ended meanwhile is recorded as it was, what still lives is followed to its end, and nothing is begun twice. What had not begun is begun only
//! where somebody stays to see it through (`Rest::Run`); otherwise the run ends as interrupted.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use crate::adapters::executor::{Executor as _, Standing};
use crate::adapters::journal::{Journal as _, JournalError, Unfinished};
use crate::adapters::state::{StateError, file_name};
use crate::core::rollout::{Input as RolloutInput, Rollout};
use crate::core::run::Run;
use crate::model::fact::{Entry, Fact, RolloutFact, RunFact, Stream};
use crate::model::id::{NodeId, RunId};
use crate::model::time::Timestamp;

use super::clock;
use super::drive_run::{self, DriveError, Rest, Stop, Surroundings};
use super::observer::Observer;

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the records of invocations can not be tidied up: {0}")]
    Records(#[from] std::io::Error),
}

/// How long a rollout may have been unwatched, and still goes on.
const UNWATCHED: Duration = Duration::from_secs(300);

/// Who looks after a run that is gone on with.
pub struct Follower {
    pub observer: Observer,
    pub stop: Stop,
    /// Called when nothing more will come of it.
    pub ended: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").finish_non_exhaustive()
    }
}

impl Follower {
    /// Quietly: the person has started something else. Nobody cancels it from here.
    pub fn nobody() -> Self {
        let (_nobody, stop) = watch::channel(None);
        Self { observer: Observer::default(), stop, ended: Box::new(|| ()) }
    }
}

/// Ends, or goes on with, all that dead processes left. What can not be ended is said and left as it is: it must not keep a person from working. Returns when
/// everything has ended that ends by itself; what takes longer is gone on with in the background.
pub async fn recover(around: &Surroundings, me: &str, rest: Rest, follower: &(dyn Fn(&Run) -> Follower + Sync)) -> Result<(), RecoverError> {
    let Surroundings { journal, state, observer, .. } = around;
    // Before the runs are looked at: whatever is recorded later belongs to one that begins later.
    let mut recorded = around.executor.recorded()?;
    let mut dead = Vec::new();
    for unfinished in journal.unfinished().await? {
        // A request waits; nobody has to be alive for that.
        if matches!(unfinished.stream, Stream::Request(_)) {
            continue;
        }
        if unfinished.owner == me || state.is_alive(&unfinished.owner)? {
            if let Stream::Run(run) = &unfinished.stream {
                recorded.retain(|recorded| *recorded != file_name(run.as_str()));
            }
        } else {
            dead.push(unfinished);
        }
    }
    // Rollouts first: a run that is gone on with wants to know how they ended.
    dead.sort_by_key(|unfinished| matches!(unfinished.stream, Stream::Run(_)));
    for unfinished in dead {
        let entries = journal.read(&unfinished.stream).await?;
        let ended = match &unfinished.stream {
            Stream::Run(id) => {
                recorded.retain(|recorded| *recorded != file_name(id.as_str()));
                go_on(around, id, &unfinished, &entries, rest, follower).await
            }
            Stream::Rollout(_) => rollout(around, &entries, rest).await,
            Stream::Request(_) => Ok(()),
        };
        if let Err(why) = ended {
            observer.note(format!("{} was interrupted and could not be ended: {why}", name(&unfinished.stream)));
        }
    }
    around.executor.sweep(&recorded)?;
    state.bury_the_dead()?;
    Ok(())
}

async fn go_on(
    around: &Surroundings,
    id: &RunId,
    unfinished: &Unfinished,
    entries: &[Entry],
    rest: Rest,
    follower: &(dyn Fn(&Run) -> Follower + Sync),
) -> Result<(), String> {
    let run = Run::replay(&run_facts(entries)).map_err(|error| error.to_string())?;
    let tree = tree_of(around, id).filter(|_| rest == Rest::Run);
    let adoption = match &tree {
        Some(_) => around.state.adopt(id).map_err(|error| error.to_string())?,
        None => None,
    };
    // Its facts are still the dead one's, but somebody who lives is about to add to them.
    if adoption.is_none() && (tree.is_some() || around.state.is_adopted(id).map_err(|error| error.to_string())?) {
        return Ok(());
    }
    let rest = if tree.is_some() { Rest::Run } else { Rest::Leave };
    let lives = |(node, attempt): &&(NodeId, u32)| matches!(around.executor.standing(id, node, *attempt), Standing::Living);
    let living = run.under_way().iter().filter(lives).count();
    around.observer.note(match (rest, living) {
        (Rest::Run, _) => format!("run {id} was interrupted: going on with it"),
        (Rest::Leave, 0) => format!("run {id} was interrupted; it is marked so"),
        (Rest::Leave, 1) => format!("run {id} was interrupted; a step of it goes on, and what it leaves is recorded when it ends"),
        (Rest::Leave, steps) => format!("run {id} was interrupted; {steps} steps of it go on, and what they leave is recorded when they end"),
    });
    let Follower { observer, stop, ended } = follower(&run);
    let quiet = Surroundings { observer, snapshot: tree.unwrap_or_default(), ..around.clone() };
    let (stream, mut written, mut run) = (unfinished.stream.clone(), unfinished.last, Some(run));
    let going = async move {
        let adoption = adoption;
        while let Some(next) = run.take() {
            match drive_run::go_on(&quiet, next, written, rest, stop.clone()).await {
                Ok(_) | Err(DriveError::Adopted) => {}
                // Another process was faster. Whoever has adopted it goes on from there: the other one does not.
                Err(DriveError::Journal(JournalError::Conflict { .. })) if adoption.is_some() => {
                    let entries = quiet.journal.read(&stream).await.map_err(|error| error.to_string())?;
                    let replayed = Run::replay(&run_facts(&entries)).map_err(|error| error.to_string())?;
                    written = entries.len() as u64;
                    run = Some(replayed).filter(|run| run.outcome().is_none());
                }
                Err(DriveError::Journal(JournalError::Conflict { .. })) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    };
    if rest == Rest::Leave && living == 0 {
        let gone = going.await;
        ended();
        return gone;
    }
    let (observer, id) = (around.observer.clone(), id.clone());
    tokio::spawn(async move {
        if let Err(why) = going.await {
            observer.note(format!("run {id} could not be gone on with: {why}"));
        }
        ended();
    });
    Ok(())
}

/// What the run's steps stand on, where it is still there.
fn tree_of(around: &Surroundings, id: &RunId) -> Option<PathBuf> {
    let tree = PathBuf::from(std::fs::read_to_string(around.state.tree(id)).ok()?);
    tree.is_dir().then_some(tree)
}

/// Back, or on.
async fn rollout(around: &Surroundings, entries: &[Entry], rest: Rest) -> Result<(), String> {
    let Surroundings { rollouts, state, observer, .. } = around;
    let rollout = Rollout::replay(&rollout_facts(entries)).map_err(|error| error.to_string())?;
    let id = rollout.id().clone();
    // Somebody else was faster.
    let Some(adoption) = state.adopt_rollout(&id).map_err(|error| error.to_string())? else { return Ok(()) };
    let watched = entries.last().is_some_and(|last| clock::now().since(last.at) < UNWATCHED);
    // What was not published yet would have to be built again: nothing of it has traffic.
    if rest == Rest::Run && watched && rollout.release().is_some() {
        observer.note(format!("rollout {id} was interrupted: going on with it"));
        let (rollouts, observer, written, under_way) = (rollouts.clone(), observer.clone(), entries.len() as u64, rollouts.enter(&id));
        tokio::spawn(async move {
            let _gone_on_with = (under_way, adoption);
            let (_nobody, aborted) = watch::channel(false);
            if let Err(error) = rollouts.go_on(rollout, written, RolloutInput::Resume, aborted).await {
                observer.note(format!("rollout {id} could not be gone on with: {error}; `tidegate rollout abort {id}` puts back what was there"));
            }
        });
        return Ok(());
    }
    observer.note(format!("rollout {id} was interrupted: putting back what was there"));
    let (_nobody, aborted) = watch::channel(false);
    let reason = "its process died".to_owned();
    rollouts.go_on(rollout, entries.len() as u64, RolloutInput::TakeBack { reason }, aborted).await.map(drop).map_err(|error| error.to_string())
}

pub fn run_facts(entries: &[Entry]) -> Vec<(Timestamp, RunFact)> {
    entries.iter().filter_map(|entry| if let Fact::Run(fact) = &entry.fact { Some((entry.at, fact.clone())) } else { None }).collect()
}

pub fn rollout_facts(entries: &[Entry]) -> Vec<(Timestamp, RolloutFact)> {
    entries.iter().filter_map(|entry| if let Fact::Rollout(fact) = &entry.fact { Some((entry.at, fact.clone())) } else { None }).collect()
}

fn name(stream: &Stream) -> String {
    match stream {
        Stream::Run(id) => format!("run {id}"),
        Stream::Rollout(id) => format!("rollout {id}"),
        Stream::Request(id) => format!("the request for run {id}"),
    }
}
