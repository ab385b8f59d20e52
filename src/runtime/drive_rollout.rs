//! The loop around a `Rollout`.
//!
//! ```text
//!   input ──▶ Rollout::handle ──▶ facts ──▶ journal ──▶ the one call in the air ──▶ provider ─┐
//!     ▲  ▲ letters, Ctrl-C, timers                                                            │
//!     └──┴────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::adapters::journal::JournalError;
use crate::adapters::mailbox::{Letter, Mailbox};
use crate::adapters::provider::{AnyProvider, Provider as _, ProviderError};
use crate::core::rollout::{CallFailure, Effect, IllegalInput, Input, Rollout, State};
use crate::core::turn::Turn;
use crate::model::fact::{Fact, RolloutFact, RolloutOutcome};
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, TrafficSplit};

use super::clock;
use super::observer::Observer;
use super::probe::Prober;
use super::recorder::Recorder;

/// How often letters are looked for.
const LETTERS: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("{0}")]
    Refused(String),
    /// A bug of ours, not of the user.
    #[error("internal error: {0}")]
    Machine(String),
}

/// What a rollout is performed with.
#[derive(Debug)]
pub struct Hands {
    pub provider: Arc<AnyProvider>,
    pub recorder: Recorder,
    pub observer: Observer,
    pub mailbox: Mailbox,
    /// The zip, while it may still have to be published.
    pub artifact: Option<PathBuf>,
    /// True once somebody wants to have back what was there.
    pub aborted: watch::Receiver<bool>,
}

type InTheAir = Pin<Box<dyn Future<Output = Input> + Send>>;

/// Drives a rollout to its end, from the turn that started or resumed it.
pub async fn drive(mut hands: Hands, mut rollout: Rollout, mut turn: Turn<RolloutFact, Effect>) -> Result<RolloutOutcome, RolloutError> {
    let mut at = clock::now();
    let mut call: Option<InTheAir> = None;
    let mut wake: Option<Timestamp> = None;
    let mut prober: Option<Prober> = None;
    let mut aborting = false;
    let mut letters = tokio::time::interval(LETTERS);
    loop {
        hands.recorder.record(at, turn.facts.into_iter().map(Fact::Rollout).collect()).await?;
        for effect in turn.effects {
            match effect {
                Effect::Finished(outcome) => return Ok(outcome),
                Effect::WakeAt(moment) => wake = Some(moment),
                effect => call = Some(perform(&hands, rollout.function().name.clone(), effect)),
            }
        }
        probe_while_observing(&hands, &rollout, &mut prober);
        let input = loop {
            tokio::select! {
                answer = answered(&mut call) => { call = None; break answer }
                () = due(wake) => { wake = None; break Input::Tick }
                () = asked_back(&mut hands.aborted, aborting) => { aborting = true; break Input::Abort { reason: "the run was cancelled".to_owned() } }
                _ = letters.tick() => {
                    if let Some(letter) = hands.mailbox.take(rollout.id()) { break decision(letter) }
                }
            }
        };
        if let (Input::Observed(batch), Some(prober)) = (&input, &mut prober) {
            prober.seen(batch);
        }
        let from_person = matches!(input, Input::Promote | Input::Abort { .. });
        at = clock::now();
        turn = match rollout.handle(input, at) {
            Ok(turn) => turn,
            // A person may be late: the rollout has decided already. That is no error of anybody.
            Err(late) if from_person && !matches!(late, IllegalInput::Internal(_)) => {
                hands.observer.note(late.to_string());
                Turn::nothing()
            }
            Err(illegal) => return Err(RolloutError::Machine(illegal.to_string())),
        };
    }
}

fn decision(letter: Letter) -> Input {
    match letter {
        Letter::Promote => Input::Promote,
        Letter::Abort => Input::Abort { reason: "a person aborted it".to_owned() },
    }
}

async fn answered(call: &mut Option<InTheAir>) -> Input {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}

async fn due(moment: Option<Timestamp>) {
    match moment {
        Some(moment) => tokio::time::sleep(clock::until(moment)).await,
        None => std::future::pending().await,
    }
}

async fn asked_back(aborted: &mut watch::Receiver<bool>, already: bool) {
    if already || aborted.wait_for(|aborted| *aborted).await.is_err() {
        std::future::pending().await
    }
}

fn probe_while_observing(hands: &Hands, rollout: &Rollout, prober: &mut Option<Prober>) {
    if !matches!(rollout.state(), State::Observing { .. } | State::Prewarming { .. } | State::Shifting { .. }) {
        *prober = None;
        return;
    }
    let (Some(probe), Some(release), State::Observing { .. }) = (&rollout.policy().probe, rollout.release(), rollout.state()) else { return };
    if prober.is_none() {
        // Without an older release the rest of the traffic gets 503: probing that would tell nothing.
        let pinned = (*rollout.stable() == Destination::Vacant).then(|| Destination::Release(release.id.clone()));
        *prober = Some(Prober::start(hands.provider.clone(), rollout.function().name.clone(), probe, pinned));
    }
}

/// The call that answers with an input. Holds all that it needs, so that the loop can listen to others meanwhile.
fn perform(hands: &Hands, name: String, effect: Effect) -> InTheAir {
    let provider = hands.provider.clone();
    let artifact = hands.artifact.clone();
    Box::pin(async move {
        match effect {
            Effect::Publish { function, artifact: digest } => {
                let Some(path) = artifact else {
                    let reason = "the artifact is gone: deploy it again".to_owned();
                    return Input::PublishFailed(CallFailure::Rejected { reason });
                };
                provider.publish(&function, &path, &digest).await.map_or_else(|error| Input::PublishFailed(failure(error)), Input::Published)
            }
            Effect::Prewarm { release, instances, .. } => match provider.prewarm(&release, instances).await {
                Ok(cold_start_us) => Input::Prewarmed { cold_start_us },
                Err(error) => Input::PrewarmFailed(failure(error)),
            },
            Effect::Shift { split, from, expected, .. } => match shift(&provider, &name, &split, &from, expected).await {
                Ok(revision) => Input::Shifted { revision },
                Err(error) => Input::ShiftFailed(failure(error)),
            },
            Effect::Observe { at, stable, canary, slow_over } => {
                tokio::time::sleep(clock::until(at)).await;
                match provider.observe(&name, &stable, &canary, slow_over).await {
                    Ok(batch) => Input::Observed(batch),
                    Err(error) => Input::ObserveFailed(failure(error)),
                }
            }
            Effect::WakeAt(_) | Effect::Finished(_) => Input::Tick,
        }
    })
}

/// Compare-and-set; where the revision is not known, by what is in force.
async fn shift(provider: &AnyProvider, name: &str, split: &TrafficSplit, from: &[TrafficSplit], expected: Option<u64>) -> Result<u64, ProviderError> {
    if let Some(revision) = expected {
        return provider.shift(name, split, revision).await;
    }
    let found = provider.traffic(name).await?;
    if found.split == *split {
        return Ok(found.revision);
    }
    if !from.contains(&found.split) {
        return Err(ProviderError::Conflict { expected: 0, found: found.revision });
    }
    provider.shift(name, split, found.revision).await
}

fn failure(error: ProviderError) -> CallFailure {
    let reason = error.to_string();
    match error {
        ProviderError::Rejected(_) => CallFailure::Rejected { reason },
        ProviderError::Conflict { .. } => CallFailure::Conflict { reason },
        ProviderError::InitFailed(_) => CallFailure::InitFailed { reason },
        ProviderError::Unavailable(_) => CallFailure::Unavailable { reason },
    }
}
