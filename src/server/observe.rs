//! Follows the journal, whoever writes there: counts what happens, and tells the traces of runs that have ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::metrics::Metrics;
use super::traces::Traces;
use crate::adapters::journal::{AnyJournal, Journal as _, JournalError};
use crate::model::fact::{Entry, Fact, RunFact, Stream};
use crate::model::id::RunId;
use crate::model::request::RequestFact;
use crate::report::trace;

const LOOK: Duration = Duration::from_millis(500);
const MANY: usize = 500;
/// Runs whose traces wait to be told.
const WAITING: usize = 256;

/// From now on, and never ends. What happened while nobody followed is not counted.
pub async fn follow(journal: AnyJournal, metrics: Arc<Metrics>, traces: Option<Traces>) {
    let traces = traces.map(|traces| {
        let (sender, runs) = mpsc::channel(WAITING);
        tokio::spawn(tell(journal.clone(), traces, runs));
        sender
    });
    let mut mark = None;
    loop {
        match journal.tail(mark, MANY).await {
            Ok((next, entries)) => {
                let more = !entries.is_empty();
                mark = Some(next);
                for entry in &entries {
                    metrics.fact(&entry.fact);
                    if let Err(error) = observe(&journal, &metrics, traces.as_ref(), entry).await {
                        tracing::warn!("{error}");
                    }
                }
                if more {
                    continue;
                }
            }
            Err(error) => tracing::warn!("the journal can not be followed: {error}"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn observe(journal: &AnyJournal, metrics: &Metrics, traces: Option<&mpsc::Sender<RunId>>, entry: &Entry) -> Result<(), JournalError> {
    match (&entry.stream, &entry.fact) {
        (Stream::Request(_), Fact::Request(RequestFact::Begun)) => {
            if let Some(asked) = journal.read_after(&entry.stream, 0, 1).await?.first() {
                metrics.waited(entry.at.since(asked.at));
            }
        }
        (Stream::Run(run), Fact::Run(RunFact::Ended { .. })) => {
            if let Some(traces) = traces
                && traces.try_send(run.clone()).is_err()
            {
                tracing::warn!(run = run.as_str(), "its trace is not told: {WAITING} others wait for whoever collects them");
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whoever collects them can be slow: nothing else waits for that.
async fn tell(journal: AnyJournal, traces: Traces, mut runs: mpsc::Receiver<RunId>) {
    while let Some(run) = runs.recv().await {
        match journal.read(&Stream::Run(run.clone())).await {
            Ok(entries) => traces.tell(&run, &trace::spans(&entries)).await,
            Err(error) => tracing::warn!(run = run.as_str(), "its trace could not be told: {error}"),
        }
    }
}

/// Runs that are under way and requests that wait, as they are now.
pub async fn count(journal: &AnyJournal, metrics: &Metrics) -> Result<(), JournalError> {
    let unfinished = journal.unfinished().await?;
    let running = unfinished.iter().filter(|left| matches!(left.stream, Stream::Run(_))).count();
    let waiting = unfinished.iter().filter(|left| matches!(left.stream, Stream::Request(_))).count();
    metrics.runs(running, waiting);
    Ok(())
}
