//! Invocations in the local sandbox (`adapters/sandbox`), each owned by a supervisor (`supervisor/`).

mod attended;
mod build;
mod image;
mod services;
mod supervisor;
mod surroundings;
mod watch;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::supervisor::desk::{Asked, Desk};
use super::supervisor::infrastructure;
use super::supervisor::place::Place;
use super::supervisor::request::Home;
use super::{Choice, Executor, Watcher, Way};
use crate::adapters::image::{Image, Images, Keyring, PullPolicy};
use crate::adapters::sandbox::{self, Isolation};
use crate::adapters::workspace::Store;
use crate::model::id::{NodeId, RunId};
use crate::model::invocation::{InvocationResult, InvocationSpec};
use crate::model::limits::Network;
use crate::model::outcome::Outcome;

use image::{NotObtained, Obtained};

pub use attended::{Attended, Whence};
pub(super) use supervisor::perform;

/// What the sandbox shall be like, besides what the step says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) isolation: Isolation,
    pub(super) host_tools: Vec<PathBuf>,
    /// Protections without which the step must not begin.
    required: Vec<String>,
    /// The image that it runs in, which is there.
    image: Option<Image>,
    /// Those of its services, in their order, which are there as well.
    services: Vec<Image>,
}

impl Setup {
    pub(super) fn name(&self) -> &'static str {
        match self.isolation {
            Isolation::Full => "sandbox",
            Isolation::None => "unisolated",
        }
    }
}

/// One that has not begun, and will not in the sandbox. As long as it is there, nobody else begins it.
pub(super) struct Unfit {
    pub(super) place: Place,
    lock: File,
    pub(super) spec: InvocationSpec,
    pub(super) watcher: Watcher,
    outcome: Outcome,
    /// `None`: for a reason that is no matter of sandboxes.
    pub(super) why: Option<String>,
    /// Bytes that are in its log already, and how much of its time is over.
    pub(super) said: u64,
    pub(super) took: Duration,
}

impl Unfit {
    /// For somebody who makes a record of his own.
    pub(super) fn pass_on(self) -> (InvocationSpec, Watcher, u64, Duration) {
        let Self { place, lock, spec, watcher, said, took, .. } = self;
        // Where it can not be removed, the next one says so.
        let _ = place.remove();
        drop(lock);
        (spec, watcher, said, took)
    }
}

#[derive(Debug)]
pub struct SandboxExecutor {
    desk: Desk,
    state: PathBuf,
    store: Store,
    /// Without images: those are the step's.
    setup: Setup,
    choice: Choice,
    pull: PullPolicy,
    /// Bytes of images that are kept.
    keep_images: u64,
    keyring: Keyring,
    /// Opened when the first step wants one.
    images: OnceLock<Images>,
}

impl SandboxExecutor {
    /// `state`: the state folder, which `store` is in.
    pub fn new(state: &Path, store: Store, host_tools: Vec<PathBuf>, isolation: Isolation) -> Self {
        let setup = Setup { isolation, host_tools, required: Vec::new(), image: None, services: Vec::new() };
        Self {
            desk: Desk::new(state, store.clone(), setup.name()),
            state: state.to_owned(),
            store,
            setup,
            choice: Choice::Sandbox,
            pull: PullPolicy::Missing,
            keep_images: u64::MAX,
            keyring: Keyring::default(),
            images: OnceLock::new(),
        }
    }

    /// By which word it came to this executor, for the record.
    #[must_use]
    pub fn chosen(self, choice: Choice) -> Self {
        Self { choice, ..self }
    }

    /// `keep`: bytes of images that are kept when another one was pulled.
    #[must_use]
    pub fn pulling(self, pull: PullPolicy, keep: u64) -> Self {
        Self { pull, keep_images: keep, ..self }
    }

    /// Who we are to registries.
    #[must_use]
    pub fn knowing(self, keyring: Keyring) -> Self {
        Self { keyring, ..self }
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

    /// Runs what has run before once more, outside of its run: its record is kept under another name, and it ends when nobody follows it any more.
    pub async fn invoke_aside(&self, name: &RunId, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        let place = self.desk.place(name, &spec.node, spec.attempt);
        let result = match self.invoke_at(place.clone(), spec, log, watcher, true).await {
            Ok(result) => result,
            Err(unfit) => self.keep_without(&unfit),
        };
        // What can not be removed now is swept later.
        let _ = place.remove();
        result
    }

    /// Where its image lets it. `Err`: it does not, and nothing has begun.
    pub(super) async fn invoke_where_it_fits(&self, spec: InvocationSpec, log: &Path, watcher: Watcher) -> Result<InvocationResult, Box<Unfit>> {
        let place = self.desk.place(&spec.run, &spec.node, spec.attempt);
        self.invoke_at(place, spec, log, watcher, false).await
    }

    /// What comes of one that nobody else takes.
    pub(super) fn keep_without(&self, unfit: &Unfit) -> InvocationResult {
        let Unfit { place, spec, outcome, said, .. } = unfit;
        let mut result = self.desk.without(outcome.clone(), false);
        let way = Way::of(self.choice, spec.image.is_some(), self.setup.isolation);
        (result.record.chosen, result.record.log_bytes) = (Some(way.to_string()), *said);
        // Best effort: whoever asks again is told that it did not begin.
        let _ = place.keep(&result);
        result
    }

    async fn invoke_at(
        &self,
        place: Place,
        spec: InvocationSpec,
        log: &Path,
        mut watcher: Watcher,
        for_followers: bool,
    ) -> Result<InvocationResult, Box<Unfit>> {
        let lock = match self.desk.admit(&place) {
            Ok(lock) => lock,
            Err(refused) => return Ok(*refused),
        };
        let way = Way::of(self.choice, spec.image.is_some(), self.setup.isolation);
        let Obtained { image, services, said, took } = match self.obtain(&spec, log, &mut watcher).await {
            Ok(obtained) => obtained,
            Err(NotObtained { outcome, unfit, said, took }) => {
                let unfit = Unfit { place, lock, spec, watcher, outcome, why: unfit, said, took };
                return if unfit.why.is_some() { Err(Box::new(unfit)) } else { Ok(self.keep_without(&unfit)) };
            }
        };
        let (image, lease) = image.unzip();
        let (services, leases): (Vec<_>, Vec<_>) = services.into_iter().unzip();
        let Setup { isolation, host_tools, .. } = &self.setup;
        // One that waits has a network of its own, without services.
        let fits = spec.network != Network::Open && services.is_empty() && host_tools.is_empty();
        let warm = sandbox::is_warm() && *isolation == Isolation::Full && fits;
        let home = Home::Sandbox(Box::new(Setup { image, services, ..self.setup.clone() }));
        let result = self.desk.invoke(place, lock, Asked { spec, home, way, said, took, for_followers, warm }, log, watcher).await;
        drop((lease, leases));
        Ok(result)
    }
}

impl Executor for SandboxExecutor {
    fn desk(&self) -> &Desk {
        &self.desk
    }
    async fn invoke(&self, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        let place = self.desk.place(&spec.run, &spec.node, spec.attempt);
        match self.invoke_at(place, spec, log, watcher, false).await {
            Ok(result) => result,
            Err(unfit) => self.keep_without(&unfit),
        }
    }
    async fn resume(&self, run: &RunId, node: &NodeId, attempt: u32, log: &Path, watcher: Watcher) -> InvocationResult {
        self.desk.resume(run, node, attempt, log, watcher).await
    }
}
