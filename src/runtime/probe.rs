//! Synthetic requests, as far as real ones are missing.
//!
//! The rate is what the policy asks for less what real traffic there was in the last interval: a busy function is not probed at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::adapters::provider::{AnyProvider, Provider as _};
use crate::model::deploy::Probe;
use crate::model::fact::Batch;
use crate::model::traffic::Destination;

/// Probes under way at once: a function that hangs is not buried in them.
const IN_FLIGHT: usize = 64;
/// How often the prober looks what is due. Several probes may be due at once.
const STEP: Duration = Duration::from_millis(5);

/// Sends probes until it is dropped.
#[derive(Debug)]
pub struct Prober {
    task: JoinHandle<()>,
    shared: Arc<Shared>,
    asked: f64,
    since: Instant,
    sent_then: u64,
}

#[derive(Debug)]
struct Shared {
    /// Thousandths of a request a second.
    rate: AtomicU64,
    sent: AtomicU64,
}

impl Prober {
    /// `pinned`: send to this destination instead of through the split.
    pub fn start(provider: Arc<AnyProvider>, function: String, probe: &Probe, pinned: Option<Destination>) -> Self {
        let shared = Arc::new(Shared { rate: AtomicU64::new(thousandths(probe.rate)), sent: AtomicU64::new(0) });
        let task = tokio::spawn(send(provider, function, probe.path.clone(), pinned, Arc::clone(&shared)));
        Self { task, shared, asked: probe.rate, since: Instant::now(), sent_then: 0 }
    }

    /// Told after every interval what was seen in it, probes included.
    pub fn seen(&mut self, batch: &Batch) {
        let sent = self.shared.sent.load(Ordering::Relaxed);
        let probes = sent - self.sent_then;
        let seconds = self.since.elapsed().as_secs_f64().max(0.001);
        let real = (batch.stable.requests + batch.canary.requests).saturating_sub(probes) as f64 / seconds;
        self.shared.rate.store(thousandths((self.asked - real).max(0.0)), Ordering::Relaxed);
        (self.since, self.sent_then) = (Instant::now(), sent);
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn thousandths(rate: f64) -> u64 {
    (rate * 1_000.0) as u64
}

async fn send(provider: Arc<AnyProvider>, function: String, path: String, pinned: Option<Destination>, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut ticks = tokio::time::interval(STEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = Instant::now();
    let mut due = 0.0_f64;
    loop {
        ticks.tick().await;
        let now = Instant::now();
        due += now.duration_since(before).as_secs_f64() * shared.rate.load(Ordering::Relaxed) as f64 / 1_000.0;
        before = now;
        while due >= 1.0 {
            due -= 1.0;
            // No room: this one is left out, not saved up for a burst later.
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
            shared.sent.fetch_add(1, Ordering::Relaxed);
            let (provider, function, path, pinned) = (provider.clone(), function.clone(), path.clone(), pinned.clone());
            tokio::spawn(async move {
                // Its answer is counted where all answers are; that one could not be sent shows as missing requests.
                let _ = provider.probe(&function, &path, pinned.as_ref()).await;
                drop(permit);
            });
        }
    }
}
