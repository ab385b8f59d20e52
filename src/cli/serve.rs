//! `tidegate serve`: keeps functions serving behind the gateway until Ctrl-C.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::args::{Global, ServeArguments};
use super::exit::Exit;
use crate::adapters::gateway::choose_isolation;
use crate::adapters::provider::local::{Local, LocalError, LocalOptions};

pub fn run(global: &Global, arguments: &ServeArguments) -> Exit {
    let Some(state_dir) = global.state_dir.clone().or_else(default_state_dir) else {
        eprintln!("error: there is no place for the state: set HOME, or choose a folder with --state-dir");
        return Exit::Usage;
    };
    let options = match options(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Usage;
        }
    };
    // Warnings only: what a function says is in its log. Somebody may have set another one up already.
    let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).with_target(false).try_init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Infrastructure;
        }
    };
    match runtime.block_on(serve(&state_dir, &options)) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Infrastructure
        }
    }
}

fn options(arguments: &ServeArguments) -> Result<LocalOptions, String> {
    let isolation = choose_isolation(arguments.isolation.allow_unisolated).map_err(|error| error.to_string())?;
    let there = |tool: &PathBuf| match tool.canonicalize() {
        Ok(path) if path.is_dir() && path.parent().is_some() => Ok(path),
        Ok(_) => Err(format!("--host-tools {}: it is no folder below the root", tool.display())),
        Err(error) => Err(format!("--host-tools {}: {error}", tool.display())),
    };
    let host_tools = arguments.isolation.host_tools.iter().map(there).collect::<Result<_, _>>()?;
    Ok(LocalOptions { isolation, host_tools, ..LocalOptions::new(arguments.listen) })
}

/// By the XDG rules.
fn default_state_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state"))).map(|base| base.join("tidegate"))
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
        let traffic: Vec<String> = function.traffic.split.iter().map(|(to, weight)| format!("{weight} {to}")).collect();
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
