//! The one thread that writes: everything that waits is committed together.

use std::path::PathBuf;
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::log::Log;
use super::tail::Tail;
use super::{DeliveriesError, Keep, Replayed, Stored, mark, sweep};
use crate::model::delivery::{Delivery, Handled};
use crate::model::id::DeliveryId;
use crate::model::time::Timestamp;

/// Asks that wait at most. Their bytes are bounded by whoever takes bodies in.
const QUEUE: usize = 1024;
/// Bytes of one commit at most, roughly: what waits longer is committed next.
const BATCH_BYTES: usize = 8 << 20;

type Answer<T> = oneshot::Sender<Result<T, DeliveriesError>>;

/// What is asked of the writer.
#[derive(Debug)]
pub(super) enum Ask {
    Store {
        delivery: Delivery,
        answer: Answer<Stored>,
    },
    Handled {
        id: DeliveryId,
        at: Timestamp,
        how: Handled,
        answer: Answer<()>,
    },
    /// Nobody can read its body.
    Damaged {
        id: DeliveryId,
        at: Timestamp,
        why: String,
        answer: Answer<()>,
    },
    Missed {
        id: DeliveryId,
        why: String,
        answer: Answer<()>,
    },
    Replay {
        id: DeliveryId,
        answer: Answer<Replayed>,
    },
}

/// What it got, to be said when it is on disk.
pub(super) enum Said {
    Stored(Stored),
    Full,
    TooLong,
    Done,
    Replayed(Replayed),
}

#[derive(Debug)]
pub(super) struct Writer {
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Ask>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn spawn(connection: Connection, folder: PathBuf, keep: Keep) -> std::io::Result<Self> {
        let (queue, asks) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("deliveries".to_owned()).spawn(move || Desk::new(connection, folder, keep).serve(asks))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Waits for its turn.
    pub async fn ask<T>(&self, ask: impl FnOnce(Answer<T>) -> Ask) -> Result<Result<T, DeliveriesError>, DeliveriesError> {
        let (answer, answered) = oneshot::channel();
        self.queue.as_ref().ok_or_else(gone)?.send(ask(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }

    /// Does not wait where others wait already.
    pub async fn now<T>(&self, ask: impl FnOnce(Answer<T>) -> Ask) -> Result<Result<T, DeliveriesError>, DeliveriesError> {
        let (answer, answered) = oneshot::channel();
        self.queue.as_ref().ok_or_else(gone)?.try_send(ask(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DeliveriesError::Full("too many wait to be written"),
            mpsc::error::TrySendError::Closed(_) => gone(),
        })?;
        answered.await.map_err(|_| gone())
    }
}

impl Drop for Writer {
    /// What was asked for is written before the store closes.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn gone() -> DeliveriesError {
    DeliveriesError::Write("the writer of deliveries has stopped".to_owned())
}

/// Why a batch could not be committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Index(#[from] rusqlite::Error),
    #[error("its log: {0}")]
    Log(#[from] std::io::Error),
}

struct Desk {
    connection: Connection,
    folder: PathBuf,
    log: Log,
    /// Whether every commit of the connection is synced by now; at first it is.
    every: bool,
    keep: Keep,
    /// The newest moment that was heard of: what is old is old compared with it.
    now: Timestamp,
}

impl Desk {
    fn new(connection: Connection, folder: PathBuf, keep: Keep) -> Self {
        Self { connection, log: Log::new(folder.clone()), every: true, folder, keep, now: Timestamp::EPOCH }
    }

    fn serve(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.blocking_recv() {
            let batch = gather(ask, &mut asks);
            let done = self.commit(&batch);
            let swept = matches!(done, Ok((_, true)));
            answer(batch, done.map(|(said, _)| said).map_err(|error| DeliveriesError::Write(error.to_string())));
            if swept && let Err(error) = self.sync(true).and_then(|()| sweep::files(&self.connection, &self.folder)) {
                tracing::error!(%error, "bodies that are not kept any longer stay on disk");
            }
        }
    }

    /// Whether every commit is synced, or only what is written back into the database's file.
    fn sync(&mut self, every: bool) -> rusqlite::Result<()> {
        if self.every != every {
            self.connection.pragma_update(None, "synchronous", if every { "FULL" } else { "NORMAL" })?;
            self.every = every;
        }
        Ok(())
    }

    /// One transaction, and whether it dropped bodies. The lock is taken first, so what is read in it is what is there when it is written. The bodies are on disk
    /// before the index says where.
    fn commit(&mut self, batch: &[Ask]) -> Result<(Vec<Said>, bool), Trouble> {
        // What a mark says is nowhere else.
        self.sync(batch.iter().any(|ask| !matches!(ask, Ask::Store { .. })))?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut tail = Tail::of(&transaction, &self.folder)?;
        let mut said = Vec::with_capacity(batch.len());
        for ask in batch {
            said.push(match ask {
                Ask::Store { delivery, .. } => {
                    self.now = self.now.max(delivery.received);
                    tail.store(delivery, self.keep)?
                }
                Ask::Handled { id, at, how, .. } => {
                    self.now = self.now.max(*at);
                    mark::handled(&transaction, id, *at, how)?;
                    Said::Done
                }
                Ask::Damaged { id, at, why, .. } => {
                    self.now = self.now.max(*at);
                    mark::damaged(&transaction, &self.folder, id, *at, why)?;
                    Said::Done
                }
                Ask::Missed { id, why, .. } => {
                    mark::missed(&transaction, id, why)?;
                    Said::Done
                }
                Ask::Replay { id, .. } => Said::Replayed(mark::replay(&transaction, id)?),
            });
        }
        tail.write(&mut self.log)?;
        let swept = sweep::bodies(&transaction, self.keep, self.now)?;
        transaction.commit()?;
        Ok((said, swept))
    }
}

fn gather(first: Ask, asks: &mut mpsc::Receiver<Ask>) -> Vec<Ask> {
    let size = |ask: &Ask| if let Ask::Store { delivery, .. } = ask { delivery.body.len() } else { 0 };
    let mut bytes = size(&first);
    let mut batch = vec![first];
    while bytes < BATCH_BYTES && batch.len() < QUEUE {
        let Ok(ask) = asks.try_recv() else { break };
        bytes += size(&ask);
        batch.push(ask);
    }
    batch
}

/// Whoever stopped waiting does not need the answer.
fn answer(batch: Vec<Ask>, done: Result<Vec<Said>, DeliveriesError>) {
    let mut said = match &done {
        Ok(_) => None,
        Err(error) => Some(error.clone()),
    };
    let mut all = done.unwrap_or_default().into_iter();
    for ask in batch {
        let failed = || said.clone().unwrap_or_else(gone);
        let one = all.next();
        match ask {
            Ask::Store { answer, .. } => drop(answer.send(match one {
                Some(Said::Stored(stored)) => Ok(stored),
                Some(Said::Full) => Err(DeliveriesError::Full("too many wait to be handled")),
                Some(Said::TooLong) => Err(DeliveriesError::Write("it has 4 GiB or more".to_owned())),
                _ => Err(failed()),
            })),
            Ask::Handled { answer, .. } | Ask::Damaged { answer, .. } | Ask::Missed { answer, .. } => {
                drop(answer.send(one.map(|_| ()).ok_or_else(failed)))
            }
            Ask::Replay { answer, .. } => drop(answer.send(match one {
                Some(Said::Replayed(replayed)) => Ok(replayed),
                _ => Err(failed()),
            })),
        }
    }
    said.take();
}
