//! What `--executor auto` is on a machine that can isolate steps: the sandbox; and an engine for images that the sandbox can not stand on, where that is known
//! before anything has begun. The engine is looked for when there is need of one.

use std::path::{Path, PathBuf};

use super::container::{ContainerExecutor, Engine, EngineError, Pull};
use super::open::{engine_at, lacking};
use super::sandbox::SandboxExecutor;
use super::{Desk, Executor, Watcher, Way, Why};
use crate::adapters::image::Keyring;
use crate::adapters::workspace::Store;
use crate::model::id::{NodeId, RunId};
use crate::model::invocation::{InvocationResult, InvocationSpec};

#[derive(Debug)]
pub struct Auto {
    pub(super) sandbox: SandboxExecutor,
    pub(super) engines: Engines,
}

/// Where an engine may be, and what is asked of it.
#[derive(Debug)]
pub(super) struct Engines {
    pub(super) state: PathBuf,
    pub(super) store: Store,
    pub(super) named: Option<String>,
    pub(super) pull: Pull,
    pub(super) keyring: Keyring,
    pub(super) require: Vec<String>,
}

impl Engines {
    async fn open(&self) -> Result<ContainerExecutor, String> {
        let engine: Engine = engine_at(self.named.as_deref()).await.map_err(|error| error.to_string())?;
        if let Some(missing) = lacking(&engine, &self.require) {
            return Err(format!("steps in containers of {} do not have `{missing}`, which the settings require", engine.name));
        }
        let executor = ContainerExecutor::new(&self.state, self.store.clone(), engine, self.pull).map_err(|error| error.to_string())?;
        Ok(executor.knowing(self.keyring.clone()))
    }

    /// Whether anything of this state folder was ever in one.
    fn were_used(&self) -> bool {
        self.state.join("identity").exists()
    }
}

impl Auto {
    pub(super) async fn tidy(&self) -> Result<usize, EngineError> {
        if !self.engines.were_used() {
            return Ok(0);
        }
        match self.engines.open().await {
            Ok(executor) => executor.tidy().await,
            // What was in one that is not there any more is gone, or found when it is there again.
            Err(_) => Ok(0),
        }
    }
}

impl Executor for Auto {
    // What is known of an invocation is in its record, whichever way it went; what it had in an engine, `tidy` finds.
    fn desk(&self) -> &Desk {
        self.sandbox.desk()
    }
    async fn invoke(&self, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        let unfit = match self.sandbox.invoke_where_it_fits(spec, log, watcher).await {
            Ok(result) => return result,
            Err(unfit) => unfit,
        };
        // In an engine there are no tools of this machine, and no image is made of what a step leaves.
        if unfit.spec.image.is_none() || unfit.spec.build.is_some() {
            return self.sandbox.keep_without(&unfit);
        }
        let Ok(executor) = self.engines.open().await else { return self.sandbox.keep_without(&unfit) };
        let way = Way::Engine(Why::CanNotStand(unfit.why.clone().unwrap_or_default()));
        let (spec, watcher, said, took) = unfit.pass_on();
        executor.invoke_by(way, spec, log, watcher, said, took).await
    }
    async fn resume(&self, run: &RunId, node: &NodeId, attempt: u32, log: &Path, watcher: Watcher) -> InvocationResult {
        self.sandbox.resume(run, node, attempt, log, watcher).await
    }
}
