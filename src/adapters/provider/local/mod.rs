//! The embedded provider: functions live in a folder and behind the embedded gateway.
//!
//! ```text
//! deploy, run ──▶ Local::connect ──▶ is somebody hosting? ──no──▶ Here: this process has the lock, the store, the gateway and the control socket
//!                                          └──yes──▶ There: the same calls over the control socket
//! ```
//! There is never a second host of one state folder: hosting is holding the lock on `local/host.lock`, which the kernel gives back when a process dies.

mod control;
mod host;
mod store;
mod unpack;
mod wire;

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Provider, ProviderError, TrafficState};
use crate::adapters::gateway::{Gateway, GatewayError, Handed, Isolation};
use crate::model::fact::Batch;
use crate::model::function::Function;
use crate::model::id::Digest;
use crate::model::release::{Release, ReleaseId};
use crate::model::traffic::{Destination, TrafficSplit};
use host::Host;
use wire::{Answer, Call, PROTOCOL};
pub use wire::{FunctionStatus, Health};

/// How this process hosts, if it does.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    pub listen: SocketAddr,
    /// Open there already: instead of opening `listen`.
    pub listener: Handed,
    pub isolation: Isolation,
    /// Protections without which no instance starts.
    pub required: Vec<String>,
    pub host_tools: Vec<PathBuf>,
    /// Instances that rest for so long are ended.
    pub idle: Duration,
    /// For an instance to ask for its first invocation.
    pub init_timeout: Duration,
}

impl LocalOptions {
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            listener: Handed::default(),
            isolation: Isolation::Full,
            required: Vec::new(),
            host_tools: Vec::new(),
            idle: Duration::from_secs(300),
            init_timeout: Duration::from_secs(10),
        }
    }
}

/// Why there is no local provider.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error("the state folder {path} can not be used: {why}. Choose another one with --state-dir")]
    State { path: PathBuf, why: String },
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("another process hosts the functions in {path} but does not answer: {why}. End it, or choose another folder with --state-dir")]
    Silent { path: PathBuf, why: String },
    #[error("the functions are hosted by Tidegate {version} (process {pid}), which speaks another protocol: end it and start it with this version")]
    OtherVersion { version: String, pid: u32 },
}

/// The embedded provider, in this process or in another one.
#[derive(Debug)]
pub enum Local {
    Here(Here),
    There(There),
}

/// This process hosts.
#[derive(Debug)]
pub struct Here {
    host: Arc<Host>,
    closing: watch::Sender<bool>,
    controlling: JoinHandle<()>,
}

/// Another process hosts.
#[derive(Debug)]
pub struct There {
    root: PathBuf,
    health: Health,
}

/// How long a process that has just taken the lock may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);

impl Local {
    /// Joins the process that hosts this state folder's functions, or becomes it.
    pub async fn connect(state_dir: &Path, options: &LocalOptions) -> Result<Self, LocalError> {
        let root = state_dir.join("local");
        let failed = |error: std::io::Error| LocalError::State { path: state_dir.to_owned(), why: error.to_string() };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(failed)?;
        let began = Instant::now();
        loop {
            let lock = File::options().create(true).append(true).open(root.join("host.lock")).map_err(failed)?;
            match lock.try_lock() {
                Ok(()) => return Self::host(&root, options, lock).await,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            match control::call(&root, &Call::Health).await {
                Ok(Answer::Health(health)) if health.protocol == PROTOCOL => return Ok(Self::There(There { root, health })),
                Ok(Answer::Health(health)) => return Err(LocalError::OtherVersion { version: health.version, pid: health.pid }),
                Err(error) if began.elapsed() > PATIENCE => return Err(LocalError::Silent { path: root, why: error.to_string() }),
                // It has only just begun, or has only just ended.
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
            }
        }
    }

    async fn host(root: &Path, options: &LocalOptions, lock: File) -> Result<Self, LocalError> {
        let host = Arc::new(Host::start(root, options, lock).await?);
        let listener = control::bind(root).map_err(|error| LocalError::State { path: root.to_owned(), why: error.to_string() })?;
        let closing = watch::Sender::new(false);
        let controlling = tokio::spawn(control::run(listener, host.clone(), closing.subscribe()));
        Ok(Self::Here(Here { host, closing, controlling }))
    }

    /// Where the gateway listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Here(here) => here.host.gateway().address(),
            Self::There(there) => there.health.gateway,
        }
    }

    /// The process that hosts, when it is not this one.
    pub fn hosted_elsewhere(&self) -> Option<&Health> {
        match self {
            Self::Here(_) => None,
            Self::There(there) => Some(&there.health),
        }
    }

    /// The gateway, when it is in this process.
    pub fn gateway(&self) -> Option<&Gateway> {
        match self {
            Self::Here(here) => Some(here.host.gateway()),
            Self::There(_) => None,
        }
    }

    /// Every function that was ever published.
    pub async fn functions(&self) -> Result<Vec<FunctionStatus>, ProviderError> {
        match self {
            Self::Here(here) => control::list(&here.host),
            Self::There(there) => match there.call(Call::List).await? {
                Answer::Functions(functions) => Ok(functions),
                _ => Err(nonsense()),
            },
        }
    }

    /// Ends hosting, if this process does it: no new requests, those under way are answered, no instance is left. The lock is held until it is dropped.
    pub async fn end(&self) {
        let Self::Here(here) = self else { return };
        here.closing.send_replace(true);
        // The task lets go of its end when the last call has been answered.
        here.closing.closed().await;
        here.host.close().await;
    }

    /// The same, and somebody else may host.
    pub async fn close(self) {
        self.end().await;
    }
}

impl Drop for Here {
    /// Without `close`, instances are killed where they are.
    fn drop(&mut self) {
        self.controlling.abort();
    }
}

fn nonsense() -> ProviderError {
    ProviderError::Unavailable(
        "the process that hosts the functions gave an answer to another question: is it of another version of Tidegate?".to_owned(),
    )
}

impl There {
    async fn call(&self, call: Call) -> Result<Answer, ProviderError> {
        control::call(&self.root, &call).await
    }
}

impl Provider for Local {
    async fn publish(&self, function: &Function, artifact: &Path, digest: &Digest) -> Result<Release, ProviderError> {
        let there = match self {
            Self::Here(here) => return here.host.publish(function, artifact, digest).await,
            Self::There(there) => there,
        };
        let artifact = std::path::absolute(artifact).map_err(|error| ProviderError::Rejected(error.to_string()))?;
        let call = Call::Publish { function: Box::new(function.clone()), artifact, digest: digest.clone() };
        let Answer::Release(release) = there.call(call).await? else { return Err(nonsense()) };
        Ok(release)
    }

    async fn traffic(&self, function: &str) -> Result<TrafficState, ProviderError> {
        let there = match self {
            Self::Here(here) => return here.host.traffic(function).await,
            Self::There(there) => there,
        };
        let Answer::Traffic(state) = there.call(Call::Traffic { function: function.to_owned() }).await? else { return Err(nonsense()) };
        Ok(state)
    }

    async fn version(&self, function: &str, release: &ReleaseId) -> Result<Option<u64>, ProviderError> {
        if let Self::Here(here) = self {
            return here.host.version(function, release).await;
        }
        let functions = self.functions().await?;
        let known = functions.into_iter().find(|known| known.name == function);
        Ok(known.and_then(|known| known.version(release)))
    }

    async fn prewarm(&self, release: &Release, instances: u32) -> Result<Vec<u64>, ProviderError> {
        let there = match self {
            Self::Here(here) => return here.host.prewarm(release, instances).await,
            Self::There(there) => there,
        };
        let Answer::ColdStarts(cold_starts) = there.call(Call::Prewarm { release: release.clone(), instances }).await? else {
            return Err(nonsense());
        };
        Ok(cold_starts)
    }

    async fn shift(&self, function: &str, split: &TrafficSplit, expected: u64) -> Result<u64, ProviderError> {
        let there = match self {
            Self::Here(here) => return here.host.shift(function, split, expected).await,
            Self::There(there) => there,
        };
        let call = Call::Shift { function: function.to_owned(), split: split.clone(), expected };
        let Answer::Revision(revision) = there.call(call).await? else { return Err(nonsense()) };
        Ok(revision)
    }

    async fn observe(&self, function: &str, stable: &Destination, canary: &Destination, slow_over: Option<Duration>) -> Result<Batch, ProviderError> {
        let there = match self {
            Self::Here(here) => return here.host.observe(function, stable, canary, slow_over).await,
            Self::There(there) => there,
        };
        let call = Call::Observe { function: function.to_owned(), stable: stable.clone(), canary: canary.clone(), slow_over };
        let Answer::Observed(batch) = there.call(call).await? else { return Err(nonsense()) };
        Ok(batch)
    }

    async fn probe(&self, function: &str, path: &str, pinned: Option<&Destination>) -> Result<(), ProviderError> {
        let there = match self {
            Self::Here(here) => return here.host.probe(function, path, pinned).await,
            Self::There(there) => there,
        };
        let call = Call::Probe { function: function.to_owned(), path: path.to_owned(), pinned: pinned.cloned() };
        there.call(call).await.map(|_| ())
    }
}
