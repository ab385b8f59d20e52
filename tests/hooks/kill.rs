//! `kill -9` under a stream of deliveries: what was answered is there.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tidegate::adapters::deliveries::{Deliveries, Filter, Keep, Page};

use crate::client::{Post, read};
use crate::server::Process;

/// `TIDEGATE_TEST_KILLS=300` for the long way.
fn kills() -> usize {
    std::env::var("TIDEGATE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// Sends until the server is gone; the ids of what was answered well.
fn stream(address: std::net::SocketAddr, next: &AtomicUsize, over: &AtomicBool) -> Vec<String> {
    use std::io::Write as _;
    let mut answered = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let Ok(mut stream) = std::net::TcpStream::connect(address) else { break };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
        loop {
            let id = format!("d-{}", next.fetch_add(1, Ordering::Relaxed));
            let post = Post::new(&id, "push", format!(r#"{{"id":"{id}","filling":"{}"}}"#, "x".repeat(5000)));
            if stream.write_all(&post.bytes()).is_err() || read(&mut stream).status != 202 {
                break;
            }
            answered.push(id);
        }
    }
    answered
}

#[test]
fn no_delivery_that_was_answered_is_lost_and_none_is_there_twice() {
    let folder = TempDir::with_prefix("tidegate-hooks-").expect("a folder");
    let (next, mut answered) = (AtomicUsize::new(0), BTreeSet::new());
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..kills() {
        let mut process = Process::start(folder.path());
        let (address, over) = (process.address, AtomicBool::new(false));
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| stream(address, &next, &over))).collect();
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            std::thread::sleep(Duration::from_millis(seed % 250));
            process.kill();
            over.store(true, Ordering::Relaxed);
            answered.extend(all.into_iter().flat_map(|one| one.join().expect("no panic")));
        });
    }
    all_there(folder.path(), &answered, kills());
}

/// As while one hands over to the next: two servers, one folder.
#[test]
fn two_servers_of_one_folder_lose_nothing_either() {
    let folder = TempDir::with_prefix("tidegate-hooks-").expect("a folder");
    let (next, mut answered) = (AtomicUsize::new(0), BTreeSet::new());
    for _ in 0..kills().div_ceil(4) {
        let mut processes = [Process::start(folder.path()), Process::start(folder.path())];
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (next, over) = (&next, &over);
            let addresses = processes.each_ref().map(|process| process.address);
            let all: Vec<_> = (0..4).map(|n| addresses[n % 2]).map(|to| scope.spawn(move || stream(to, next, over))).collect();
            let before = next.load(Ordering::Relaxed);
            while next.load(Ordering::Relaxed) < before + 40 && all.iter().any(|one| !one.is_finished()) {
                std::thread::sleep(Duration::from_millis(1));
            }
            processes[0].kill();
            std::thread::sleep(Duration::from_millis(20));
            processes[1].kill();
            over.store(true, Ordering::Relaxed);
            answered.extend(all.into_iter().flat_map(|one| one.join().expect("no panic")));
        });
    }
    all_there(folder.path(), &answered, 2);
}

/// Each once, and whole; more than so many.
fn all_there(folder: &Path, answered: &BTreeSet<String>, least: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let store = Deliveries::open(folder, Keep::default()).expect("it opens after a kill");
    let stored = runtime.block_on(store.list(Filter::default(), Page { before: None, limit: usize::MAX })).expect("a list");
    let ids: BTreeSet<String> = stored.iter().map(|known| known.id.to_string()).collect();
    assert_eq!(ids.len(), stored.len(), "none twice");
    let lost: Vec<_> = answered.difference(&ids).collect();
    assert!(lost.is_empty(), "{} of {} answered are lost: {lost:?}", lost.len(), answered.len());
    assert!(answered.len() > least, "{} were answered: the test has not met a stream", answered.len());
    for known in &stored {
        let delivery = runtime.block_on(store.load(&known.id)).expect("read").expect("whole");
        assert!(String::from_utf8_lossy(&delivery.body).contains(known.id.as_str()));
    }
}
