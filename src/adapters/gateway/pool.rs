//! The instances of one release: at most `concurrency`, each with one invocation at a time, the most recently used one first, none when nobody asks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};

use super::desk::{Answer, Job};
use super::fleet::Deployed;
use super::instance::{InitFailure, Instance, Name, Notes, Place};
use super::options::{GatewayOptions, START_TURN};

/// What came of one invocation.
#[derive(Debug)]
pub enum Served {
    /// With the place to say more about it than the client is told.
    Answer(Answer, Notes),
    /// All instances that there may be are busy.
    Throttled,
    InitFailed(InitFailure),
    TimedOut,
}

/// What all pools of a gateway share.
pub struct Shared {
    pub options: GatewayOptions,
    /// Starts at once: a machine that starts everything at the same time starts nothing in time.
    pub starts: Semaphore,
    /// Makes names of logs different.
    pub number: AtomicU64,
    /// Processes that have been started and have not ended.
    pub running: watch::Sender<usize>,
}

pub struct Pool {
    pub deployed: Deployed,
    shared: Arc<Shared>,
    idle: Mutex<Idle>,
    live: Arc<AtomicU32>,
}

#[derive(Default)]
struct Idle {
    resting: Vec<(Instance, Instant)>,
    closed: bool,
}

enum Got {
    Warm(Instance),
    Cold(Place),
    Full,
}

impl Pool {
    pub fn new(deployed: Deployed, shared: Arc<Shared>) -> Self {
        Self { deployed, shared, idle: Mutex::default(), live: Arc::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self) -> Got {
        let mut idle = self.idle();
        idle.resting.retain(|(instance, _)| instance.is_free());
        // One that still tidies up after its last answer may take long about it: those that already wait come first.
        let best = idle.resting.iter().rposition(|(instance, _)| instance.is_waiting()).or(idle.resting.len().checked_sub(1));
        if let Some((instance, _)) = best.map(|at| idle.resting.remove(at)) {
            return Got::Warm(instance);
        }
        if idle.closed {
            return Got::Full;
        }
        Place::take(&self.live, self.deployed.function.concurrency).map_or(Got::Full, Got::Cold)
    }

    fn give_back(&self, instance: Instance) {
        let mut idle = self.idle();
        if !idle.closed {
            idle.resting.push((instance, Instant::now()));
        }
    }

    /// Runs one invocation. The second value says whether it had to wait for an instance to start.
    pub async fn invoke(&self, id: &str, event: &Bytes, trace: &str) -> (Served, bool) {
        let decided = Instant::now();
        let mut cold = false;
        // An instance that ends before it has taken the invocation has done nothing with it: another one gets it. Each of these was idle, so this ends.
        loop {
            let instance = match self.get() {
                Got::Full => return (Served::Throttled, cold),
                Got::Warm(instance) => instance,
                Got::Cold(place) => {
                    cold = true;
                    match self.start(place, decided).await {
                        Ok(instance) => instance,
                        Err(failure) => return (Served::InitFailed(failure), cold),
                    }
                }
            };
            let timeout = self.deployed.function.timeout;
            let deadline_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + timeout;
            let deadline_ms = u64::try_from(deadline_ms.as_millis()).unwrap_or(u64::MAX);
            let job = Job { id: id.to_owned(), event: event.clone(), deadline_ms, trace: trace.to_owned() };
            let Some(answer) = instance.offer(job) else {
                if cold {
                    return (Served::Answer(Answer::Crashed, instance.notes()), cold);
                }
                continue;
            };
            return match tokio::time::timeout(timeout, answer).await {
                Err(_) => {
                    instance.notes().note(&format!("{id} timed out after {timeout:?}: the instance is killed"));
                    (Served::TimedOut, cold)
                }
                Ok(Ok(Answer::Untouched)) if !cold => continue,
                Ok(Err(_) | Ok(Answer::Crashed | Answer::Untouched)) => (Served::Answer(Answer::Crashed, instance.notes()), cold),
                // What broke off in the middle of an answer is killed: it is not given back.
                Ok(Ok(Answer::Broken(why))) => (Served::Answer(Answer::Broken(why), instance.notes()), cold),
                Ok(Ok(answer)) => {
                    let notes = instance.notes();
                    self.give_back(instance);
                    (Served::Answer(answer, notes), cold)
                }
            };
        }
    }

    async fn start(&self, place: Place, decided: Instant) -> Result<Instance, InitFailure> {
        // The semaphore is never closed; were it, starting without a permit does no harm.
        let permit = self.shared.starts.acquire().await;
        let release = &self.deployed.release;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let number = self.shared.number.fetch_add(1, Ordering::Relaxed);
        let log = self.shared.options.logs.join(&release.function).join(format!("{since:015}-{number}-v{}.log", release.version));
        let stream = format!("v{}/{since:015}-{number}", release.version);
        let mut starting = std::pin::pin!(Instance::start(&self.deployed, &self.shared, Name { log, stream }, place, decided));
        let started = match tokio::time::timeout(START_TURN, starting.as_mut()).await {
            Ok(started) => started,
            // One that hangs does not keep the others waiting.
            Err(_) => {
                drop(permit);
                starting.await
            }
        };
        if let Err(failure) = &started {
            tracing::warn!(function = %release.function, version = release.version, reason = ?failure.reason, "an instance did not come up");
        }
        started
    }

    /// Makes sure that there are `wanted` instances, and answers the cold start of each.
    pub async fn prewarm(self: &Arc<Self>, wanted: u32) -> Result<Vec<u64>, InitFailure> {
        let wanted = wanted.min(self.deployed.function.concurrency);
        let mut starting = tokio::task::JoinSet::new();
        while self.live.load(Ordering::Acquire) < wanted {
            let Some(place) = Place::take(&self.live, wanted) else { break };
            let pool = self.clone();
            starting.spawn(async move { pool.start(place, Instant::now()).await });
        }
        let mut failed = None;
        while let Some(started) = starting.join_next().await {
            match started {
                Ok(Ok(instance)) => self.give_back(instance),
                Ok(Err(failure)) => failed = Some(failure),
                Err(error) => failed = Some(InitFailure { reason: error.to_string(), log: String::new(), ours: true }),
            }
        }
        if let Some(failure) = failed {
            return Err(failure);
        }
        Ok(self.idle().resting.iter().map(|(instance, _)| u64::try_from(instance.cold_start().as_micros()).unwrap_or(u64::MAX)).collect())
    }

    /// Ends instances that have rested for so long, and those that have ended by themselves.
    pub fn reap(&self, idle_for: Duration) {
        self.idle().resting.retain(|(instance, since)| instance.is_free() && since.elapsed() < idle_for);
    }

    pub fn live(&self) -> u32 {
        self.live.load(Ordering::Acquire)
    }

    pub fn close(&self) {
        let mut idle = self.idle();
        idle.closed = true;
        idle.resting.clear();
    }
}
