//! Invocations in the local sandbox, each owned by a supervisor: a process that outlives tidegate.
//!
//! ```text
//! tidegate ──Request──▶ supervisor ──▶ sandbox ──▶ the step
//!     ▲                     │
//!     │                     ├──▶ log, a file ─────────────┐
//!     │                     └──▶ record: started, result ─┤ (place.rs)
//!     └──── follows both, asks it to stop ◀───────────────┘
//! ```

mod attended;
mod collect;
mod disk;
mod follow;
mod followers;
mod hints;
mod image;
mod limits;
mod log;
mod merged;
mod place;
mod request;
mod services;
mod supervisor;
mod surroundings;
mod values;
mod verify;
mod watch;

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::{Choice, Executor, Standing, Watcher, Way};
use crate::adapters::image::{Image, Images, PullPolicy};
use crate::adapters::sandbox::{self, Isolation};
use crate::adapters::workspace::Store;
use crate::model::id::{NodeId, RunId};
use crate::model::invocation::{InvocationRecord, InvocationResult, InvocationSpec};
use crate::model::limits::Network;
use crate::model::outcome::Outcome;

use image::Obtained;
use place::{Known, Place};
use request::Request;

pub use attended::{Attended, Whence};
pub use supervisor::supervise;
pub use verify::{Tampered, verify};

#[derive(Debug)]
pub struct SandboxExecutor {
    state: PathBuf,
    store: Store,
    host_tools: Vec<PathBuf>,
    isolation: Isolation,
    choice: Choice,
    pull: PullPolicy,
    /// Bytes of images that are kept.
    keep_images: u64,
    /// Opened when the first step wants one.
    images: OnceLock<Images>,
    required: Vec<String>,
}

impl SandboxExecutor {
    /// `state`: the state folder, which `store` is in.
    pub fn new(state: &Path, store: Store, host_tools: Vec<PathBuf>, isolation: Isolation) -> Self {
        Self {
            state: state.to_owned(),
            store,
            host_tools,
            isolation,
            choice: Choice::Sandbox,
            pull: PullPolicy::Missing,
            keep_images: u64::MAX,
            images: OnceLock::new(),
            required: Vec::new(),
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

    /// Protections, by their names in a record (or `cgroup`), without which no step begins.
    #[must_use]
    pub fn requiring(self, required: Vec<String>) -> Self {
        Self { required, ..self }
    }

    pub fn isolation(&self) -> Isolation {
        self.isolation
    }
}

/// What goes to a supervisor beside places.
struct Asked {
    spec: InvocationSpec,
    image: Option<Image>,
    /// Of its services.
    services: Vec<Image>,
    way: Way,
    /// Bytes that are in the log already.
    said: u64,
    /// How much of its time is over.
    took: Duration,
    /// Ends when nobody follows it any more.
    for_followers: bool,
}

fn infrastructure(reason: impl ToString) -> Outcome {
    Outcome::Infrastructure { reason: reason.to_string() }
}

fn name_of(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Full => "sandbox",
        Isolation::None => "unisolated",
    }
}

impl Executor for SandboxExecutor {
    async fn invoke(&self, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        let place = Place::of(&self.state, &spec.run, &spec.node, spec.attempt);
        self.invoke_at(place, spec, log, watcher, false).await
    }

    async fn resume(&self, run: &RunId, node: &NodeId, attempt: u32, log: &Path, watcher: Watcher) -> InvocationResult {
        let place = Place::of(&self.state, run, node, attempt);
        match place.known() {
            Known::Ended(result) => *result,
            Known::Lost { started } => self.lost(started, "nobody was left to say how it ended"),
            Known::Living => match place.connect() {
                Ok(control) => self.follow(&place, control, log, 0, watcher).await,
                // It has ended between the two.
                Err(_) => self.outcome_of(&place),
            },
        }
    }

    fn standing(&self, run: &RunId, node: &NodeId, attempt: u32) -> Standing {
        match Place::of(&self.state, run, node, attempt).known() {
            Known::Living => Standing::Living,
            Known::Ended(result) => Standing::Ended(result),
            Known::Lost { started } => Standing::Ended(Box::new(self.lost(started, "nobody was left to say how it ended"))),
        }
    }

    fn forget(&self, run: &RunId, node: &NodeId, attempt: u32) {
        // What can not be removed now is swept later.
        let _ = Place::of(&self.state, run, node, attempt).remove();
    }

    fn recorded(&self) -> io::Result<Vec<String>> {
        place::recorded(&self.state)
    }

    fn sweep(&self, runs: &[String]) -> io::Result<usize> {
        place::sweep(&self.state, runs)
    }
}

impl SandboxExecutor {
    /// Runs what has run before once more, outside of its run: its record is kept under another name, and it ends when nobody follows it any more.
    pub async fn invoke_aside(&self, name: &RunId, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        let place = Place::of(&self.state, name, &spec.node, spec.attempt);
        let result = self.invoke_at(place.clone(), spec, log, watcher, true).await;
        // What can not be removed now is swept later.
        let _ = place.remove();
        result
    }

    async fn invoke_at(&self, place: Place, spec: InvocationSpec, log: &Path, mut watcher: Watcher, for_followers: bool) -> InvocationResult {
        let lock = match place.make() {
            Ok(lock) => lock,
            // It was begun before: it is not begun again.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return self.lost(true, "there is a record of it already"),
            Err(error) => return self.lost(false, format!("its record {} can not be made: {error}", place.path().display())),
        };
        let way = Way::of(self.choice, spec.image.is_some(), self.isolation);
        let Obtained { image, services, said, took } = match self.obtain(&spec, log, &mut watcher).await {
            Ok(obtained) => obtained,
            Err((outcome, said)) => {
                let mut result = self.without(outcome, false);
                (result.record.chosen, result.record.log_bytes) = (Some(way.to_string()), said);
                // Best effort: whoever asks again is told that it did not begin.
                let _ = place.keep(&result);
                return result;
            }
        };
        let (image, lease) = image.unzip();
        let (services, leases): (Vec<_>, Vec<_>) = services.into_iter().unzip();
        let scratch = self.store.fresh_name();
        match self.ask(&place, lock, Asked { spec, image, services, way, said, took, for_followers }, &scratch, log) {
            Ok(control) => {
                let result = self.follow(&place, control, log, said, watcher).await;
                drop((lease, leases));
                // A supervisor that was killed can not; every other removes it itself.
                if let Outcome::Infrastructure { .. } = result.outcome {
                    let store = self.store.clone();
                    let _ = tokio::task::spawn_blocking(move || store.take_away(&scratch)).await;
                }
                result
            }
            Err(error) => {
                // Nobody has been told of it.
                let _ = place.remove();
                self.lost(false, format!("its supervisor could not be started: {error}"))
            }
        }
    }

    /// Lets a supervisor be born, and asks it. From here on the invocation is its own.
    fn ask(&self, place: &Place, lock: File, asked: Asked, scratch_name: &str, log: &Path) -> io::Result<UnixStream> {
        let asked_us = sandbox::monotonic_us();
        let (own, scratch) = self.store.own();
        let scratch = scratch.ok_or_else(|| io::Error::other("the scratch folder is closed"))?;
        let request = Request {
            asked_us,
            spec: asked.spec,
            image: asked.image,
            services: asked.services,
            chosen: asked.way.to_string(),
            said: asked.said,
            took: asked.took,
            isolation: self.isolation,
            required: self.required.clone(),
            host_tools: self.host_tools.clone(),
            host_path: std::env::var_os("PATH").map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
            state: self.state.clone(),
            own: own.to_owned(),
            scratch: scratch_name.to_owned(),
            owner: sandbox::outer_uid(),
            place: place.path().to_owned(),
            log: log.to_owned(),
            for_followers: asked.for_followers,
        };
        let (control, far) = UnixStream::pair()?;
        // One that waits has a network of its own, without services.
        let fits = request.spec.network != Network::Open && request.spec.services.is_empty() && self.host_tools.is_empty();
        let warm = sandbox::is_warm() && self.isolation == Isolation::Full && fits;
        sandbox::supervisor(&[far.as_fd(), lock.as_fd(), scratch], warm)?;
        drop(far);
        sandbox::write_message(&control, &request)?;
        Ok(control)
    }

    /// `said`: bytes of the log that whoever watches has seen.
    async fn follow(&self, place: &Place, control: UnixStream, log: &Path, said: u64, watcher: Watcher) -> InvocationResult {
        let Watcher { log: mut sink, cancel } = watcher;
        match follow::until_the_end(control, log, said, &mut *sink, cancel).await {
            Ok(()) => self.outcome_of(place),
            Err(error) => self.lost(true, format!("it could not be followed: {error}")),
        }
    }

    /// Of one whose supervisor has closed its socket.
    fn outcome_of(&self, place: &Place) -> InvocationResult {
        match place.known() {
            Known::Ended(result) => *result,
            Known::Lost { started } => self.lost(started, "its supervisor was killed; is the machine out of memory?"),
            Known::Living => self.lost(true, "its supervisor does not answer"),
        }
    }

    fn lost(&self, started: bool, why: impl ToString) -> InvocationResult {
        self.without(infrastructure(why), started)
    }

    /// What came of one of which nobody has written it down.
    fn without(&self, outcome: Outcome, started: bool) -> InvocationResult {
        InvocationResult {
            outcome,
            record: InvocationRecord { executor: name_of(self.isolation).to_owned(), started, ..InvocationRecord::default() },
            artifacts: Vec::new(),
            values: std::collections::BTreeMap::new(),
            layer: None,
        }
    }
}
