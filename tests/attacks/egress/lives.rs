//! How long a proxy lives, what it may do, and what its end means.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use tidegate::adapters::sandbox;
use tidegate::model::outcome::Outcome;

use super::machines::{Machine, every_machine};
use super::only;

/// One at a time: a proxy is found as the only one there is.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// The lock of the step's record, which its proxy holds too.
async fn nobody_holds(lock: &Path) {
    let lock = std::fs::File::open(lock).unwrap();
    for _ in 0..3000 {
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("somebody holds the lock of a step that has ended");
}

fn status(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// Processes of ours beside the sandboxes of this test's process: filtered, and in no sandbox.
fn proxies() -> Vec<u32> {
    let beside = |pid: &u32| {
        let status = status(*pid);
        let spaces = status.lines().find_map(|line| line.strip_prefix("NSpid:")).map_or(0, |line| line.split_whitespace().count());
        let ours = status.contains("Seccomp:\t2") && spaces == own_spaces() && parent(parent(parent(*pid))) == std::process::id();
        ours && std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("sandbox-init"))
    };
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(beside).collect()
}

fn own_spaces() -> usize {
    let status = status(std::process::id());
    status.lines().find_map(|line| line.strip_prefix("NSpid:")).map_or(0, |line| line.split_whitespace().count())
}

/// The supervisor of a step and its proxy, once the step says `up`.
async fn found(machine: &Machine, node: &str) -> (u32, u32) {
    let log = machine.state.path().join(format!("{node}.log"));
    while !std::fs::read_to_string(&log).unwrap_or_default().contains("up: 200") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let proxies = proxies();
    assert_eq!(proxies.len(), 1, "{proxies:?}");
    (parent(proxies[0]), proxies[0])
}

/// What is done to a step while it runs. A step that ends before it was done is a failure, and no reason to wait for ever.
async fn while_it_runs<T: std::fmt::Debug>(step: impl Future<Output = T>, done_to_it: impl Future<Output = ()>) -> T {
    let (mut step, mut done_to_it) = (std::pin::pin!(step), std::pin::pin!(done_to_it));
    tokio::select! {
        () = &mut done_to_it => step.await,
        ended = &mut step => match tokio::time::timeout(Duration::from_secs(30), done_to_it).await {
            Ok(()) => ended,
            Err(_) => panic!("it ended before anything was done to it: {ended:?}"),
        },
    }
}

fn server() -> (std::net::TcpListener, String) {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    (server, address)
}

#[tokio::test]
async fn a_proxy_has_no_rights_serves_no_neighbour_and_dies_with_its_supervisor() {
    let _alone = ALONE.lock().await;
    for machine in every_machine() {
        let (_server, address) = server();
        let watching = async {
            let (supervisor, proxy) = found(&machine, "one").await;
            // The same port inside, and another proxy behind it.
            let (said, _) = machine.said("two", only(&[]), &format!("show('two', connect('{address}'))")).await;
            assert_eq!(said, "two: 403\n");
            let status = status(proxy);
            let is = |line: &str| status.lines().any(|one| one == line);
            assert!(is("CapPrm:\t0000000000000000") && is("CapEff:\t0000000000000000") && is("NoNewPrivs:\t1"), "{status}");
            if let Some(uid) = sandbox::outer_uid() {
                assert!(is("CapBnd:\t0000000000000000") && is(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}")), "{status}");
                assert!(is(&format!("Gid:\t{uid}\t{uid}\t{uid}\t{uid}")) && is("Groups:\t "), "{status}");
            }
            kill(supervisor);
        };
        let script = format!("show('up', connect('{address}'))\ntime.sleep(1000)");
        let network = only(&[&address]);
        let (_, result) = while_it_runs(machine.step("one", network, &script), watching).await;
        assert!(matches!(result.outcome, Outcome::Infrastructure { .. }), "{result:?}");
        nobody_holds(&machine.lock("one")).await;
    }
}

#[tokio::test]
async fn a_proxy_dies_with_its_step() {
    let _alone = ALONE.lock().await;
    for machine in every_machine() {
        let (_server, address) = server();
        let (said, egress) = machine.said("one", only(&[&address]), &format!("kept = tunnel('{address}')\nshow('up', kept[1])")).await;
        assert_eq!((said.as_str(), egress.attempts.len()), ("up: 200\n", 1));
        nobody_holds(&machine.lock("one")).await;
    }
}

#[tokio::test]
async fn a_proxy_that_is_killed_opens_nothing_and_its_record_is_known_to_be_lost() {
    let _alone = ALONE.lock().await;
    for machine in every_machine() {
        let (_server, address) = server();
        let killing = async {
            let (_, proxy) = found(&machine, "one").await;
            kill(proxy);
        };
        let script = format!(
            "show('up', connect('{address}'))
try:
    while True: connect('{address}'); time.sleep(0.01)
except OSError:
    pass
show('then', attempt(socket.SOCK_STREAM, socket.AF_INET, PROXY), attempt(socket.SOCK_STREAM, socket.AF_INET, ('93.184.216.34', 80)))"
        );
        let network = only(&[&address]);
        let (said, egress) = while_it_runs(machine.said("one", network, &script), killing).await;
        assert_eq!(said, "up: 200\nthen: Connection refused Network is unreachable\n");
        assert!(egress.lost && egress.attempts.is_empty());
    }
}

#[test]
fn a_socket_listens_in_a_network_that_somebody_else_has_made() {
    if !rustix::process::geteuid().is_root() {
        // An engine's networks are root's. The second run of these stories, as an ordinary user, has nothing to add.
        if std::env::var_os("TIDEGATE_UNDER_TEST").is_none() {
            crate::support::skip("a_socket_listens_in_a_network_that_somebody_else_has_made", "an engine's networks are root's");
        }
        return;
    }
    let mut other = Command::new("unshare")
        .args(["--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0; 3];
    other.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    let network = std::fs::File::open(format!("/proc/{}/ns/net", other.id())).unwrap();
    let listener = TcpListener::from(sandbox::listen_inside(network.as_fd(), 9128).unwrap());
    let connect = "import socket; print(socket.create_connection(('127.0.0.1', 9128)).recv(9).decode())";
    let inside = Command::new("nsenter")
        .args(["--net", "--target", &other.id().to_string(), "python3", "-c", connect])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    listener.set_nonblocking(false).unwrap();
    let (mut client, _) = listener.accept().unwrap();
    client.write_all(b"from here").unwrap();
    drop(client);
    assert_eq!(String::from_utf8_lossy(&inside.wait_with_output().unwrap().stdout), "from here\n");
    assert!(std::net::TcpStream::connect("127.0.0.1:9128").is_err(), "here nobody listens");
    other.kill().unwrap();
    other.wait().unwrap();
}
