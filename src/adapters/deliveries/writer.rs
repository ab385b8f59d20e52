//! The one thread that writes: everything that waits is committed together.

use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::reader::signed;
use super::{DeliveriesError, Keep, Replayed, Stored};
use crate::model::delivery::{Delivery, Handled};
use crate::model::id::DeliveryId;
use crate::model::time::Timestamp;

/// Asks that wait at most. Their bytes are bounded by whoever takes bodies in.
const QUEUE: usize = 1024;
/// Bytes of one commit at most, roughly: what waits longer is committed next.
const BATCH_BYTES: usize = 8 << 20;
/// Bodies dropped with one commit at most, so that nobody waits long for it.
const SWEEP: i64 = 64;

type Answer<T> = oneshot::Sender<Result<T, DeliveriesError>>;

/// What is asked of the writer.
#[derive(Debug)]
pub(super) enum Ask {
    Store { delivery: Delivery, answer: Answer<Stored> },
    Handled { id: DeliveryId, at: Timestamp, how: Handled, answer: Answer<()> },
    Missed { id: DeliveryId, why: String, answer: Answer<()> },
    Replay { id: DeliveryId, answer: Answer<Replayed> },
}

/// What it got, to be said when it is on disk.
enum Said {
    Stored(Stored),
    Full,
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
    pub fn spawn(connection: Connection, keep: Keep) -> std::io::Result<Self> {
        let (queue, asks) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("deliveries".to_owned()).spawn(move || Desk::new(connection, keep).serve(asks))?;
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

struct Desk {
    connection: Connection,
    keep: Keep,
    /// Bytes of all bodies that are kept. `None` until somebody has counted.
    kept: Option<u64>,
    /// The newest moment that was heard of: what is old is old compared with it.
    now: Timestamp,
}

impl Desk {
    fn new(connection: Connection, keep: Keep) -> Self {
        Self { connection, keep, kept: None, now: Timestamp::EPOCH }
    }

    fn serve(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(ask) = asks.blocking_recv() {
            let batch = gather(ask, &mut asks);
            let done = self.commit(&batch);
            if done.is_err() {
                // Not known how far it came.
                self.kept = None;
            }
            answer(batch, done.map_err(|error| DeliveriesError::Write(error.to_string())));
        }
    }

    /// One transaction. The lock is taken first, so what is read in it is what is there when it is written.
    fn commit(&mut self, batch: &[Ask]) -> rusqlite::Result<Vec<Said>> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut kept = self.kept.map_or_else(|| count(&transaction), Ok)?;
        let mut said = Vec::with_capacity(batch.len());
        for ask in batch {
            said.push(match ask {
                Ask::Store { delivery, .. } => {
                    self.now = self.now.max(delivery.received);
                    // What is here already needs no room.
                    if kept >= self.keep.bytes.saturating_mul(2) && seen(&transaction, delivery)?.is_none() {
                        Said::Full
                    } else {
                        let stored = store(&transaction, delivery)?;
                        kept += if stored == Stored::New { delivery.body.len() as u64 } else { 0 };
                        Said::Stored(stored)
                    }
                }
                Ask::Handled { id, at, how, .. } => {
                    self.now = self.now.max(*at);
                    handled(&transaction, id, *at, how)?;
                    Said::Done
                }
                Ask::Missed { id, why, .. } => {
                    let mut statement = transaction.prepare_cached("UPDATE deliveries SET attempts = attempts + 1, missed = ?2 WHERE id = ?1")?;
                    statement.execute(params![id.as_str(), why])?;
                    Said::Done
                }
                Ask::Replay { id, .. } => Said::Replayed(replay(&transaction, id)?),
            });
        }
        kept = kept.saturating_sub(sweep(&transaction, kept, self.keep, self.now)?);
        transaction.commit()?;
        self.kept = Some(kept);
        Ok(said)
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
                _ => Err(failed()),
            })),
            Ask::Handled { answer, .. } | Ask::Missed { answer, .. } => drop(answer.send(one.map(|_| ()).ok_or_else(failed))),
            Ask::Replay { answer, .. } => drop(answer.send(match one {
                Some(Said::Replayed(replayed)) => Ok(replayed),
                _ => Err(failed()),
            })),
        }
    }
    said.take();
}

fn count(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    transaction.query_row("SELECT coalesce(sum(bytes), 0) FROM deliveries WHERE kept = 1", (), |row| row.get(0))
}

/// What was here before of that id. Of one whose body is gone only its kind and length can be compared.
fn seen(transaction: &Transaction<'_>, delivery: &Delivery) -> rusqlite::Result<Option<Stored>> {
    let sql = "SELECT d.event, d.bytes, b.body FROM deliveries d LEFT JOIN bodies b ON b.number = d.number WHERE d.id = ?1";
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_row([delivery.id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    Ok(found.map(|(event, bytes, body): (String, u64, Option<Vec<u8>>)| {
        let same = event == delivery.event && bytes == delivery.body.len() as u64 && body.is_none_or(|body| body == delivery.body);
        if same { Stored::AlreadyThere } else { Stored::Taken }
    }))
}

fn store(transaction: &Transaction<'_>, delivery: &Delivery) -> rusqlite::Result<Stored> {
    let Delivery { id, event, received, body } = delivery;
    let mut statement = transaction.prepare_cached(
        "INSERT INTO deliveries (id, event, received, bytes, kept, waiting) VALUES (?1, ?2, ?3, ?4, 1, 1) ON CONFLICT (id) DO NOTHING",
    )?;
    let new = statement.execute(params![id.as_str(), event, signed(received.as_micros()), signed(body.len() as u64)])? == 1;
    if !new {
        return Ok(seen(transaction, delivery)?.unwrap_or(Stored::Taken));
    }
    transaction.prepare_cached("INSERT INTO bodies (number, body) VALUES (?1, ?2)")?.execute(params![transaction.last_insert_rowid(), body])?;
    Ok(Stored::New)
}

fn handled(transaction: &Transaction<'_>, id: &DeliveryId, at: Timestamp, how: &Handled) -> rusqlite::Result<()> {
    let how = serde_json::to_string(how).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let sql = "UPDATE deliveries SET waiting = 0, attempts = attempts + 1, missed = NULL, handled_at = ?2, handled = ?3 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute(params![id.as_str(), signed(at.as_micros()), how])?;
    Ok(())
}

fn replay(transaction: &Transaction<'_>, id: &DeliveryId) -> rusqlite::Result<Replayed> {
    let sql = "SELECT waiting, kept FROM deliveries WHERE id = ?1";
    let found = transaction.query_row(sql, [id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(match found {
        None => Replayed::Unknown,
        Some((true, _)) => Replayed::AlreadyWaiting,
        Some((false, false)) => Replayed::Dropped,
        Some((false, true)) => {
            transaction.execute("UPDATE deliveries SET waiting = 1 WHERE id = ?1", [id.as_str()])?;
            Replayed::Waiting
        }
    })
}

/// Drops bodies that are too old or too many, the oldest first, and says how many bytes they had.
fn sweep(transaction: &Transaction<'_>, kept: u64, keep: Keep, now: Timestamp) -> rusqlite::Result<u64> {
    let old = signed(now.as_micros().saturating_sub(u64::try_from(keep.time.as_micros()).unwrap_or(u64::MAX)));
    let mut statement =
        transaction.prepare_cached("SELECT number, received, bytes FROM deliveries WHERE kept = 1 AND waiting = 0 ORDER BY number LIMIT ?1")?;
    let oldest = statement.query_map([SWEEP], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let oldest = oldest.collect::<rusqlite::Result<Vec<(i64, i64, u64)>>>()?;
    let mut freed = 0;
    for (number, received, bytes) in oldest {
        if received >= old && kept - freed <= keep.bytes {
            break;
        }
        transaction.prepare_cached("DELETE FROM bodies WHERE number = ?1")?.execute([number])?;
        transaction.prepare_cached("UPDATE deliveries SET kept = 0 WHERE number = ?1")?.execute([number])?;
        freed += bytes;
    }
    Ok(freed)
}
