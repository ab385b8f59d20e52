//! The one thread that writes: everything that waits is committed together.

use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::super::JournalError;
use super::key;
use crate::model::fact::Stream;

/// Appends that wait at most; past it `append` itself waits.
const QUEUE: usize = 1024;
/// Bytes of one commit at most, roughly: what waits longer is committed next.
const BATCH_BYTES: usize = 8 << 20;

/// What is asked of the writer, already in the journal's own form.
#[derive(Debug)]
pub(super) struct Append {
    pub stream: Stream,
    pub first: i64,
    pub at: i64,
    pub bodies: Vec<String>,
    pub ends: bool,
}

type Answer = Result<(), JournalError>;
type Job = (Append, oneshot::Sender<Answer>);

#[derive(Debug)]
pub(super) struct Writer {
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn spawn(connection: Connection, owner: String) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || write(connection, &owner, jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub async fn append(&self, append: Append) -> Answer {
        let gone = || JournalError::Write("its writer has stopped".to_owned());
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.send((append, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    /// What was asked for is written before the journal closes.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(mut connection: Connection, owner: &str, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.blocking_recv() {
        let batch = gather(job, &mut jobs);
        match commit(&mut connection, owner, &batch) {
            Ok(answers) => {
                for ((_, answer), outcome) in batch.into_iter().zip(answers) {
                    // Whoever stopped waiting does not need the answer.
                    let _ = answer.send(outcome);
                }
            }
            Err(error) => {
                let error = JournalError::Write(error.to_string());
                for (_, answer) in batch {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }
}

fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let size = |job: &Job| job.0.bodies.iter().map(String::len).sum::<usize>();
    let mut bytes = size(&first);
    let mut batch = vec![first];
    while bytes < BATCH_BYTES && batch.len() < QUEUE {
        let Ok(job) = jobs.try_recv() else { break };
        bytes += size(&job);
        batch.push(job);
    }
    batch
}

/// One transaction. The lock is taken first, so what is read in it is what is there when it is written.
fn commit(connection: &mut Connection, owner: &str, batch: &[Job]) -> rusqlite::Result<Vec<Answer>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let answers = batch.iter().map(|(append, _)| insert(&transaction, owner, append)).collect::<rusqlite::Result<Vec<_>>>()?;
    transaction.commit()?;
    Ok(answers)
}

/// A conflict is this append's own and leaves the others alone; it is found before anything of it is written.
fn insert(transaction: &Transaction<'_>, owner: &str, append: &Append) -> rusqlite::Result<Answer> {
    let (kind, stream) = key(&append.stream);
    let last: Option<i64> =
        transaction.query_row("SELECT last FROM streams WHERE kind = ?1 AND stream = ?2", (kind, stream), |row| row.get(0)).optional()?;
    if last.unwrap_or(0).checked_add(1) != Some(append.first) {
        return Ok(Err(JournalError::Conflict { stream: append.stream.clone() }));
    }
    let mut statement = transaction.prepare("INSERT INTO facts (kind, stream, number, at, fact) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut number = append.first;
    for body in &append.bodies {
        statement.execute(params![kind, stream, number, append.at, body])?;
        number += 1;
    }
    transaction.execute(
        "INSERT INTO streams (kind, stream, opened, last, ended, owner) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (kind, stream) DO UPDATE SET last = excluded.last, ended = max(ended, excluded.ended), owner = excluded.owner",
        params![kind, stream, append.at, number - 1, append.ends, owner],
    )?;
    Ok(Ok(()))
}
