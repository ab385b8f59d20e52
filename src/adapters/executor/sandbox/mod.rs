//! Invocations in the local sandbox (`adapters/sandbox`), each owned by a supervisor (`supervisor/`).

mod supervisor;
mod surroundings;
mod watch;

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::supervisor::desk::Desk;
use super::supervisor::request::Way;
use super::{Executor, Standing, Watcher};
use crate::adapters::sandbox::{self, Isolation};
use crate::adapters::workspace::Store;
use crate::model::id::{NodeId, RunId};
use crate::model::invocation::{InvocationResult, InvocationSpec};
use crate::model::limits::Network;

pub(super) use supervisor::perform;
pub(super) use surroundings::{DISK, INNER, Places, TMP, WORKSPACE, limits_of, told};

/// What the sandbox shall be like, besides what the step says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) isolation: Isolation,
    pub(super) host_tools: Vec<PathBuf>,
    /// Protections without which the step must not begin.
    required: Vec<String>,
}

impl Setup {
    pub(super) fn name(&self) -> &'static str {
        match self.isolation {
            Isolation::Full => "sandbox",
            Isolation::None => "unisolated",
        }
    }
}

#[derive(Debug)]
pub struct SandboxExecutor {
    desk: Desk,
    setup: Setup,
}

impl SandboxExecutor {
    /// `state`: the state folder, which `store` is in.
    pub fn new(state: &Path, store: Store, host_tools: Vec<PathBuf>, isolation: Isolation) -> Self {
        let setup = Setup { isolation, host_tools, required: Vec::new() };
        Self { desk: Desk::new(state, store, setup.name()), setup }
    }

    /// Protections, by their names in a record (or `cgroup`), without which no step begins.
    #[must_use]
    pub fn requiring(mut self, required: Vec<String>) -> Self {
        self.setup.required = required;
        self
    }

    pub fn isolation(&self) -> Isolation {
        self.setup.isolation
    }
}

impl Executor for SandboxExecutor {
    async fn invoke(&self, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        let Setup { isolation, host_tools, .. } = &self.setup;
        let warm = sandbox::is_warm() && *isolation == Isolation::Full && spec.network != Network::Open && host_tools.is_empty();
        self.desk.invoke(spec, Way::Sandbox(self.setup.clone()), warm, log, watcher).await
    }
    async fn resume(&self, run: &RunId, node: &NodeId, attempt: u32, log: &Path, watcher: Watcher) -> InvocationResult {
        self.desk.resume(run, node, attempt, log, watcher).await
    }
    fn standing(&self, run: &RunId, node: &NodeId, attempt: u32) -> Standing {
        self.desk.standing(run, node, attempt)
    }
    fn forget(&self, run: &RunId, node: &NodeId, attempt: u32) {
        self.desk.forget(run, node, attempt);
    }
    fn recorded(&self) -> io::Result<Vec<String>> {
        self.desk.recorded()
    }
    fn sweep(&self, runs: &[String]) -> io::Result<usize> {
        self.desk.sweep(runs)
    }
}
