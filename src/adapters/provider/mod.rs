//! Where functions live.

pub mod local;

use std::path::Path;
use std::time::Duration;

use crate::model::fact::Batch;
use crate::model::function::{Function, Target};
use crate::model::id::Digest;
use crate::model::release::{Release, ReleaseId};
use crate::model::traffic::{Destination, TrafficSplit};
pub use local::{Local, LocalOptions};

/// A function's traffic as the provider has it, with its own optimistic lock.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TrafficState {
    pub split: TrafficSplit,
    /// Changes with every change of the split.
    pub revision: u64,
}

/// What went wrong, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(tag = "error", content = "why", rename_all = "kebab-case")]
pub enum ProviderError {
    /// The artifact or the configuration can not be published: the user's to mend.
    #[error("{0}")]
    Rejected(String),
    /// Somebody else changed the split since it was read.
    #[error("the traffic split was changed by somebody else (revision {found} instead of {expected})")]
    Conflict { expected: u64, found: u64 },
    /// The new release never came up.
    #[error("{0}")]
    InitFailed(String),
    /// Not now; the same call may work later.
    #[error("{0}")]
    Unavailable(String),
}

/// Publishes releases and splits traffic between them.
///
/// Every call may be repeated after a crash: publishing the same digest again gives the same release, setting the split that is in force is no change.
#[expect(async_fn_in_trait, reason = "used through the enum that `open` returns, never as a trait object: no auto traits are lost")]
pub trait Provider {
    /// Idempotent by content: the same artifact and configuration are one release, however often they are published.
    async fn publish(&self, function: &Function, artifact: &Path, digest: &Digest) -> Result<Release, ProviderError>;
    /// `{ Vacant: 100 % }` for a function that was never published.
    async fn traffic(&self, function: &str) -> Result<TrafficState, ProviderError>;
    /// The number that people know a release by.
    async fn version(&self, function: &str, release: &ReleaseId) -> Result<Option<u64>, ProviderError>;
    /// Starts instances and waits until they are ready; answers each one's cold start in microseconds.
    async fn prewarm(&self, release: &Release, instances: u32) -> Result<Vec<u64>, ProviderError>;
    /// Compare-and-set by the revision that `traffic` or the last `shift` gave.
    async fn shift(&self, function: &str, split: &TrafficSplit, expected: u64) -> Result<u64, ProviderError>;
    /// What both arms did since the last call with the same arms: one closed interval. `slow_over` decides which warm requests count as slow.
    async fn observe(&self, function: &str, stable: &Destination, canary: &Destination, slow_over: Option<Duration>) -> Result<Batch, ProviderError>;
    /// Sends one synthetic request through the same split as real ones (`pinned: None`), or to one destination.
    async fn probe(&self, function: &str, path: &str, pinned: Option<&Destination>) -> Result<(), ProviderError>;
}

/// Every provider that there is.
#[derive(Debug)]
pub enum AnyProvider {
    Local(Local),
}

/// The provider of a target. `local` says how the embedded one is reached, or hosted.
pub async fn open(target: &Target, state_dir: &Path, local: &LocalOptions) -> Result<AnyProvider, ProviderError> {
    match target {
        Target::Local => match Local::connect(state_dir, local).await {
            Ok(local) => Ok(AnyProvider::Local(local)),
            Err(error) => Err(ProviderError::Unavailable(error.to_string())),
        },
        Target::Aws { .. } | Target::Gcp { .. } | Target::Azure { .. } => {
            Err(ProviderError::Rejected(format!("not supported yet: deploying to the provider {}; use target: {{ provider: local }}", target.word())))
        }
    }
}

impl Provider for AnyProvider {
    async fn publish(&self, function: &Function, artifact: &Path, digest: &Digest) -> Result<Release, ProviderError> {
        let Self::Local(local) = self;
        local.publish(function, artifact, digest).await
    }
    async fn traffic(&self, function: &str) -> Result<TrafficState, ProviderError> {
        let Self::Local(local) = self;
        local.traffic(function).await
    }
    async fn version(&self, function: &str, release: &ReleaseId) -> Result<Option<u64>, ProviderError> {
        let Self::Local(local) = self;
        local.version(function, release).await
    }
    async fn prewarm(&self, release: &Release, instances: u32) -> Result<Vec<u64>, ProviderError> {
        let Self::Local(local) = self;
        local.prewarm(release, instances).await
    }
    async fn shift(&self, function: &str, split: &TrafficSplit, expected: u64) -> Result<u64, ProviderError> {
        let Self::Local(local) = self;
        local.shift(function, split, expected).await
    }
    async fn observe(&self, function: &str, stable: &Destination, canary: &Destination, slow_over: Option<Duration>) -> Result<Batch, ProviderError> {
        let Self::Local(local) = self;
        local.observe(function, stable, canary, slow_over).await
    }
    async fn probe(&self, function: &str, path: &str, pinned: Option<&Destination>) -> Result<(), ProviderError> {
        let Self::Local(local) = self;
        local.probe(function, path, pinned).await
    }
}
