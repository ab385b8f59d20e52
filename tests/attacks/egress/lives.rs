//! How long a proxy lives, what it may do, and what its end means.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tidegate::adapters::sandbox;
use tidegate::model::outcome::Outcome;

use super::{Machine, only};

/// Processes that hold a lock file open.
fn holders(lock: &Path) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let holds = |pid: &u32| {
        std::fs::read_dir(format!("/proc/{pid}/fd"))
            .is_ok_and(|files| files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == lock)))
    };
    pids.filter(|pid| *pid != std::process::id() && holds(pid)).collect()
}

fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}

fn kill(pid: u32) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

async fn nobody_holds(lock: &Path) {
    for _ in 0..3000 {
        if holders(lock).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?} hold the lock of a step that has ended", holders(lock));
}

/// The supervisor of a step and its proxy, once the step says `up`.
async fn found(machine: &Machine, node: &str) -> (u32, u32) {
    let (lock, log) = (machine.lock(node), machine.state.path().join(format!("{node}.log")));
    while !std::fs::read_to_string(&log).unwrap_or_default().contains("up: 200") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let holders: HashSet<u32> = holders(&lock).into_iter().collect();
    let supervisor = *holders.iter().find(|pid| holders.iter().any(|other| parent(*other) == **pid)).unwrap();
    // The other child of the supervisor, if there is one, is the sandbox's helper, which has no filter.
    let filtered = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains("Seccomp:\t2");
    let proxies: Vec<u32> = holders.iter().copied().filter(|pid| parent(*pid) == supervisor && filtered(pid)).collect();
    assert_eq!(proxies.len(), 1, "{holders:?}");
    (supervisor, proxies[0])
}

fn server() -> (std::net::TcpListener, String) {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    (server, address)
}

#[tokio::test]
async fn a_proxy_has_no_rights_serves_no_neighbour_and_dies_with_its_supervisor() {
    let (machine, (_server, address)) = (Machine::new(), server());
    let watching = async {
        let (supervisor, proxy) = found(&machine, "one").await;
        // The same port inside, and another proxy behind it.
        let (said, _) = machine.said("two", only(&[]), &format!("show('two', connect('{address}'))")).await;
        assert_eq!(said, "two: 403\n");
        let status = std::fs::read_to_string(format!("/proc/{proxy}/status")).unwrap();
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
    let ((_, result), ()) = tokio::join!(machine.step("one", network, &script), watching);
    assert!(matches!(result.outcome, Outcome::Infrastructure { .. }), "{result:?}");
    nobody_holds(&machine.lock("one")).await;
}

#[tokio::test]
async fn a_proxy_dies_with_its_step() {
    let (machine, (_server, address)) = (Machine::new(), server());
    let (said, egress) = machine.said("one", only(&[&address]), &format!("kept = tunnel('{address}')\nshow('up', kept[1])")).await;
    assert_eq!((said.as_str(), egress.attempts.len()), ("up: 200\n", 1));
    nobody_holds(&machine.lock("one")).await;
}

#[tokio::test]
async fn a_proxy_that_is_killed_opens_nothing_and_its_record_is_known_to_be_lost() {
    let (machine, (_server, address)) = (Machine::new(), server());
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
    let ((said, egress), ()) = tokio::join!(machine.said("one", network, &script), killing);
    assert_eq!(said, "up: 200\nthen: Connection refused Network is unreachable\n");
    assert!(egress.lost && egress.attempts.is_empty());
}
