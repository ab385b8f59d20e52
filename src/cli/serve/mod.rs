//! `tidegate serve`: keeps functions serving behind the gateway until Ctrl-C.

mod at_work;
mod house;
mod obey;

use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::args::{GatewayArguments, Global, ServeArguments};
use super::exit::Exit;
use super::print::{eprintln, println};
use super::session::{self, Session, SessionError, fail};
use super::settings;
use crate::adapters::executor::AnyExecutor;
use crate::adapters::provider::AnyProvider;
use crate::adapters::state::{self, StateFolder};
use crate::core::run::Run;
use crate::model::function::Target;
use crate::model::settings::Settings;
use crate::report::run::text::clean;
use crate::runtime::drive_run::Rest;
use crate::runtime::observer::Shown;
use crate::server::handover::Offer;
use crate::server::life::Life;
use crate::server::listeners::{self, Opened, Wanted};
use crate::server::notify;
use house::{House, Opened as Door};

pub fn run(global: &Global, arguments: &ServeArguments) -> Exit {
    super::log::begin(arguments.log_format, arguments.log_level);
    // Before there are threads and other processes.
    let settings = match settings::load(global) {
        Ok(found) => found.settings,
        Err(error) => return fail(Exit::Usage, error),
    };
    let ports = match ports(global, arguments, &settings) {
        Ok(ports) => ports,
        Err((exit, why)) => return fail(exit, why),
    };
    match session::tokio() {
        Ok(runtime) => runtime.block_on(serve(global, arguments, settings, ports)).unwrap_or_else(|(exit, why)| fail(exit, why)),
        Err(error) => fail(Exit::Infrastructure, error),
    }
}

fn ours(error: impl std::fmt::Display) -> (Exit, String) {
    (Exit::Infrastructure, error.to_string())
}

const GATEWAY: &str = "gateway";
const SERVER: &str = "server";
const ANY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
/// For requests under way to end, at most: the gateway's limit is the longest.
const LEAVE: Duration = Duration::from_secs(25);

/// The gateway's port, and the server's if the settings or systemd have one.
fn ports(global: &Global, arguments: &ServeArguments, settings: &Settings) -> Result<Opened, (Exit, String)> {
    let state = state::locate(global.state_dir.as_deref(), |name| std::env::var_os(name)).and_then(StateFolder::open).map_err(ours)?;
    let mut wanted = vec![Wanted { name: GATEWAY, address: arguments.listen }];
    // The address of what systemd holds is the socket's own.
    let held = listeners::is_given(SERVER).then_some(ANY);
    wanted.extend(settings.server.listen.or(held).map(|address| Wanted { name: SERVER, address }));
    listeners::open(state.root(), &wanted).map_err(ours)
}

async fn serve(global: &Global, arguments: &ServeArguments, settings: Settings, mut ports: Opened) -> Result<Exit, (Exit, String)> {
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
    let life = Life::default();
    let listener = ports.take(SERVER);
    let mut house = match &listener {
        Some(_) => Some(House::build(&session, &settings, &life).await.map_err(ours)?),
        None => None,
    };
    recover(&session, house.as_mut()).await.map_err(ours)?;
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
    life.serve();
    let mut door = open_door(listener.zip(house), &life, &session.state).map_err(ours)?;
    println!("Ctrl-C ends it.");
    notify::ready("serving");
    let (mut successor, mut broken) = (None, None);
    tokio::select! {
        _ = stop.recv() => {}
        pid = offer.successor() => successor = Some(pid),
        () = keep_tidy(&session.executor) => {}
        () = notify::keep_watchdog() => {}
        why = broken_door(&mut door) => broken = Some(why),
    }
    // Its listeners as well: where nobody takes over, the port is closed now.
    drop(offer);
    life.drain();
    notify::stopping(LEAVE);
    match successor {
        _ if broken.is_some() => {}
        Some(pid) => eprintln!("process {pid} takes over: requests under way are answered here"),
        None => {
            // The terminal has just written ^C.
            let after = if std::io::stderr().is_terminal() { "\n" } else { "" };
            eprintln!("{after}ending: requests under way are answered; once more to end at once");
        }
    }
    let close = async {
        if let Some(door) = door {
            door.close().await;
        }
        local.end().await;
    };
    tokio::select! {
        () = close => broken.map_or(Ok(Exit::Success), |why| Err(ours(why))),
        _ = stop.recv() => Ok(Exit::Cancelled),
    }
}

/// What dead processes left: where there is a server, it is gone on with in its queue.
async fn recover(session: &Session, house: Option<&mut House>) -> Result<(), SessionError> {
    let Some(house) = house else { return session.recover(Rest::Run).await };
    house.deciding.look_back().await?;
    let around = house.around.clone();
    let deciding = std::sync::Mutex::new(&mut house.deciding);
    // A panic while it was held would end the whole start.
    let adopt = |run: &Run| deciding.lock().unwrap_or_else(std::sync::PoisonError::into_inner).adopt(run);
    session.recover_with(&around, &adopt).await?;
    house.deciding.replay().await?;
    Ok(())
}

/// What others reach besides the functions.
fn open_door(door: Option<(std::net::TcpListener, House)>, life: &Life, state: &StateFolder) -> std::io::Result<Option<Door>> {
    let Some((listener, house)) = door else { return Ok(None) };
    println!("server: http://{}", listener.local_addr()?);
    house.open(listener, life, state).map(Some)
}

/// Why a server can not go on: whoever looks after it starts the next one, which does. Never ends as long as all is well.
async fn broken_door(door: &mut Option<Door>) -> String {
    match door {
        Some(door) => door.broken().await,
        None => std::future::pending().await,
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
