//! Invocations in containers of an engine (Docker, or whatever speaks its API), each owned by a supervisor (`supervisor/`).
//!
//! The supervisor drives the engine; the container has no more of the machine than a sandbox has. Everything in the engine is labelled, so that what a killed
//! supervisor left is found and removed (`reaper.rs`).

mod adopt;
mod bell;
mod counted;
mod engine;
mod gate;
mod image;
mod names;
mod perform;
mod reaper;
mod remove;
mod room;
mod services;
mod shape;
mod signals;
mod surroundings;
mod voice;
mod watch;
mod words;

use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::supervisor::desk::{Asked, Desk};
use super::supervisor::infrastructure;
use super::supervisor::request::Home;
use super::{Choice, Executor, Watcher, Way};
use crate::adapters::image::{Found, ImageError, Keyring};
use crate::adapters::sandbox::Isolation;
use crate::adapters::workspace::Store;
use crate::model::id::{NodeId, RunId};
use crate::model::invocation::{InvocationResult, InvocationSpec};
use crate::model::outcome::{Exit, Outcome};

use adopt::Begun;
use counted::Counter;
use names::{Identity, Labelled};

pub use engine::{Engine, EngineError, find as find_engine};
pub use image::Pull;
pub(super) use perform::perform;

/// The executor's name in records.
pub(super) const NAME: &str = "container";

/// What the container shall be like, besides what the step says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Setup {
    engine: Engine,
    identity: Identity,
    /// What it is called after where that is not its run: an invocation that is done once more beside it.
    #[serde(default)]
    aside: Option<RunId>,
    pull: Pull,
    /// Whether the image's own files can not be changed.
    read_only: bool,
    /// For the registry of its image, where that has to be asked.
    credentials: Found,
    /// For those of its services' images, in their order.
    #[serde(default)]
    service_credentials: Vec<Found>,
    /// What is known of a container that another supervisor has begun.
    #[serde(default)]
    begun: Option<Begun>,
}

impl Setup {
    pub(super) fn is_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Whose it is in the engine.
    fn run_of<'a>(&'a self, spec: &'a InvocationSpec) -> &'a RunId {
        self.aside.as_ref().unwrap_or(&spec.run)
    }
}

#[derive(Debug)]
pub struct ContainerExecutor {
    desk: Desk,
    /// By which word it came to this executor.
    way: Way,
    setup: Setup,
    keyring: Keyring,
}

impl ContainerExecutor {
    /// `state`: the state folder, which `store` is in.
    pub fn new(state: &Path, store: Store, engine: Engine, pull: Pull) -> io::Result<Self> {
        let (identity, credentials) = (Identity::of(state)?, Found::default());
        let setup = Setup { engine, identity, aside: None, pull, read_only: false, credentials, service_credentials: Vec::new(), begun: None };
        let way = Way::of(Choice::Container, true, Isolation::Full);
        Ok(Self { desk: Desk::new(state, store, NAME), way, setup, keyring: Keyring::default() })
    }

    pub fn engine(&self) -> &Engine {
        &self.setup.engine
    }

    /// For the record.
    pub(super) fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// The same, as somebody to registries.
    pub fn knowing(self, keyring: Keyring) -> Self {
        Self { keyring, ..self }
    }

    /// The same, with the image's own files closed to changes.
    pub fn read_only(mut self) -> Self {
        self.setup.read_only = true;
        self
    }

    /// What nobody can have here.
    pub(super) fn refuse(&self, why: &str) -> InvocationResult {
        self.desk.lost(false, why)
    }

    /// Goes on with what has outlived its supervisor, and removes from the engine what nobody can go on with. Answers how many invocations were removed.
    pub async fn tidy(&self) -> Result<usize, EngineError> {
        let silent = |error| EngineError::Silent { socket: self.setup.engine.socket.clone(), why: words::why(&error) };
        let docker = self.setup.engine.connect().map_err(silent)?;
        // An engine that did not answer to the end may have containers yet that are to be gone on with.
        let removed = reaper::sweep(&docker, &self.setup.identity, &self.desk).await.map_err(silent)?;
        counted::sweep(&self.setup.engine, &self.setup.identity, &self.desk);
        Ok(removed)
    }
}

impl ContainerExecutor {
    /// Nobody's program is run, and no password read, for an image that is there.
    async fn credentials(&self, image: &str) -> Result<Found, ImageError> {
        let registry = image::registry_of(image);
        if !self.keyring.may_know(registry) {
            return Ok(Found::default());
        }
        match self.setup.engine.connect() {
            Ok(docker) if image::is_to_be_pulled(&docker, image, self.setup.pull).await => self.keyring.find(registry).await,
            // An engine that does not answer says so to the supervisor as well.
            _ => Ok(Found::default()),
        }
    }

    /// A supervisor that was killed could not, and nobody could go on with it.
    async fn clear(&self, run: &RunId, node: &NodeId, attempt: u32, result: &InvocationResult) {
        if matches!(result.outcome, Outcome::Infrastructure { .. })
            && !self.desk.place(run, node, attempt).is_held()
            && let Ok(docker) = self.setup.engine.connect()
        {
            // What can not be removed now is found by the next sweep.
            let whose = Labelled { run: run.clone(), node: node.clone(), attempt };
            let _ = reaper::clear(&docker, &self.setup.identity, &whose).await;
            let counter = Counter::of(self.setup.engine.groups, &self.setup.identity, self.desk.place(run, node, attempt).path());
            let _ = tokio::task::spawn_blocking(move || counter.remove()).await;
        }
    }
}

impl ContainerExecutor {
    /// Runs what has run before once more, outside of its run: its record and all that it has in the engine is called otherwise, and it ends when nobody follows
    /// it any more.
    pub async fn invoke_aside(&self, name: &RunId, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        let place = self.desk.place(name, &spec.node, spec.attempt);
        let result = self.invoke_as(Some(name), self.way.clone(), spec, log, watcher, (0, Duration::ZERO)).await;
        // What can not be removed now is swept later.
        let _ = place.remove();
        result
    }

    /// `said`: bytes that are in its log already; `took`: how much of its time is over.
    pub(super) async fn invoke_by(
        &self,
        way: Way,
        spec: InvocationSpec,
        log: &Path,
        watcher: Watcher,
        said: u64,
        took: Duration,
    ) -> InvocationResult {
        self.invoke_as(None, way, spec, log, watcher, (said, took)).await
    }

    async fn invoke_as(
        &self,
        aside: Option<&RunId>,
        way: Way,
        spec: InvocationSpec,
        log: &Path,
        watcher: Watcher,
        (said, took): (u64, Duration),
    ) -> InvocationResult {
        let Some(image) = &spec.image else {
            let reason = "it has no `image`, and --executor container runs steps in images only: add `image: …` to it, or leave the option out";
            let outcome = Outcome::Failed { exit: Exit::None, reason: reason.to_owned() };
            return self.desk.without(outcome, false);
        };
        if spec.build.is_some() {
            let reason = "`build` makes an image of what a step changed in its root, which an engine does not give away: run it in Tidegate's own sandbox (`--executor auto` or `sandbox`, where steps can be isolated: `tidegate doctor`)";
            return self.desk.without(Outcome::Failed { exit: Exit::None, reason: reason.to_owned() }, false);
        }
        let mut watcher = watcher;
        let beside = try_join_all(spec.services.iter().map(|service| self.credentials(&service.image)));
        let found = tokio::select! {
            found = async { tokio::try_join!(self.credentials(image), beside) } => found,
            Ok(_) = watcher.cancel.wait_for(|cancelled| *cancelled) => {
                return self.desk.without(Outcome::Cancelled { reason: "it was asked to stop".to_owned() }, false);
            }
        };
        let (credentials, service_credentials) = match found {
            Ok(found) => found,
            Err(error) => return self.desk.without(infrastructure(error), false),
        };
        let setup = Setup { credentials, service_credentials, aside: aside.cloned(), ..self.setup.clone() };
        let (run, node, attempt) = (setup.run_of(&spec).clone(), spec.node.clone(), spec.attempt);
        let home = Home::Container(Box::new(setup));
        let place = self.desk.place(&run, &node, attempt);
        let lock = match self.desk.admit(&place) {
            Ok(lock) => lock,
            Err(refused) => return *refused,
        };
        let asked = Asked { spec, home, way, said, took, for_followers: aside.is_some(), warm: false };
        let result = self.desk.invoke(place, lock, asked, log, watcher).await;
        self.clear(&run, &node, attempt, &result).await;
        result
    }
}

impl Executor for ContainerExecutor {
    fn desk(&self) -> &Desk {
        &self.desk
    }
    async fn invoke(&self, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        self.invoke_by(self.way.clone(), spec, log, watcher, 0, Duration::ZERO).await
    }
    async fn resume(&self, run: &RunId, node: &NodeId, attempt: u32, log: &Path, watcher: Watcher) -> InvocationResult {
        let result = self.desk.resume(run, node, attempt, log, watcher).await;
        self.clear(run, node, attempt, &result).await;
        result
    }
}
