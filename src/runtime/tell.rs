//! Tells the process that drives a run or a rollout what a person has decided, whichever process that is.

use std::time::Duration;

use crate::adapters::journal::{AnyJournal, Journal as _, JournalError};
use crate::adapters::mailbox::{Letter, Mailbox};
use crate::adapters::state::{StateError, StateFolder};
use crate::model::fact::{Fact, RolloutFact, RunFact, Stream};
use crate::model::id::{RolloutId, RunId};
use crate::model::policy::Word;

use super::words::words;

/// How long it may take to read a letter.
const ANSWER: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum TellError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the letter can not be written: {0}")]
    Letter(#[from] std::io::Error),
    #[error("{what} has ended already ({how})")]
    Ended { what: String, how: &'static str },
    /// Its process is dead: there is nobody to tell.
    #[error("nobody drives {0} any more")]
    Nobody(String),
    #[error("the process that drives {0} has not answered; it was not told")]
    Silent(String),
}

/// Cancels a run that has begun. Returns when its process has heard it.
pub async fn cancel(state: &StateFolder, journal: &AnyJournal, letters: &Mailbox, run: &RunId, reason: &str) -> Result<(), TellError> {
    let stream = Stream::Run(run.clone());
    let what = format!("run {run}");
    must_be_driven(state, journal, &stream, &what).await?;
    letters.cancel(run, reason)?;
    let heard = heard(journal, &stream, &what, || !letters.cancel_waits(run)).await;
    if heard.is_err() {
        letters.cancelled(run);
    }
    heard
}

/// Promotes or aborts a rollout that is under way.
pub async fn decide(state: &StateFolder, journal: &AnyJournal, letters: &Mailbox, rollout: &RolloutId, letter: Letter) -> Result<(), TellError> {
    let stream = Stream::Rollout(rollout.clone());
    let what = format!("rollout {rollout}");
    must_be_driven(state, journal, &stream, &what).await?;
    letters.post(rollout, letter)?;
    let heard = heard(journal, &stream, &what, || !letters.waits(rollout)).await;
    if heard.is_err() {
        letters.take(rollout);
    }
    heard
}

/// Says something about what a run waits for. Returns when its process has heard it, or has ended the run, of which this may be the reason; whether it counted, the
/// facts say.
pub async fn say(state: &StateFolder, journal: &AnyJournal, run: &RunId, word: &Word) -> Result<(), TellError> {
    let stream = Stream::Run(run.clone());
    let what = format!("run {run}");
    must_be_driven(state, journal, &stream, &what).await?;
    let words = words(state)?;
    let path = words.say(run, word)?;
    let heard = heard(journal, &stream, &what, || !path.exists()).await;
    if heard.is_err() {
        words.heard(&path);
    }
    if let Err(TellError::Ended { .. }) = heard { Ok(()) } else { heard }
}

async fn must_be_driven(state: &StateFolder, journal: &AnyJournal, stream: &Stream, what: &str) -> Result<(), TellError> {
    ended(journal, stream, what).await?;
    let owner = journal.unfinished().await?.into_iter().find(|unfinished| unfinished.stream == *stream).map(|unfinished| unfinished.owner);
    match owner {
        Some(owner) if state.is_alive(&owner)? => Ok(()),
        // Whoever goes on with a dead one's run has perhaps not said anything yet.
        _ if matches!(stream, Stream::Run(run) if state.is_adopted(run)?) => Ok(()),
        _ if matches!(stream, Stream::Rollout(rollout) if state.is_rollout_adopted(rollout)?) => Ok(()),
        _ => Err(TellError::Nobody(what.to_owned())),
    }
}

async fn ended(journal: &AnyJournal, stream: &Stream, what: &str) -> Result<(), TellError> {
    let how = match journal.last(stream).await?.map(|entry| entry.fact) {
        Some(Fact::Run(RunFact::Ended { outcome })) => outcome.word(),
        Some(Fact::Rollout(RolloutFact::Ended { outcome })) => outcome.word(),
        _ => return Ok(()),
    };
    Err(TellError::Ended { what: what.to_owned(), how })
}

async fn heard(journal: &AnyJournal, stream: &Stream, what: &str, taken: impl Fn() -> bool) -> Result<(), TellError> {
    let since = std::time::Instant::now();
    while !taken() {
        ended(journal, stream, what).await?;
        if since.elapsed() > ANSWER {
            return Err(TellError::Silent(what.to_owned()));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::journal;
    use crate::model::time::Timestamp;

    /// A server that is killed and started again goes on with a rollout, and says something of it only when it has looked.
    #[tokio::test]
    async fn who_goes_on_with_a_dead_ones_rollout_can_be_told_before_a_word_of_it() {
        let place = tempfile::tempdir().expect("a folder");
        let state = StateFolder::open(place.path().join("state")).expect("a state folder");
        let journal = journal::open(&state.journal(), "a-dead-one").expect("a journal");
        let letters = Mailbox::new(state.folder("letters").expect("a folder"));
        let rollout = RolloutId::new("hello-1");
        let published = Fact::Rollout(RolloutFact::PrewarmIntended { stage: 0, instances: 1 });
        journal.append(&Stream::Rollout(rollout.clone()), 1, Timestamp::from_micros(1), vec![published]).await.expect("appended");
        let nobody = decide(&state, &journal, &letters, &rollout, Letter::Promote).await;
        assert!(matches!(nobody, Err(TellError::Nobody(_))), "{nobody:?}");
        assert!(!letters.waits(&rollout));
        let _adoption = state.adopt_rollout(&rollout).expect("asked").expect("nobody else has");
        let reads = async {
            loop {
                if let Some(letter) = letters.take(&rollout) {
                    return letter;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let (told, read) = tokio::join!(decide(&state, &journal, &letters, &rollout, Letter::Promote), reads);
        assert!(told.is_ok() && read == Letter::Promote, "{told:?}, {read:?}");
    }
}
