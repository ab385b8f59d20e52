//! Attacks on the machine's resources, by a whole invocation: each takes what it can where it may, and is stopped where it may not.

use std::time::Duration;

use tidegate::adapters::sandbox;
use tidegate::model::invocation::{CaptureLimits, InvocationSpec};
use tidegate::model::limits::Resources;
use tidegate::model::outcome::Outcome;

use crate::whole::{Ended, NONE, run, run_all_of, spec};

/// Both: without the limit and with it.
async fn both(limited: Resources, script: &str) -> (Ended, Ended) {
    let (without, with) = (run(NONE, CaptureLimits::default(), script).await, run(limited, CaptureLimits::default(), script).await);
    assert_eq!(without.result.outcome, Outcome::Succeeded, "{}", without.log);
    for ended in [&without, &with] {
        assert_eq!(ended.left, Vec::<String>::new());
    }
    (without, with)
}

#[tokio::test]
async fn a_fork_bomb() {
    // Each waits for somebody who never comes.
    let script = "mkfifo never; n=0; while [ $n -lt 300 ]; do (read word < never) & n=$((n+1)); done; echo $n; exit 0";
    let (without, with) = both(Resources { pids: Some(100), ..NONE }, script).await;
    assert!(without.log.contains("300"));
    if with.holds("cgroup-pids") {
        assert_eq!(with.reason(), "wanted more processes at once than its limit of 100: raise `resources: { pids: … }`");
    }
    // The same, without end, against the limit that every step has.
    if with.holds("cgroup-pids") {
        // Whether the script itself still gets to its end before its time is over is the scheduler's affair.
        let script = "bomb() { bomb | bomb & }; bomb; sleep 2; exit 1";
        let bomb = run_all_of(InvocationSpec { timeout: Duration::from_secs(10), grace: Duration::from_secs(1), ..spec(script) }).await;
        assert!(matches!(bomb.result.outcome, Outcome::Failed { .. } | Outcome::TimedOut { .. }), "{:?}", bomb.result.outcome);
        assert_eq!(bomb.left, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_memory_bomb() {
    let script = "python3 -c \"x = bytearray(200 << 20); print(len(x))\"";
    let (without, with) = both(Resources { memory: Some(64 << 20), ..NONE }, script).await;
    assert!(without.result.record.peak_memory_bytes.unwrap() >= 200 << 20);
    if with.holds("cgroup-memory") {
        assert_eq!(with.reason(), "needed more memory than its limit of 64 MiB: raise `resources: { memory: … }`");
        assert!(with.result.record.peak_memory_bytes.unwrap() <= 64 << 20);
    }
}

#[tokio::test]
async fn a_memory_bomb_of_many_small_processes() {
    // All of them are there at once, however long each takes to come: they wait for one another, unless one was killed.
    let script = "mkdir here; for n in 1 2 3 4 5 6; do { python3 -c \"import os, time
x = bytearray(30 << 20)
open('here/$n', 'w')
while len(os.listdir('here')) < 6 and not os.path.exists('lost'): time.sleep(0.02)\" || { touch lost; exit 1; }; } & pids=\"${pids:-} $!\"; done
for pid in $pids; do wait $pid; done";
    let (_, with) = both(Resources { memory: Some(96 << 20), ..NONE }, script).await;
    if with.holds("cgroup-memory") {
        assert!(with.reason().starts_with("needed more memory than its limit of 96 MiB"), "{}", with.reason());
    }
}

#[tokio::test]
async fn memory_hidden_in_shm_and_tmp_counts() {
    for place in ["/dev/shm", "/tmp"] {
        let script = format!("head -c 200M /dev/zero > {place}/hoard");
        let (_, with) = both(Resources { memory: Some(64 << 20), ..NONE }, &script).await;
        if with.holds("cgroup-memory") {
            assert!(with.reason().starts_with("needed more memory than its limit of 64 MiB"), "{}", with.reason());
        }
    }
}

#[tokio::test]
async fn a_tmp_without_end() {
    let ended = run(NONE, CaptureLimits::default(), "head -c 2000M /dev/zero > /dev/shm/hoard").await;
    assert!(ended.log.contains("No space left on device"), "{}", ended.log);
}

#[tokio::test]
async fn processors_are_shared() {
    let script = "python3 -c \"import time; end = time.time() + 1.5\nwhile time.time() < end: pass\"";
    let (without, with) = both(Resources { cpu: Some(0.2), ..NONE }, script).await;
    if with.holds("cgroup-cpu") {
        // Of the time that it took, however much that was on a machine with other things to do; and what one period may be late.
        let record = &with.result.record;
        let (used, most) = (record.cpu_us().unwrap(), record.phases.run_us / 10 * 3 + 100_000);
        assert!(used < most, "{used} of {most}");
        assert!(without.result.record.phases.run_us > 0);
    }
}

#[tokio::test]
async fn a_disk_filled_by_one_file() {
    let (_, with) = both(Resources { disk: Some(32 << 20), ..NONE }, "head -c 64M /dev/zero > big").await;
    assert_eq!(with.reason(), "wrote more than its limit of 32 MiB to its workspace: raise `resources: { disk: … }`, or write to /tmp");
}

#[tokio::test]
async fn a_disk_filled_by_many_files() {
    let script = "for n in 1 2 3 4 5 6 7 8 9; do head -c 8M /dev/zero > big$n; sleep 0.1; done";
    let (_, with) = both(Resources { disk: Some(32 << 20), ..NONE }, script).await;
    assert!(with.reason().starts_with("wrote more than its limit of 32 MiB"), "{}", with.reason());
}

#[tokio::test]
async fn a_disk_filled_where_nobody_may_look() {
    let script = "mkdir hidden; cd hidden; for n in 1 2 3 4 5 6 7 8 9; do head -c 8M /dev/zero > big$n; done; cd ..; chmod 0 hidden; sleep 1";
    let (_, with) = both(Resources { disk: Some(32 << 20), ..NONE }, script).await;
    assert!(with.reason().starts_with("wrote more than its limit of 32 MiB"), "{}", with.reason());
}

/// Who may not list a folder may still write to it.
#[tokio::test]
async fn a_disk_filled_in_a_folder_that_can_not_be_listed() {
    let script =
        "mkdir hidden; chmod 300 hidden; for n in 1 2 3 4 5 6 7 8 9; do head -c 8M /dev/zero > hidden/big$n; sleep 0.1; done; chmod 700 hidden";
    let (_, with) = both(Resources { disk: Some(32 << 20), ..NONE }, script).await;
    assert!(with.reason().starts_with("wrote more than its limit of 32 MiB"), "{}", with.reason());
}

/// Further down than the longest path says.
#[tokio::test]
async fn a_disk_filled_far_down() {
    let script = "name=$(printf '%0200d' 1); n=0; while [ $n -lt 40 ]; do mkdir $name; cd -P $name 2>/dev/null || break; n=$((n+1)); done
        python3 -c 'import os
for n in range(40):
    name = \"x\" * 200; os.mkdir(name); os.chdir(name)
for n in range(9): open(\"big%d\" % n, \"wb\").write(bytes(8 << 20))'";
    let (_, with) = both(Resources { disk: Some(32 << 20), ..NONE }, script).await;
    assert!(with.reason().starts_with("wrote more than its limit of 32 MiB"), "{}", with.reason());
}

#[tokio::test]
async fn inodes_used_up_by_empty_files() {
    let script = "mkdir many; cd many; python3 -c 'for n in range(3000): open(str(n), \"w\")'";
    let limits = CaptureLimits { files: 1000, ..CaptureLimits::default() };
    let (without, with) = (run(NONE, CaptureLimits::default(), script).await, run(NONE, limits.clone(), script).await);
    assert_eq!(without.result.outcome, Outcome::Succeeded, "{}", without.log);
    assert_eq!(with.reason(), "made more files in its workspace than its limit of 1000: pack them into one");
    // Names of one file are files as well: a folder of them takes as much to look at.
    let script = "echo x > it; mkdir many; python3 -c 'import os\nfor n in range(3000): os.link(\"it\", \"many/%d\" % n)'";
    assert!(run(NONE, limits, script).await.reason().starts_with("made more files"));
}

#[tokio::test]
async fn inodes_used_up_by_folders_in_folders() {
    let script = "python3 -c 'import os\nfor n in range(700): os.mkdir(\"x\"); os.chdir(\"x\")'";
    let ended = run(NONE, CaptureLimits::default(), script).await;
    assert!(ended.reason().starts_with("made folders in its workspace so deep"), "{}", ended.reason());
    assert_eq!(ended.left, [""; 0], "and they are gone");
}

#[tokio::test]
async fn a_disk_filled_just_before_the_end() {
    let script = "for n in 1 2 3 4 5 6 7 8 9; do head -c 8M /dev/zero > big$n; done";
    let (_, with) = both(Resources { disk: Some(32 << 20), ..NONE }, script).await;
    assert!(with.reason().starts_with("wrote more than its limit of 32 MiB"), "{}", with.reason());
}

#[tokio::test]
async fn a_file_of_holes_takes_nothing_and_is_no_way_around() {
    let ended = run(
        Resources { disk: Some(32 << 20), ..NONE },
        CaptureLimits::default(),
        "truncate -s 16M hole; dd if=/dev/zero of=hole bs=1M seek=64 count=1",
    )
    .await;
    assert!(ended.reason().contains("wrote more than its limit of 32 MiB"), "{}", ended.reason());
}

#[tokio::test]
async fn a_flood_of_log() {
    let limits = CaptureLimits { log: 1 << 20, ..CaptureLimits::default() };
    let script = "head -c 20000000 /dev/zero";
    let (without, with) = (run(NONE, CaptureLimits::default(), script).await, run(NONE, limits, script).await);
    assert_eq!(without.log.len(), 20_000_000);
    assert!(with.log.len() < (1 << 20) + 200 && with.log.ends_with("the rest is counted and dropped]\n"));
    assert_eq!((with.result.record.log_bytes, with.result.record.log_dropped_bytes), (1 << 20, 20_000_000 - (1 << 20)));
}

/// No control group is left by any of the stories here, in the groups that this process is in: what was left by somebody elsewhere is found by who starts there.
#[test]
fn no_group_outlives_its_helper() {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own: Vec<(&str, &str)> = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':')).collect();
    let places = mounts.lines().filter_map(|line| line.split_once(" - cgroup")).flat_map(|(before, after)| {
        let (at, options) = (before.split(' ').nth(4).unwrap_or_default(), after.rsplit(' ').next().unwrap_or_default());
        let is_here = move |controllers: &str| options.split(',').any(|option| controllers.split(',').any(|one| one == option));
        let here = own.iter().filter(move |(controllers, _)| if after.starts_with('2') { controllers.is_empty() } else { is_here(controllers) });
        // With version 2 they may also be made in a group above.
        let above = if after.starts_with('2') { 16 } else { 1 };
        here.flat_map(move |(_, group)| {
            let place = std::path::PathBuf::from(format!("{at}{group}"));
            place.ancestors().take(above).take_while(|place| place.starts_with(at)).map(std::path::Path::to_owned).collect::<Vec<_>>()
        })
    });
    let places: Vec<_> = places.collect();
    let left = || -> Vec<String> {
        let entries = places.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten().filter_map(Result::ok);
        let names = entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_string_lossy().into_owned());
        let is_dead = |name: &String| {
            let helper = name.strip_prefix("tidegate-").and_then(|rest| rest.split_once('-'));
            helper.is_some_and(|(pid, _)| !std::path::Path::new(&format!("/proc/{pid}")).exists())
        };
        names.filter(is_dead).collect()
    };
    // Another start may just be removing one.
    for _ in 0..200 {
        sandbox::sweep_groups();
        if left().is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(left(), Vec::<String>::new());
}
