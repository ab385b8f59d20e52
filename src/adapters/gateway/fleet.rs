//! A gateway as its owner sees it: which functions there are, which releases of them, and how their traffic is split.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Version};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use super::counts::{Counts, Ended, Totals};
use super::event::Incoming;
use super::instance::InitFailure;
use super::options::{CLOSE_TIMEOUT, END_TIMEOUT, GatewayOptions};
use super::pool::{Pool, Shared};
use super::{invoke, server};
use crate::model::fact::Batch;
use crate::model::function::Function;
use crate::model::release::{Release, ReleaseId};
use crate::model::traffic::{Destination, TrafficSplit};

/// A release that can be started here.
#[derive(Debug, Clone)]
pub struct Deployed {
    pub release: Release,
    pub function: Function,
    /// The unpacked artifact: `/var/task` of its instances.
    pub root: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("the gateway can not listen on {address}: {why}. Choose another address with --listen")]
    Listen { address: SocketAddr, why: String },
}

/// Dropping it ends every instance at once; `close` lets requests under way end first.
pub struct Gateway {
    state: Arc<State>,
    address: SocketAddr,
    closing: watch::Sender<bool>,
    serving: JoinHandle<()>,
    reaping: JoinHandle<()>,
}

pub struct State {
    functions: RwLock<BTreeMap<String, Arc<FunctionState>>>,
    shared: Arc<Shared>,
}

/// One function at this gateway.
pub struct FunctionState {
    pub name: String,
    split: RwLock<TrafficSplit>,
    pools: RwLock<HashMap<ReleaseId, Arc<Pool>>>,
    counts: Mutex<Counts>,
}

impl Gateway {
    pub async fn start(options: GatewayOptions) -> Result<Self, GatewayError> {
        Self::start_with(options, |_| ()).await
    }

    /// Nobody is served before `fill` has said what there is: those who waited would be told that it is nowhere.
    pub async fn start_with(options: GatewayOptions, fill: impl FnOnce(&Self)) -> Result<Self, GatewayError> {
        let failed = |error: std::io::Error| GatewayError::Listen { address: options.listen, why: error.to_string() };
        let listener = match options.listener.take() {
            Some(open) => open.set_nonblocking(true).and_then(|()| TcpListener::from_std(open)),
            None => TcpListener::bind(options.listen).await,
        };
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let idle = options.idle;
        let shared = Arc::new(Shared { options, starts: Semaphore::new(processors * 2), number: AtomicU64::new(1), running: watch::Sender::new(0) });
        let state = Arc::new(State { functions: RwLock::default(), shared });
        let closing = watch::Sender::new(false);
        let (filled, ready) = oneshot::channel();
        let serving = tokio::spawn({
            let (state, closing) = (state.clone(), closing.subscribe());
            async move {
                let _ = ready.await;
                server::run(listener, address, state, closing).await;
            }
        });
        let reaping = tokio::spawn(reap(state.clone(), idle));
        let gateway = Self { state, address, closing, serving, reaping };
        fill(&gateway);
        let _ = filled.send(());
        Ok(gateway)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a release startable. One that is there already stays as it is, with its instances.
    pub fn put_release(&self, deployed: Deployed) {
        let function = self.state.function_or_new(&deployed.release.function);
        let mut pools = function.pools.write().unwrap_or_else(PoisonError::into_inner);
        pools.entry(deployed.release.id.clone()).or_insert_with(|| Arc::new(Pool::new(deployed, self.state.shared.clone())));
    }

    /// From now on every new request is split like this.
    pub fn set_split(&self, function: &str, split: &TrafficSplit) {
        let function = self.state.function_or_new(function);
        let mut counts = function.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.split_changed(split);
        *function.split.write().unwrap_or_else(PoisonError::into_inner) = split.clone();
    }

    /// `None` when there is no such release.
    pub async fn prewarm(&self, function: &str, release: &ReleaseId, instances: u32) -> Option<Result<Vec<u64>, InitFailure>> {
        let function = self.state.function(function)?;
        let to = Destination::Release(release.clone());
        let result = function.pool(&to)?.prewarm(instances).await;
        if matches!(&result, Err(failure) if !failure.ours) {
            function.count_init_failure(&to);
        }
        Some(result)
    }

    pub fn observe(&self, function: &str, stable: &Destination, canary: &Destination, slow_over: Option<Duration>) -> Batch {
        self.state.function(function).map(|function| function.counts().observe(stable, canary, slow_over)).unwrap_or_default()
    }

    /// All that was counted since this gateway was started.
    pub fn totals(&self, function: &str) -> BTreeMap<Destination, Totals> {
        self.state.function(function).map(|function| function.counts().totals().clone()).unwrap_or_default()
    }

    /// Instances of a release that are there now, those that are starting included.
    pub fn instances(&self, function: &str, release: &ReleaseId) -> u32 {
        let to = Destination::Release(release.clone());
        self.state.function(function).and_then(|function| function.pool(&to)).map_or(0, |pool| pool.live())
    }

    /// Sends one request of our own along the way of all others and answers its status; `None` when there is no such function.
    pub async fn probe(&self, function: &str, target: &str, pinned: Option<Destination>) -> Option<u16> {
        let function = self.state.function(function)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static("tidegate-probe"))]);
        headers.extend(HeaderValue::from_str(&format!("{}.localhost", function.name)).ok().map(|host| (HOST, host)));
        let request = Incoming {
            method: Method::GET,
            version: Version::HTTP_11,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Bytes::new(),
            client: SocketAddr::from(([127, 0, 0, 1], 0)),
            local: self.address,
        };
        Some(invoke::serve(function, request, pinned).await.status().as_u16())
    }

    /// Takes no new requests, lets those under way end (for a while), and ends all instances.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        // The task lets go of its end of `closing` when the last connection has ended.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.closing.closed()).await;
        self.stop();
        let mut running = self.state.shared.running.subscribe();
        let _ = tokio::time::timeout(END_TIMEOUT, running.wait_for(|count| *count == 0)).await;
    }

    fn stop(&self) {
        self.serving.abort();
        self.reaping.abort();
        self.state.close();
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    pub fn function(&self, name: &str) -> Option<Arc<FunctionState>> {
        self.functions.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub fn functions(&self) -> Vec<Arc<FunctionState>> {
        self.functions.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn function_or_new(&self, name: &str) -> Arc<FunctionState> {
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        functions.entry(name.to_owned()).or_insert_with(|| Arc::new(FunctionState::new(name))).clone()
    }

    fn close(&self) {
        self.functions().iter().flat_map(|function| function.pools()).for_each(|pool| pool.close());
    }
}

impl FunctionState {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), split: RwLock::new(TrafficSplit::all(Destination::Vacant)), pools: RwLock::default(), counts: Mutex::default() }
    }

    pub fn split(&self) -> TrafficSplit {
        self.split.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where a request goes that drew `point`.
    pub fn pick(&self, point: u16) -> Destination {
        self.split.read().unwrap_or_else(PoisonError::into_inner).pick(point).clone()
    }

    pub fn pool(&self, to: &Destination) -> Option<Arc<Pool>> {
        match to {
            Destination::Release(id) => self.pools.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned(),
            Destination::Vacant | Destination::Upstream(_) => None,
        }
    }

    pub fn pools(&self) -> Vec<Arc<Pool>> {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self, to: &Destination, ended: Ended) {
        self.counts().request(to, ended);
    }

    pub fn count_init_failure(&self, to: &Destination) {
        self.counts().init_failed(to);
    }
}

/// Scale to zero.
async fn reap(state: Arc<State>, idle: Duration) {
    let every = (idle / 4).clamp(Duration::from_millis(50), Duration::from_secs(1));
    loop {
        tokio::time::sleep(every).await;
        state.functions().iter().flat_map(|function| function.pools()).for_each(|pool| pool.reap(idle));
    }
}
