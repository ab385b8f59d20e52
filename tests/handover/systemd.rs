//! As a service: systemd holds the sockets, and is told how it goes.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::clients::{Became, Clients, ask};
use crate::process::{Place, Serve, skip};

/// `serve` with both sockets handed down as systemd hands them: from the third descriptor on, and their names in the environment.
fn activated(place: &Place, sockets: [OwnedFd; 2], names: &str) -> Command {
    let [first, second] = sockets;
    let mut command = Command::new("/bin/sh");
    // What it prints goes to the place's file, as its own descriptors are taken.
    let script = r#"out=$1; shift; LISTEN_PID=$$ exec "$@" 3<&0 4<&2 0</dev/null 2>>"$out""#;
    command.args(["-c", script, "sh"]).arg(place.path("said")).arg(env!("CARGO_BIN_EXE_tidegate")).args(place.arguments());
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", names);
    command.stdin(Stdio::from(first)).stderr(Stdio::from(second));
    command
}

#[test]
fn with_systemds_sockets_kills_turn_nobody_away() {
    let place = Place::new();
    let gateway = std::net::TcpListener::bind(place.gateway).unwrap();
    let server = std::net::TcpListener::bind(place.server).unwrap();
    let sockets = || [server.try_clone().unwrap().into(), gateway.try_clone().unwrap().into()];
    // Asked before there is anybody.
    let early = std::thread::spawn({
        let server = place.server;
        move || ask(server, "/healthz", Duration::ZERO)
    });
    let mut serving = Serve::start(activated(&place, sockets(), "server:gateway"));
    assert_eq!(early.join().unwrap(), Became::Answered(200));
    let clients = Clients::start(&[(place.server, "/healthz"), (place.gateway, "/")]);
    let several = clients.count();
    const KILLS: usize = 5;
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(200));
        serving.end(Signal::KILL);
        serving = Serve::start(activated(&place, sockets(), "server:gateway"));
    }
    // And once politely, as a restart does it.
    assert_eq!(serving.end(Signal::TERM), Some(0));
    serving = Serve::start(activated(&place, sockets(), "server:gateway"));
    let became = clients.end();
    let (refused, lost): (Vec<_>, Vec<_>) =
        became.iter().filter(|became| **became != Became::Answered(200)).partition(|became| matches!(became, Became::Refused(_)));
    println!("{} requests over {KILLS} kills and a restart: {} refused, {} cut", became.len(), refused.len(), lost.len());
    assert_eq!(refused, Vec::<&Became>::new());
    assert!(lost.iter().all(|became| matches!(became, Became::Lost(_))), "{lost:?}");
    assert!(lost.len() <= KILLS * several, "only what a killed one had accepted is cut: {lost:?}");
    assert_eq!(serving.end(Signal::TERM), Some(0));
}

#[test]
fn restarts_with_systemds_sockets_lose_nobody() {
    let place = Place::new();
    let gateway = std::net::TcpListener::bind(place.gateway).unwrap();
    let server = std::net::TcpListener::bind(place.server).unwrap();
    let sockets = || [gateway.try_clone().unwrap().into(), server.try_clone().unwrap().into()];
    let mut serving = Serve::start(activated(&place, sockets(), "gateway:server"));
    let clients = Clients::start(&[(place.server, "/healthz"), (place.gateway, "/")]);
    for _ in 0..5 {
        assert_eq!(serving.end(Signal::TERM), Some(0));
        serving = Serve::start(activated(&place, sockets(), "gateway:server"));
    }
    let became = clients.end();
    assert_eq!(crate::clients::wrong(&became), Vec::<&Became>::new(), "of {}", became.len());
    assert_eq!(serving.end(Signal::TERM), Some(0));
}

/// As it is installed: the settings say nothing of where it listens.
#[test]
fn a_port_that_systemd_holds_is_served_whatever_the_settings_say() {
    let place = Place::new();
    std::fs::write(place.settings(), "").unwrap();
    let sockets = [place.gateway, place.server].map(|address| std::net::TcpListener::bind(address).unwrap().into());
    let serving = Serve::start(activated(&place, sockets, "gateway:server"));
    assert_eq!(ask(place.server, "/readyz", Duration::ZERO), Became::Answered(200));
    assert_eq!(serving.end(Signal::TERM), Some(0));
}

#[test]
fn a_socket_that_is_not_called_after_one_of_ours_is_refused() {
    let place = Place::new();
    let sockets = [place.gateway, place.server].map(|address| std::net::TcpListener::bind(address).unwrap().into());
    let status = activated(&place, sockets, "gateway:tidegate.socket").stdout(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(4));
    let said = std::fs::read_to_string(place.path("said")).unwrap();
    assert!(said.contains("\"tidegate.socket\"") && said.contains("FileDescriptorName="), "{said}");
}

#[test]
fn the_real_socket_activation() {
    let program = "systemd-socket-activate";
    if Command::new(program).arg("--version").output().is_err() {
        return skip("systemd::the_real_socket_activation", "systemd-socket-activate is not here: install Debian's systemd");
    }
    let place = Place::new();
    let mut command = Command::new(program);
    command.arg(format!("--listen={}", place.gateway)).arg(format!("--listen={}", place.server)).arg("--fdname=gateway:server");
    command.arg(env!("CARGO_BIN_EXE_tidegate")).args(place.arguments()).stdin(Stdio::null()).stderr(Stdio::null());
    // It begins with the first connection: whoever made that is answered.
    let asking = std::thread::spawn({
        let server = place.server;
        move || {
            let until = Instant::now() + Duration::from_secs(60);
            loop {
                match ask(server, "/readyz", Duration::ZERO) {
                    Became::Refused(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
                    became => return became,
                }
            }
        }
    });
    let serving = Serve::start(command);
    assert_eq!(asking.join().unwrap(), Became::Answered(200));
    assert!(serving.lines[0].contains(&place.gateway.to_string()), "{:?}", serving.lines);
    assert_eq!(serving.end(Signal::TERM), Some(0));
}

/// What has been said to the manager, until `enough`.
fn told(manager: &UnixDatagram, enough: impl Fn(&str) -> bool) -> String {
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut all = String::new();
    while !enough(&all) {
        let mut bytes = [0; 4096];
        let read = manager.recv(&mut bytes).unwrap_or_else(|error| panic!("{error} after {all:?}"));
        all.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    all
}

#[test]
fn systemd_is_told_that_it_serves_that_it_lives_and_that_it_ends() {
    let place = Place::new();
    let manager = UnixDatagram::bind(place.path("notify")).unwrap();
    let mut command = place.command();
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "200000");
    let serving = Serve::start(command);
    let all = told(&manager, |all| all.matches("WATCHDOG=1\n").count() >= 3);
    assert!(all.starts_with("READY=1\nSTATUS="), "first of all: {all}");
    assert_eq!(all.matches("READY=1\n").count(), 1, "{all}");
    serving.signal(Signal::TERM);
    let all = told(&manager, |all| all.contains("STOPPING=1\n"));
    assert!(all.contains("EXTEND_TIMEOUT_USEC=25000000\n"), "{all}");
    assert_eq!(serving.wait(), Some(0));
}

/// In a process of its own, as it is the environment that says who is told.
#[test]
fn systemd_is_told_when_settings_are_looked_at_again() {
    const CHILD: &str = "TIDEGATE_TEST_RELOADS";
    if std::env::var_os(CHILD).is_some() {
        tidegate::server::notify::reloading();
        return tidegate::server::notify::ready("serving\nMAINPID=1");
    }
    let place = Place::new();
    let manager = UnixDatagram::bind(place.path("notify")).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "systemd::systemd_is_told_when_settings_are_looked_at_again"]).env(CHILD, "1").env("NOTIFY_SOCKET", place.path("notify"));
    assert!(child.stdout(Stdio::null()).status().unwrap().success());
    let all = told(&manager, |all| all.contains("STATUS="));
    assert!(all.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{all}");
    assert!(all.ends_with("\nREADY=1\nSTATUS=serving MAINPID=1\n"), "text is no word of its own: {all}");
}

fn units() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd")
}

#[test]
fn systemd_understands_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        return skip("systemd::systemd_understands_the_units", "systemd-analyze is not here: install Debian's systemd");
    }
    let place = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for name in ["tidegate.service", "tidegate.socket", "tidegate-gateway.socket"] {
        let text = std::fs::read_to_string(units().join(name)).unwrap();
        // It looks whether the program is there.
        std::fs::write(
            place.path().join(name),
            text.replace("ExecStart=/usr/bin/tidegate", &format!("ExecStart={}", env!("CARGO_BIN_EXE_tidegate"))),
        )
        .unwrap();
        paths.push(place.path().join(name));
    }
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&paths).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let ours = said.lines().filter(|line| line.contains("tidegate") && !line.contains("'DelegateSubgroup'"));
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&str>::new(), "{said}");
    // The number is its, from 0 (nothing is left open) to 10.
    let output = Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=45"]).arg(&paths[0]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_the_unit_takes_away_is_nothing_that_the_sandbox_needs() {
    const NAME: &str = "systemd::what_the_unit_takes_away_is_nothing_that_the_sandbox_needs";
    if !rustix::process::geteuid().is_root() {
        return skip(NAME, "a mount namespace like the unit's is made as root");
    }
    let pipeline = "name: ci\nsteps:\n  one: { run: \"touch it; id -u; python3 -c 'print(6 * 7)'\" }\n";
    let world = crate::support::World::with(&[(".tidegate/ci.yaml", pipeline)]);
    let folder = world.path("");
    std::fs::copy(env!("CARGO_BIN_EXE_tidegate"), folder.join("tidegate")).unwrap();
    assert!(Command::new("chown").args(["-R", "65534:65534"]).arg(&folder).status().unwrap().success());
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handover/hardened.sh");
    let output = Command::new("unshare").arg("--mount").arg(script).arg(&folder).arg(folder.join("tidegate")).arg("run").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("│ 42") && said.contains("│ 1000"), "{said}");
}
