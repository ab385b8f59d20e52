//! What `--executor auto` is on a machine that has an engine and isolates nothing without one: steps in images go to the engine. The others have this machine's
//! tools, and run only where it was allowed that they run without isolation.

use std::path::Path;

use super::container::ContainerExecutor;
use super::sandbox::SandboxExecutor;
use super::{Desk, Executor, Watcher};
use crate::model::id::{NodeId, RunId};
use crate::model::invocation::{InvocationResult, InvocationSpec};

#[derive(Debug)]
pub struct Mixed {
    pub(super) container: ContainerExecutor,
    /// `Err`: why steps without an image can not be run.
    pub(super) bare: Result<SandboxExecutor, String>,
    /// Why this machine isolates nothing, and what to do.
    pub(super) lacks: String,
}

impl Executor for Mixed {
    // What is known of an invocation is in its record, and a container of its name is removed where there is one: both ways are the same.
    fn desk(&self) -> &Desk {
        self.container.desk()
    }
    async fn invoke(&self, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        let lacks = &self.lacks;
        match &self.bare {
            _ if spec.build.is_some() => self
                .container
                .refuse(&format!("`build` makes an image of what a step changed in its root, which an engine does not give away, and {lacks}")),
            Ok(_) if spec.image.is_none() && !spec.services.is_empty() => self.container.refuse(&format!(
                "it has services and no `image`, and {lacks}\n  Or give the step an `image: …`: it and its services then run in {}",
                self.container.engine().name
            )),
            _ if spec.image.is_some() => self.container.invoke(spec, log, watcher).await,
            Ok(bare) => bare.invoke(spec, log, watcher).await,
            Err(why) => self.container.refuse(why),
        }
    }
    async fn resume(&self, run: &RunId, node: &NodeId, attempt: u32, log: &Path, watcher: Watcher) -> InvocationResult {
        self.container.resume(run, node, attempt, log, watcher).await
    }
}
