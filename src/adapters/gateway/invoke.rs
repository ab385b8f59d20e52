//! The way of one request through the gateway: pick a destination, invoke, count, answer.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};

use super::counts::Ended;
use super::desk::Answer;
use super::event::{self, Incoming};
use super::fleet::FunctionState;
use super::http::{Reply, message};
use super::pool::{Pool, Served};
use super::reply;
use crate::model::traffic::Destination;

const RELEASE: HeaderName = HeaderName::from_static("x-tidegate-release");
const REQUEST: HeaderName = HeaderName::from_static("x-tidegate-request-id");
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-tidegate-function-error");

/// Serves one request to the end, whether or not its client still waits: so that it is counted, and so that its instance comes back.
pub async fn serve(function: Arc<FunctionState>, request: Incoming, pinned: Option<Destination>) -> Reply {
    tokio::spawn(carry(function, request, pinned)).await.unwrap_or_else(|_| message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"))
}

async fn carry(function: Arc<FunctionState>, request: Incoming, pinned: Option<Destination>) -> Reply {
    let began = Instant::now();
    let to = pinned.unwrap_or_else(|| function.pick(fastrand::u16(0..10_000)));
    let id = uuid::Uuid::now_v7().to_string();
    let Some(pool) = function.pool(&to) else {
        function.count(&to, Ended::Served { error: true, cold: false, took: began.elapsed() });
        return nobody(&to);
    };
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let event = event::render(&request, &function.name, &id, u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
    let trace = trace(&request, at.as_secs());
    // The request's own copy of its body is not needed any more, and it may be large.
    drop(request);
    let (served, cold) = pool.invoke(&id, &event, &trace).await;
    if matches!(&served, Served::InitFailed(failure) if !failure.ours) {
        function.count_init_failure(&to);
    }
    let throttled = matches!(served, Served::Throttled);
    let mut reply = answer(served, &pool, &id);
    let ended = if throttled { Ended::Throttled } else { Ended::Served { error: reply.status().is_server_error(), cold, took: began.elapsed() } };
    function.count(&to, ended);
    let release = &pool.deployed.release;
    for (name, value) in [(RELEASE, format!("{} v{}", release.id.short(), release.version)), (REQUEST, id)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            reply.headers_mut().insert(name, value);
        }
    }
    reply
}

/// Nothing serves this share. The client may come back: something may soon.
fn nobody(to: &Destination) -> Reply {
    let text = match to {
        Destination::Vacant => "no release takes this share of the traffic yet",
        Destination::Release(_) | Destination::Upstream(_) => "what takes this share of the traffic is not here",
    };
    let mut reply = message(StatusCode::SERVICE_UNAVAILABLE, text);
    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    reply
}

/// Clients learn that a function failed, and the name of its error; its inner life goes to the log.
fn answer(served: Served, pool: &Pool, id: &str) -> Reply {
    let release = &pool.deployed.release;
    let (status, kind, why) = match served {
        Served::Answer(answer, notes) => {
            let (kind, why) = match answer {
                Answer::Response { body, streamed } => match reply::read(&body, streamed) {
                    Ok(reply) => return reply,
                    Err(why) => ("Runtime.InvalidResponse".to_owned(), why),
                },
                Answer::Error { kind, body } => (kind, excerpt(&body)),
                Answer::TooLarge => ("Function.ResponseSizeTooLarge".to_owned(), "its answer is over the limit".to_owned()),
                Answer::Broken(why) => ("Runtime.TruncatedResponse".to_owned(), why.to_owned()),
                Answer::Crashed | Answer::Untouched => ("Runtime.ExitError".to_owned(), "its process ended before it answered".to_owned()),
            };
            notes.note(&format!("{id} failed: {kind}: {why}"));
            (StatusCode::BAD_GATEWAY, kind, why)
        }
        Served::InitFailed(failure) => (StatusCode::BAD_GATEWAY, "Runtime.InitError".to_owned(), failure.reason),
        Served::TimedOut => {
            (StatusCode::GATEWAY_TIMEOUT, "Sandbox.Timedout".to_owned(), format!("no answer within {:?}", pool.deployed.function.timeout))
        }
        Served::Throttled => {
            let mut reply = message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return reply;
        }
    };
    tracing::warn!(function = %release.function, version = release.version, request = id, error = ?kind, ?why, "an invocation failed");
    let text = if status == StatusCode::GATEWAY_TIMEOUT { "Endpoint request timed out" } else { "Internal Server Error" };
    let mut reply = message(status, text);
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        reply.headers_mut().insert(FUNCTION_ERROR, kind);
    }
    reply
}

fn excerpt(body: &Bytes) -> String {
    String::from_utf8_lossy(body).chars().take(2000).collect()
}

/// The client's own trace where it sent one, else a new one.
fn trace(request: &Incoming, seconds: u64) -> String {
    match request.headers.get("x-amzn-trace-id").and_then(|value| value.to_str().ok()).filter(|value| value.len() <= 512) {
        Some(given) => given.to_owned(),
        None => format!("Root=1-{seconds:08x}-{:08x}{:016x};Parent={:016x};Sampled=0", fastrand::u32(..), fastrand::u64(..), fastrand::u64(..)),
    }
}
