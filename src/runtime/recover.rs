//! What a start does first: end what dead processes left unfinished, by replaying their facts through the same machines.
//!
//! A dead run ends as interrupted. A dead rollout is taken back to the stable release: nobody has watched it since, and going back needs nothing.

use tokio::sync::watch;

use crate::adapters::journal::{AnyJournal, Journal as _, JournalError, Unfinished};
use crate::adapters::state::{StateError, StateFolder};
use crate::core::rollout::{Input as RolloutInput, Rollout};
use crate::core::run::{Input, Rules, Run, always};
use crate::model::fact::{Entry, Fact, RolloutFact, RunFact, Stream};
use crate::model::time::Timestamp;

use super::observer::Observer;
use super::recorder::Recorder;
use super::rollouts::Rollouts;
use super::{clock, condition};

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Ends all that dead processes left. What can not be ended is said and left as it is: it must not keep a person from working.
pub async fn recover(journal: &AnyJournal, state: &StateFolder, me: &str, rollouts: &Rollouts, observer: &Observer) -> Result<(), RecoverError> {
    for unfinished in journal.unfinished().await? {
        if unfinished.owner == me || state.is_alive(&unfinished.owner)? {
            continue;
        }
        let entries = journal.read(&unfinished.stream).await?;
        let ended = match &unfinished.stream {
            Stream::Run(_) => end_run(journal, &unfinished, &entries, observer).await,
            Stream::Rollout(_) => take_back(rollouts, &entries, observer).await,
        };
        if let Err(why) = ended {
            observer.note(format!("{} was interrupted and could not be ended: {why}", name(&unfinished.stream)));
        }
    }
    state.bury_the_dead()?;
    Ok(())
}

async fn end_run(journal: &AnyJournal, unfinished: &Unfinished, entries: &[Entry], observer: &Observer) -> Result<(), String> {
    let mut run = Run::replay(&run_facts(entries)).map_err(|error| error.to_string())?;
    let rules = Rules { parallel: std::num::NonZeroUsize::MIN, condition: &condition::evaluate, room: &always };
    let at = clock::now();
    let turn = run.handle(Input::Interrupted, rules, at).map_err(|error| error.to_string())?;
    let facts = turn.facts.into_iter().map(Fact::Run).collect();
    // Quietly: the person has started something else.
    let mut recorder = Recorder::new(journal.clone(), unfinished.stream.clone(), unfinished.last, Observer::default());
    match recorder.record(at, facts).await {
        // Another process was faster.
        Ok(()) | Err(JournalError::Conflict { .. }) => {}
        Err(error) => return Err(error.to_string()),
    }
    observer.note(format!("{} was interrupted; it is marked so", name(&unfinished.stream)));
    Ok(())
}

async fn take_back(rollouts: &Rollouts, entries: &[Entry], observer: &Observer) -> Result<(), String> {
    let rollout = Rollout::replay(&rollout_facts(entries)).map_err(|error| error.to_string())?;
    let id = rollout.id().clone();
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
    }
}
