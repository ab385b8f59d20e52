//! What happens, as it happens: facts of a run and bytes of a log as server-sent events, from where the reader was cut off.
//!
//! The id of an event is what to go on from: a fact's number, or how many bytes of the log have been told. A stream is filled by a task of its own, so that a
//! reader who takes nothing loses his place after a while and holds nothing of ours.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::Stream as Flow;
use futures_util::stream;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::extract::{Path, Query};
use super::{Api, Problem, logs, page};
use crate::adapters::journal::Journal as _;
use crate::model::fact::{Fact, RunFact, Stream};
use crate::model::id::NodeId;
use crate::runtime::said::{Piece, Said};

/// Streams at once, of all readers together.
const STREAMS: usize = 256;
/// How often the journal or the log is looked at: whoever writes there may be another process.
const LOOK: Duration = Duration::from_millis(200);
/// How long a reader may take nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// A stream ends then, and its reader comes again: nobody has a place for ever.
const LIFE: Duration = Duration::from_secs(3600);
/// Events that wait for the reader.
const WAITING: usize = 16;

#[derive(Debug)]
pub struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

impl Streams {
    pub fn open(&self) -> usize {
        STREAMS.saturating_sub(self.0.available_permits())
    }
}

/// The reader's end is gone, it takes nothing, or the time is over.
struct Over;

/// Where events are put in.
struct Line {
    sender: mpsc::Sender<Event>,
    since: tokio::time::Instant,
    draining: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
}

impl Line {
    /// The reader comes again: to the next process, if this one drains.
    fn is_over(&self) -> bool {
        self.since.elapsed() > LIFE || *self.draining.borrow()
    }

    async fn tell(&self, event: Event) -> Result<(), Over> {
        if self.is_over() {
            return Err(Over);
        }
        match tokio::time::timeout(PATIENCE, self.sender.send(event)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Over),
        }
    }

    async fn wait(&self) -> Result<(), Over> {
        tokio::select! {
            () = self.sender.closed() => Err(Over),
            () = tokio::time::sleep(LOOK) => if self.is_over() { Err(Over) } else { Ok(()) },
        }
    }
}

type Answer = Result<Sse<axum::response::sse::KeepAliveStream<Pieces>>, Problem>;
type Pieces = std::pin::Pin<Box<dyn Flow<Item = Result<Event, Infallible>> + Send>>;

fn answer(api: &Api) -> Result<(Line, Sse<axum::response::sse::KeepAliveStream<Pieces>>), Problem> {
    let place = api.streams.0.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable(format!("{STREAMS} streams are open already")))?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let pieces: Pieces = Box::pin(stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|event| (Ok(event), receiver))));
    let keep = KeepAlive::new().interval(Duration::from_secs(15));
    Ok((Line { sender, since: tokio::time::Instant::now(), draining: api.life.draining(), _place: place }, Sse::new(pieces).keep_alive(keep)))
}

/// What the reader has seen last, if it has come before.
fn seen(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let number = id.to_str().ok().and_then(|id| id.parse().ok());
    number.map(Some).ok_or_else(|| Problem::invalid("Last-Event-ID: expected a whole number, the id of the last event"))
}

/// An event of a stream, by the fields that it is sent with.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only described: axum writes it")]
pub struct FactEvent {
    /// `fact` or `end`
    #[schema(pattern = "^(fact|end)$")]
    event: String,
    /// The fact's number; the end has none.
    #[schema(pattern = "^[0-9]+$")]
    id: Option<String>,
    /// JSON
    data: String,
}

/// An event of a stream, by the fields that it is sent with.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only described: axum writes it")]
pub struct LogEvent {
    /// `log` or `end`
    #[schema(pattern = "^(log|end)$")]
    event: String,
    /// How many bytes have been told with it; the end has none.
    #[schema(pattern = "^[0-9]+$")]
    id: Option<String>,
    /// JSON
    data: String,
}

/// A run's facts, from the first or from behind the one that was seen last (`Last-Event-ID`, or `after`).
///
/// Each event is called `fact`; its id is the fact's number, its data the fact as the journal has it. The last is called `end`.
#[utoipa::path(get, path = "/api/v1/runs/{run}/events", tag = "runs", params(("run" = String, Path), super::runs::After, ("last-event-id" = Option<u64>, Header)),
    responses((status = 200, body = FactEvent, content_type = "text/event-stream")))]
pub async fn run(State(api): State<Api>, Path(given): Path<String>, Query(after): Query<super::runs::After>, headers: HeaderMap) -> Answer {
    let id = api.records.run_id(&given).await?;
    let last = seen(&headers)?.or(after.after).unwrap_or(0);
    let (line, answer) = answer(&api)?;
    tokio::spawn(async move { tell_facts(&api, &line, Stream::Run(id), last).await });
    Ok(answer)
}

async fn tell_facts(api: &Api, line: &Line, stream: Stream, mut last: u64) -> Result<(), Over> {
    loop {
        // Asked before the facts are read: what is written in between is not missed.
        let interrupted = api.records.is_interrupted(&stream).await.map_err(|_| Over)?;
        let facts = api.records.journal.read_after(&stream, last, 100).await.map_err(|_| Over)?;
        let nothing = facts.is_empty();
        for entry in facts {
            let data = serde_json::to_string(&entry).map_err(|_| Over)?;
            line.tell(Event::default().event("fact").id(entry.number.to_string()).data(data)).await?;
            last = entry.number;
        }
        if nothing {
            let newest = api.records.journal.last(&stream).await.map_err(|_| Over)?;
            // Written since it was read: that comes first, even if it is the end.
            if newest.as_ref().is_some_and(|entry| entry.number > last) {
                continue;
            }
            let ended = newest.is_some_and(|entry| is_end(&entry.fact));
            if ended || interrupted {
                return line.tell(Event::default().event("end").data(json!({ "interrupted": !ended }).to_string())).await;
            }
            line.wait().await?;
        }
    }
}

fn is_end(fact: &Fact) -> bool {
    matches!(fact, Fact::Run(RunFact::Ended { .. }))
}

/// What an attempt of a step says, from its beginning or from behind what was told last (`Last-Event-ID`, or `offset`).
///
/// Each event is called `log`; its id is how many bytes have been told with it, its data `{"text": …}`, or `{"base64": …}` for what is not UTF-8. The last is
/// called `end`.
#[utoipa::path(get, path = "/api/v1/runs/{run}/logs/{node}/{attempt}/events", tag = "runs",
    params(("run" = String, Path), ("node" = String, Path), ("attempt" = u32, Path), logs::Which, ("last-event-id" = Option<u64>, Header)),
    responses((status = 200, body = LogEvent, content_type = "text/event-stream")))]
pub async fn log(
    State(api): State<Api>,
    Path((run, node, attempt)): Path<(String, String, u32)>,
    Query(which): Query<logs::Which>,
    headers: HeaderMap,
) -> Answer {
    page::text("service", which.service.as_ref())?;
    let run = api.records.run_id(&run).await?;
    let path = logs::file(&api, &run, &node, attempt, which.service.as_deref()).await?;
    let from = seen(&headers)?.or(which.offset).unwrap_or(0);
    let (line, answer) = answer(&api)?;
    let said = Said::new(api.records.clone(), (run, NodeId::new(node), attempt), path, from);
    tokio::spawn(async move { tell_log(&line, said, from).await });
    Ok(answer)
}

async fn tell_log(line: &Line, mut said: Said, mut told: u64) -> Result<(), Over> {
    let mut kept: Vec<u8> = Vec::new();
    loop {
        let whole = match said.next().await.map_err(|_| Over)? {
            Piece::Bytes(bytes) => {
                kept.extend_from_slice(&bytes);
                // Half a character waits for its other half.
                kept.len() - half(&kept)
            }
            Piece::Nothing => {
                line.wait().await?;
                continue;
            }
            Piece::End if kept.is_empty() => return line.tell(Event::default().event("end").data(json!({ "bytes": told }).to_string())).await,
            Piece::End => kept.len(),
        };
        if whole == 0 {
            continue;
        }
        let piece: Vec<u8> = kept.drain(..whole).collect();
        told += piece.len() as u64;
        let data = match String::from_utf8(piece) {
            Ok(text) => json!({ "text": text }),
            Err(error) => json!({ "base64": STANDARD.encode(error.as_bytes()) }),
        };
        line.tell(Event::default().event("log").id(told.to_string()).data(data.to_string())).await?;
    }
}

/// Bytes at the end that are the beginning of a character.
fn half(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    match std::str::from_utf8(tail) {
        Err(error) if error.error_len().is_none() => tail.len() - error.valid_up_to(),
        // It may begin in the middle of one.
        Err(_) => (1..=tail.len())
            .find(|n| matches!(std::str::from_utf8(&tail[tail.len() - n..]), Err(error) if error.error_len().is_none() && error.valid_up_to() == 0))
            .unwrap_or(0),
        Ok(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_is_told_with_its_other_half() {
        for (bytes, expected) in
            [(&b"abc"[..], 0), ("aé".as_bytes(), 0), (&"aé".as_bytes()[..2], 1), (&"€".as_bytes()[..2], 2), (&"😀".as_bytes()[..3], 3)]
        {
            assert_eq!(half(bytes), expected, "{bytes:?}");
        }
        assert_eq!(half(&[0xff, 0xff, 0xff]), 0);
        assert_eq!(half(&[0x82, 0xac, 0xe2]), 1);
    }
}
