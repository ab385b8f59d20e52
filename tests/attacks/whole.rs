//! A whole invocation, with its supervisor: limits, log and outputs.

use std::time::Duration;

use tempfile::TempDir;
use tidegate::adapters::executor::{Executor as _, LogSink, SandboxExecutor, Watcher};
use tidegate::adapters::sandbox::{self, Isolation};
use tidegate::adapters::workspace::Store;
use tidegate::model::invocation::{CaptureLimits, InvocationResult, InvocationSpec};
use tidegate::model::limits::Resources;
use tidegate::model::outcome::Outcome;

use crate::step::step;
use crate::support::program;

struct Silent;

impl LogSink for Silent {
    fn write(&mut self, _: &[u8]) {}
}

pub struct Ended {
    pub result: InvocationResult,
    pub log: String,
    /// Scratch folders that are left of it.
    pub left: Vec<String>,
    /// Where its outputs are.
    pub state: TempDir,
}

impl Ended {
    /// The reason why it failed.
    pub fn reason(&self) -> &str {
        match &self.result.outcome {
            Outcome::Failed { reason, .. } => reason,
            other => panic!("{other:?}: {}", self.log),
        }
    }

    /// Whether this machine lets whoever runs this hold a limit. Where it does not, the record says so.
    pub fn holds(&self, limit: &str) -> bool {
        let held = self.result.record.isolation.iter().any(|name| name == limit);
        assert_ne!(held, self.result.record.unheld.iter().any(|name| name == limit), "{:?}", self.result.record);
        // Where the machine is known to (tests/machine), nothing less will do.
        assert!(held || std::env::var_os("TIDEGATE_TEST_LIMITS_HELD").is_none(), "{:?}", self.result.record);
        held
    }
}

pub const NONE: Resources = Resources { cpu: None, memory: None, pids: None, disk: None };

/// A step like any other.
pub fn spec(script: &str) -> InvocationSpec {
    // Only what hangs lets its time run out.
    InvocationSpec { timeout: Duration::from_secs(300), ..step("attack", script) }
}

pub async fn run(resources: Resources, limits: CaptureLimits, script: &str) -> Ended {
    run_all_of(InvocationSpec { resources, limits, ..spec(script) }).await
}

/// In a state folder of its own.
pub async fn run_all_of(spec: InvocationSpec) -> Ended {
    sandbox::set_program(program());
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path(), sandbox::outer_uid()).unwrap();
    let executor = SandboxExecutor::new(state.path(), store, Vec::new(), Isolation::Full);
    let file = state.path().join("log");
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let result = executor.invoke(spec, &file, Watcher { log: Box::new(Silent), cancel }).await;
    let log = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
    let mut left = left_in(state.path());
    // Its end is told first; then all is removed, which takes seconds for a thousand folders where the disk is told of each.
    for _ in 0..3000 {
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        left = left_in(state.path());
    }
    Ended { result, log, left, state }
}

fn left_in(state: &std::path::Path) -> Vec<String> {
    let scratch = std::fs::read_dir(state.join("scratch")).unwrap().filter_map(Result::ok).filter(|entry| entry.path().is_dir());
    let folders = scratch.flat_map(|process| std::fs::read_dir(process.path()).unwrap().filter_map(Result::ok));
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name != "lock").collect()
}
