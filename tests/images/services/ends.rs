//! Services end with their step, whoever dies.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate::model::invocation::InvocationSpec;
use tidegate::model::service::Ready;

use super::{Stage, service, start};
use crate::registry::spec;

/// Who has a file open: the supervisor, whose parent has not, and the helpers of its sandboxes, which are its children.
fn holders(lock: &Path) -> (Vec<u32>, Vec<u32>) {
    let pids: Vec<u32> = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    let has = |pid: &u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.into_iter().any(|file| std::fs::read_link(file.path()).is_ok_and(|path| path == lock))
    };
    let all: Vec<u32> = pids.into_iter().filter(has).collect();
    let parent = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok()).unwrap_or(0)
    };
    all.iter().copied().partition(|pid| !all.contains(&parent(pid)))
}

fn kill(pid: u32) {
    let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), rustix::process::Signal::KILL);
}

/// Processes of this machine that have such a word in their arguments.
fn living(word: &str) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
}

pub fn nobody_is_left(word: &str) {
    for _ in 0..500 {
        if living(word) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} processes with {word:?} are left", living(word));
}

#[tokio::test]
async fn services_end_with_the_step_however_that_ends() {
    let Some(stage) = Stage::new("services_end_with_the_step_however_that_ends") else { return };
    let mark = format!("{}7", std::process::id());
    let idle = stage.image("idle:1", &["/bin/sh", "-c", &format!("echo up; sleep 1000{mark} & trap '' TERM; wait; sleep 1000{mark}")]).await;
    let with = |script: &str| InvocationSpec {
        services: vec![service("db", &idle, Some(Ready::Command("true".to_owned())))],
        grace: Duration::from_millis(100),
        ..spec(&idle, script)
    };
    for (script, timeout, expected) in [("true", 60, "succeeded"), ("exit 1", 60, "failed"), ("sleep 1000", 1, "timed-out")] {
        let (result, _) = stage.run(InvocationSpec { timeout: Duration::from_secs(timeout), ..with(script) }).await;
        assert_eq!(result.outcome.word(), expected);
        // Nothing has to be waited for: it was gone before the result was there.
        assert_eq!(living(&format!("1000{mark}")), 0);
        assert_eq!(result.record.services[0].ended, None, "nobody blames it for being ended");
    }
    let cancelled = start(&stage.world, with("echo up; sleep 1000"), "cancelled");
    cancelled.has_said("up").await;
    assert_eq!(cancelled.stop().await.outcome.word(), "cancelled");
    assert_eq!(living(&format!("1000{mark}")), 0);
    // While they are waited for.
    let waited = InvocationSpec { services: vec![service("db", &idle, Some(Ready::Port(1)))], ..with("true") };
    let waiting = start(&stage.world, waited, "waiting");
    while living(&format!("1000{mark}")) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let result = waiting.stop().await;
    assert_eq!(result.outcome.word(), "cancelled", "{result:?}");
    assert_eq!(living(&format!("1000{mark}")), 0);
    // And when whoever looks after them is killed: the supervisor, one of the helpers, or all of them.
    for victim in ["supervisor", "helper", "all"] {
        let killed = start(&stage.world, with("echo up; sleep 1000"), victim);
        killed.has_said("up").await;
        let lock = stage.world.state.path().join("invocations/r1/build.1/lock");
        let (supervisor, helpers) = holders(&lock);
        assert!(supervisor.len() == 1 && helpers.len() >= 2, "{supervisor:?} {helpers:?}");
        let victims = match victim {
            "supervisor" => supervisor,
            "helper" => helpers,
            _ => [supervisor, helpers].concat(),
        };
        victims.into_iter().for_each(kill);
        let result = killed.task.await.unwrap();
        assert_eq!(result.outcome.word(), "infrastructure", "{victim}: {result:?}");
        nobody_is_left(&format!("1000{mark}"));
    }
    assert_eq!(stage.world.leftovers(), Vec::<PathBuf>::new());
}
