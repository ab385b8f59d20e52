//! `tidegate serve`: keeps functions serving behind the gateway until Ctrl-C.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::args::{GatewayArguments, Global, ServeArguments};
use super::exit::Exit;
use super::print::{eprintln, println};
use super::session::{self, Session, fail};
use super::settings;
use crate::adapters::executor::AnyExecutor;
use crate::adapters::provider::AnyProvider;
use crate::adapters::state::{self, StateFolder};
use crate::model::function::Target;
use crate::report::run::text::clean;
use crate::runtime::drive_run::Rest;
use crate::runtime::observer::Shown;
use crate::server::handover::Offer;
use crate::server::life::{self, Life};
use crate::server::listeners::{self, Opened, Wanted};
use crate::server::{listen, notify};

pub fn run(global: &Global, arguments: &ServeArguments) -> Exit {
    // Warnings only: what a function says is in its log. Somebody may have set another one up already.
    let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).with_target(false).try_init();
    // Before there are threads and other processes.
    let ports = match ports(global, arguments) {
        Ok(ports) => ports,
        Err((exit, why)) => return fail(exit, why),
    };
    match session::tokio() {
        Ok(runtime) => runtime.block_on(serve(global, arguments, ports)).unwrap_or_else(|(exit, why)| fail(exit, why)),
        Err(error) => fail(Exit::Infrastructure, error),
    }
}

fn ours(error: impl std::fmt::Display) -> (Exit, String) {
    (Exit::Infrastructure, error.to_string())
}

const GATEWAY: &str = "gateway";
const SERVER: &str = "server";
/// For requests under way to end, at most: the gateway's limit is the longest.
const LEAVE: Duration = Duration::from_secs(25);

/// The gateway's port, and the server's if the settings have one.
fn ports(global: &Global, arguments: &ServeArguments) -> Result<Opened, (Exit, String)> {
    let settings = settings::load(global).map_err(|error| (Exit::Usage, error.to_string()))?.settings;
    let state = state::locate(global.state_dir.as_deref(), |name| std::env::var_os(name)).and_then(StateFolder::open).map_err(ours)?;
    let mut wanted = vec![Wanted { name: GATEWAY, address: arguments.listen }];
    wanted.extend(settings.server.listen.map(|address| Wanted { name: SERVER, address }));
    listeners::open(state.root(), &wanted).map_err(ours)
}

async fn serve(global: &Global, arguments: &ServeArguments, mut ports: Opened) -> Result<Exit, (Exit, String)> {
    // Before anything is started, so that no early signal is lost.
    let mut stop = stop_signals().map_err(|error| ours(format!("signals can not be handled on this machine: {error}")))?;
    let shared = ports.shared().map_err(ours)?;
    let gateway = GatewayArguments { listen: arguments.listen, listener: ports.take(GATEWAY).into() };
    // As every other command: what dead processes left is ended before anything is served.
    let session = Session::open(global, &arguments.isolation, &gateway).await.map_err(|error| (error.exit(), error.to_string()))?;
    if let Some(before) = ports.predecessor.take() {
        eprintln!("note: taking the place of process {}", before.pid());
        tokio::task::spawn_blocking(move || before.leave()).await.map_err(ours)?.map_err(ours)?;
    }
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
    let offer = Offer::new(session.state.root(), shared).map_err(ours)?;
    println!("gateway: http://{}", local.address());
    for function in local.functions().await.map_err(ours)? {
        let traffic: Vec<String> = function.traffic.split.iter().map(|(to, weight)| format!("{weight} {}", function.name_of(to))).collect();
        println!("  http://{}/{}  {}", local.address(), function.name, traffic.join(", "));
    }
    let life = Life::default();
    life.serve();
    let door = open_door(ports.take(SERVER), &life).map_err(ours)?;
    println!("Ctrl-C ends it.");
    notify::ready("serving");
    let mut successor = None;
    tokio::select! {
        _ = stop.recv() => {}
        pid = offer.successor() => successor = Some(pid),
        () = keep_tidy(&session.executor) => {}
        () = notify::keep_watchdog() => {}
    }
    // Its listeners as well: where nobody takes over, the port is closed now.
    drop(offer);
    life.drain();
    notify::stopping(LEAVE);
    match successor {
        Some(pid) => eprintln!("process {pid} takes over: requests under way are answered here"),
        None => {
            // The terminal has just written ^C.
            let after = if std::io::stderr().is_terminal() { "\n" } else { "" };
            eprintln!("{after}ending: requests under way are answered; once more to end at once");
        }
    }
    let close = async {
        local.end().await;
        let _ = door.await;
    };
    tokio::select! {
        () = close => Ok(Exit::Success),
        _ = stop.recv() => Ok(Exit::Cancelled),
    }
}

/// What others reach besides the functions.
fn open_door(listener: Option<std::net::TcpListener>, life: &Life) -> std::io::Result<tokio::task::JoinHandle<()>> {
    let Some(listener) = listener else { return Ok(tokio::spawn(async {})) };
    println!("server: http://{}", listener.local_addr()?);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(tokio::spawn(listen::serve(listener, life::routes(life.clone()), listen::Limits::default(), life.draining())))
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
