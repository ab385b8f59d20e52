//! `tidegate serve`: keeps functions serving behind the gateway until Ctrl-C.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::args::{GatewayArguments, Global, ServeArguments};
use super::exit::Exit;
use super::print::{eprintln, println};
use super::session::{self, Session, fail};
use crate::adapters::executor::AnyExecutor;
use crate::adapters::provider::AnyProvider;
use crate::model::function::Target;
use crate::report::run::text::clean;
use crate::runtime::drive_run::Rest;
use crate::runtime::observer::Shown;

pub fn run(global: &Global, arguments: &ServeArguments) -> Exit {
    super::log::begin(arguments.log_format, arguments.log_level);
    match session::tokio() {
        Ok(runtime) => runtime.block_on(serve(global, arguments)).unwrap_or_else(|(exit, why)| fail(exit, why)),
        Err(error) => fail(Exit::Infrastructure, error),
    }
}

fn ours(error: impl std::fmt::Display) -> (Exit, String) {
    (Exit::Infrastructure, error.to_string())
}

async fn serve(global: &Global, arguments: &ServeArguments) -> Result<Exit, (Exit, String)> {
    // Before anything is started, so that no early signal is lost.
    let mut stop = stop_signals().map_err(|error| ours(format!("signals can not be handled on this machine: {error}")))?;
    let gateway = GatewayArguments { listen: arguments.listen };
    // As every other command: what dead processes left is ended before anything is served.
    let session = Session::open(global, &arguments.isolation, &gateway).await.map_err(|error| (error.exit(), error.to_string()))?;
    session.recover(Rest::Run).await.map_err(ours)?;
    for shown in session.observer.drain() {
        if let Shown::Note(text) = shown {
            eprintln!("note: {}", clean(&text));
        }
    }
    let provider = session.rollouts.provider(&Target::Local).await.map_err(ours)?;
    let AnyProvider::Local(local) = &*provider;
    if let Some(other) = local.hosted_elsewhere() {
        let folder = session.state.root().display();
        return Err((Exit::Usage, format!("the functions in {folder} are hosted already, by process {} at http://{}", other.pid, other.gateway)));
    }
    println!("gateway: http://{}", local.address());
    for function in local.functions().await.map_err(ours)? {
        let traffic: Vec<String> = function.traffic.split.iter().map(|(to, weight)| format!("{weight} {}", function.name_of(to))).collect();
        println!("  http://{}/{}  {}", local.address(), function.name, traffic.join(", "));
    }
    println!("Ctrl-C ends it.");
    tokio::select! {
        _ = stop.recv() => {}
        () = keep_tidy(&session.executor) => {}
    }
    // The terminal has just written ^C.
    let after = if std::io::stderr().is_terminal() { "\n" } else { "" };
    eprintln!("{after}ending: requests under way are answered; once more to end at once");
    drop(session);
    let Some(AnyProvider::Local(local)) = Arc::into_inner(provider) else { return Ok(Exit::Success) };
    tokio::select! {
        () = local.close() => Ok(Exit::Success),
        _ = stop.recv() => Ok(Exit::Cancelled),
    }
}

/// What a killed process leaves in a container engine while this one serves. Never ends.
async fn keep_tidy(executor: &AnyExecutor) {
    let mut minutes = tokio::time::interval(Duration::from_secs(60));
    loop {
        minutes.tick().await;
        if let Err(error) = executor.tidy().await {
            tracing::warn!("{error}");
        }
    }
}

/// Ctrl-C and a polite kill.
fn stop_signals() -> std::io::Result<tokio::sync::mpsc::Receiver<()>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
