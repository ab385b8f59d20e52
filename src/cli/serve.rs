//! `tidegate serve`: keeps functions serving behind the gateway until Ctrl-C.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::args::{ExecutorArgument, Global, ServeArguments};
use super::exit::Exit;
use super::print::{eprintln, println};
use super::session::fail;
use crate::adapters::gateway::choose_isolation;
use crate::adapters::provider::local::{Local, LocalError, LocalOptions};
use crate::adapters::state::{self, StateFolder};

pub fn run(global: &Global, arguments: &ServeArguments) -> Exit {
    let located = state::locate(global.state_dir.as_deref(), |name| std::env::var_os(name));
    let state_dir = match located.and_then(StateFolder::open) {
        Ok(folder) => folder.root().to_owned(),
        Err(error) => return fail(Exit::Infrastructure, error),
    };
    let options = match options(arguments) {
        Ok(options) => options,
        Err((exit, error)) => return fail(exit, error),
    };
    // Warnings only: what a function says is in its log. Somebody may have set another one up already.
    let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).with_target(false).try_init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Infrastructure, error),
    };
    match runtime.block_on(serve(&state_dir, &options)) {
        Ok(exit) => exit,
        Err(error) => fail(Exit::Infrastructure, error),
    }
}

fn options(arguments: &ServeArguments) -> Result<LocalOptions, (Exit, String)> {
    if arguments.isolation.executor == ExecutorArgument::Container {
        return Err((Exit::Usage, "not supported yet: --executor container. Functions run in the sandbox: leave the option out".to_owned()));
    }
    let isolation = choose_isolation(arguments.isolation.allow_unisolated).map_err(|error| (Exit::Infrastructure, error.to_string()))?;
    let there = |tool: &PathBuf| match tool.canonicalize() {
        Ok(path) if path.is_dir() && path.parent().is_some() => Ok(path),
        Ok(_) => Err(format!("--host-tools {}: it is no folder below the root", tool.display())),
        Err(error) => Err(format!("--host-tools {}: {error}", tool.display())),
    };
    let host_tools = arguments.isolation.host_tools.iter().map(there).collect::<Result<_, _>>().map_err(|why| (Exit::Usage, why))?;
    Ok(LocalOptions { isolation, host_tools, ..LocalOptions::new(arguments.listen) })
}

async fn serve(state_dir: &std::path::Path, options: &LocalOptions) -> Result<Exit, LocalError> {
    // Before anything is started, so that no early signal is lost.
    let stop = stop_signals();
    let local = Local::connect(state_dir, options).await?;
    if let Some(other) = local.hosted_elsewhere() {
        eprintln!("error: the functions in {} are hosted already, by process {} at http://{}", state_dir.display(), other.pid, other.gateway);
        return Ok(Exit::Usage);
    }
    println!("gateway: http://{}", local.address());
    for function in local.functions().await? {
        let traffic: Vec<String> = function.traffic.split.iter().map(|(to, weight)| format!("{weight} {}", function.name_of(to))).collect();
        println!("  http://{}/{}  {}", local.address(), function.name, traffic.join(", "));
    }
    println!("Ctrl-C ends it.");
    let Some(mut stop) = stop else {
        eprintln!("error: signals can not be handled on this machine");
        return Ok(Exit::Infrastructure);
    };
    stop.recv().await;
    eprintln!("ending: requests under way are answered; once more to end at once");
    tokio::select! {
        () = local.close() => Ok(Exit::Success),
        _ = stop.recv() => Ok(Exit::Cancelled),
    }
}

/// Ctrl-C and a polite kill.
fn stop_signals() -> Option<tokio::sync::mpsc::Receiver<()>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    let mut interrupt = signal(SignalKind::interrupt()).ok()?;
    let mut terminate = signal(SignalKind::terminate()).ok()?;
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
    Some(receiver)
}
