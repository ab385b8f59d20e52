//! `tidegate runs replay … --shell`: a person at a terminal in the sandbox of a step.

use tokio::signal::unix::{SignalKind, signal};

use super::super::exit::Exit;
use super::super::print::eprintln;
use super::super::session::Session;
use super::replay::{ReplayError, in_words};
use crate::adapters::executor::Whence;
use crate::adapters::terminal::{self, Pair, Raw};
use crate::model::invocation::InvocationSpec;
use crate::report::run::text::clean;
use crate::runtime::replay::Past;

pub(super) async fn open(session: &Session, past: &Past, spec: &InvocationSpec) -> Result<Exit, ReplayError> {
    if !terminal::is_there() {
        return Err(ReplayError::Usage("--shell needs a terminal to be used at: leave it out to run the step again".to_owned()));
    }
    let ours = |error: std::io::Error| ReplayError::Failed(format!("the terminal can not be used: {error}"));
    let whence = if past.outcome.is_success() { Whence::TheBeginning } else { Whence::WhereItStops };
    let mut pair = Pair::make().map_err(ours)?;
    // Before the sandbox begins, so that no early signal is lost.
    let mut window = signal(SignalKind::window_change()).map_err(ours)?;
    let (mut terminate, mut hangup) = (signal(SignalKind::terminate()).map_err(ours)?, signal(SignalKind::hangup()).map_err(ours)?);
    eprintln!(
        "{} (attempt {}) of run {}: {}",
        clean(past.node.as_str()),
        past.attempt,
        clean(past.run().id().as_str()),
        clean(&in_words(&past.outcome))
    );
    let term = std::env::var("TERM").unwrap_or_default();
    let far = pair.far().ok_or_else(|| ReplayError::Failed("the terminal has no other end".to_owned()))?;
    let mut attended =
        session.executor.attend(spec, whence, (&term, far), &mut |line| eprintln!("{}", clean(&line))).await.map_err(ReplayError::Failed)?;
    pair.let_go();
    let near = pair.near().map_err(ours)?;
    let raw = Raw::begin().map_err(ours)?;
    let mut relayed = tokio::task::spawn_blocking(move || terminal::relay(&near));
    let exit = loop {
        tokio::select! {
            // All that was said has been shown when the relay ends; it ends as well when the person is gone.
            _ = &mut relayed => break Exit::Success,
            _ = window.recv() => pair.fit(),
            _ = terminate.recv() => break Exit::Cancelled,
            _ = hangup.recv() => break Exit::Cancelled,
        }
    };
    attended.kill();
    attended.wait().await;
    drop(raw);
    Ok(exit)
}
