//! Who watches: the terminal, plain lines or JSON. They are shown facts after these are on disk, never before.

use std::sync::{Arc, Mutex};

use crate::model::fact::Entry;
use crate::model::id::NodeId;

/// Something to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    Fact(Box<Entry>),
    /// Output of a step as it comes, in pieces of any size.
    Log {
        node: NodeId,
        bytes: Vec<u8>,
    },
    /// A sentence for the person that belongs to no fact.
    Note(String),
}

/// How much output may wait to be shown; more is only in the log file.
const PENDING_LOG_LIMIT: usize = 4 << 20;

/// A shared queue towards whoever shows. Never blocks a step or the loop.
#[derive(Debug, Clone, Default)]
pub struct Observer {
    pending: Arc<Mutex<Pending>>,
    wake: Arc<tokio::sync::Notify>,
    /// Told at once, instead of a queue.
    called: Option<Called>,
}

#[derive(Clone)]
struct Called(Arc<dyn Fn(Shown) + Send + Sync>);

impl std::fmt::Debug for Called {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Called")
    }
}

#[derive(Debug, Default)]
struct Pending {
    shown: Vec<Shown>,
    log_bytes: usize,
    dropped: usize,
}

impl Observer {
    /// Nothing is kept: `call` is told of everything as it comes, from the loops of runs, so it must not wait.
    pub fn calling(call: impl Fn(Shown) + Send + Sync + 'static) -> Self {
        Self { called: Some(Called(Arc::new(call))), ..Self::default() }
    }

    pub fn fact(&self, entry: &Entry) {
        self.push(Shown::Fact(Box::new(entry.clone())));
    }

    /// Something that another one was shown.
    pub fn pass(&self, shown: Shown) {
        match shown {
            Shown::Log { node, bytes } => self.log(&node, &bytes),
            shown => self.push(shown),
        }
    }

    pub fn note(&self, text: impl Into<String>) {
        self.push(Shown::Note(text.into()));
    }

    pub fn log(&self, node: &NodeId, bytes: &[u8]) {
        if let Some(called) = &self.called {
            return (called.0)(Shown::Log { node: node.clone(), bytes: bytes.to_vec() });
        }
        let mut pending = lock(&self.pending);
        if pending.log_bytes + bytes.len() > PENDING_LOG_LIMIT {
            pending.dropped += bytes.len();
            return;
        }
        pending.log_bytes += bytes.len();
        match pending.shown.last_mut() {
            Some(Shown::Log { node: last, bytes: tail }) if last == node => tail.extend_from_slice(bytes),
            _ => pending.shown.push(Shown::Log { node: node.clone(), bytes: bytes.to_vec() }),
        }
        drop(pending);
        self.wake.notify_one();
    }

    /// All that has come since the last call.
    pub fn drain(&self) -> Vec<Shown> {
        let mut pending = lock(&self.pending);
        pending.log_bytes = 0;
        let dropped = std::mem::take(&mut pending.dropped);
        let mut shown = std::mem::take(&mut pending.shown);
        if dropped > 0 {
            shown.push(Shown::Note(format!("{dropped} bytes of output came too fast to show; they are in the log file")));
        }
        shown
    }

    /// Returns when there may be something new.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    fn push(&self, shown: Shown) {
        if let Some(called) = &self.called {
            return (called.0)(shown);
        }
        lock(&self.pending).shown.push(shown);
        self.wake.notify_one();
    }
}

/// A panic while the lock was held can not leave a `Vec` half-written, so a poisoned lock is still good.
fn lock(pending: &Mutex<Pending>) -> std::sync::MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
