//! The process that has the store open and runs the gateway. What is on disk comes first, then what is served: after a crash the disk is right.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::{Provider, ProviderError, TrafficState};
use super::store::{FunctionRecord, Store};
use super::{LocalError, LocalOptions};
use crate::adapters::gateway::{Gateway, GatewayOptions, why_not};
use crate::model::fact::Batch;
use crate::model::function::Function;
use crate::model::id::Digest;
use crate::model::release::{Release, ReleaseId};
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, TrafficSplit};

#[derive(Debug)]
pub struct Host {
    store: Arc<Store>,
    gateway: Gateway,
    /// Held while the store and the gateway change together.
    changing: tokio::sync::Mutex<()>,
    /// The lock on `host.lock`, as long as this process hosts.
    _lock: File,
}

impl Host {
    /// Serves again what was published earlier.
    pub async fn start(root: &Path, options: &LocalOptions, lock: File) -> Result<Self, LocalError> {
        let store = Store::open(root).map_err(|error| LocalError::State { path: root.to_owned(), why: error.to_string() })?;
        let records = store.functions()?;
        let gateway = GatewayOptions {
            listen: options.listen,
            listener: options.listener.clone(),
            isolation: options.isolation,
            required: options.required.clone(),
            host_tools: options.host_tools.clone(),
            logs: store.logs(),
            idle: options.idle,
            init_timeout: options.init_timeout,
        };
        let fill = |gateway: &Gateway| {
            for record in &records {
                record.releases.iter().for_each(|release| gateway.put_release(store.deployed(release)));
                gateway.set_split(&record.name, &record.traffic.split);
            }
        };
        let gateway = Gateway::start_with(gateway, fill).await?;
        Ok(Self { store: Arc::new(store), gateway, changing: tokio::sync::Mutex::default(), _lock: lock })
    }

    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Everything that was ever published.
    pub fn functions(&self) -> Result<Vec<FunctionRecord>, ProviderError> {
        self.store.functions()
    }

    /// No new requests, those under way are answered, no instance is left.
    pub async fn close(&self) {
        self.gateway.close().await;
    }

    /// The store's work is work for the disk: never on a thread that serves requests.
    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.unwrap_or_else(|error| Err(ProviderError::Unavailable(error.to_string())))
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

impl Provider for Host {
    async fn publish(&self, function: &Function, artifact: &Path, digest: &Digest) -> Result<Release, ProviderError> {
        if let Some(why) = why_not(function) {
            return Err(ProviderError::Rejected(why));
        }
        let (function, digest) = (function.clone(), digest.clone());
        let (source, wanted) = (artifact.to_owned(), digest.clone());
        // Takes its time, and nobody who shifts traffic (back, perhaps) is to wait for it.
        self.with_store(move |store| store.unpack(&source, &wanted)).await?;
        let _changing = self.changing.lock().await;
        let record = self.with_store(move |store| store.publish(&function, &digest, now())).await?;
        self.gateway.put_release(self.store.deployed(&record));
        Ok(record.release)
    }

    async fn traffic(&self, function: &str) -> Result<TrafficState, ProviderError> {
        let name = function.to_owned();
        let record = self.with_store(move |store| store.function(&name)).await?;
        Ok(record.map_or_else(|| TrafficState { split: TrafficSplit::all(Destination::Vacant), revision: 0 }, |record| record.traffic))
    }

    async fn version(&self, function: &str, release: &ReleaseId) -> Result<Option<u64>, ProviderError> {
        let name = function.to_owned();
        let record = self.with_store(move |store| store.function(&name)).await?;
        let releases = record.into_iter().flat_map(|record| record.releases);
        Ok(releases.map(|known| known.release).find(|known| known.id == *release).map(|known| known.version))
    }

    async fn prewarm(&self, release: &Release, instances: u32) -> Result<Vec<u64>, ProviderError> {
        match self.gateway.prewarm(&release.function, &release.id, instances).await {
            None => Err(ProviderError::Rejected(format!("the release {} of {} is not published here", release.id, release.function))),
            Some(Ok(cold_starts)) => Ok(cold_starts),
            Some(Err(failure)) if failure.ours => Err(ProviderError::Unavailable(failure.to_string())),
            Some(Err(failure)) => Err(ProviderError::InitFailed(format!("v{} of {} did not come up: {failure}", release.version, release.function))),
        }
    }

    async fn shift(&self, function: &str, split: &TrafficSplit, expected: u64) -> Result<u64, ProviderError> {
        let _changing = self.changing.lock().await;
        let (name, wanted) = (function.to_owned(), split.clone());
        let revision = self.with_store(move |store| store.shift(&name, &wanted, expected)).await?;
        self.gateway.set_split(function, split);
        Ok(revision)
    }

    async fn observe(&self, function: &str, stable: &Destination, canary: &Destination, slow_over: Option<Duration>) -> Result<Batch, ProviderError> {
        Ok(self.gateway.observe(function, stable, canary, slow_over))
    }

    async fn probe(&self, function: &str, path: &str, pinned: Option<&Destination>) -> Result<(), ProviderError> {
        if !path.starts_with('/') || path.len() > 2048 {
            return Err(ProviderError::Rejected(format!("a probe's path begins with / and has at most 2048 bytes, found {path:?}")));
        }
        match self.gateway.probe(function, path, pinned.cloned()).await {
            Some(_) => Ok(()),
            None => Err(ProviderError::Rejected(format!("the function {function} was never published here"))),
        }
    }
}
