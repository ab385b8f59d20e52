//! HTTP/1.1 as all our small servers speak it: limits on everything that the other side sends.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};

use super::options::{FIRST_REQUEST, HEADER_BYTES, HEADER_TIMEOUT, HEADERS};

pub type Reply = Response<Full<Bytes>>;

/// Why a body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    TooLarge,
    TooSlow,
    /// The connection ended within it, or it was not HTTP.
    Broken,
}

/// Reads a whole body of at most `limit` bytes. A little of what is over the limit is read and dropped, so that the sender gets to read the answer.
pub async fn read_body(mut body: Incoming, limit: usize, within: Duration) -> Result<Bytes, BodyError> {
    let declared = body.size_hint().exact();
    let reading = async {
        let mut whole = Vec::with_capacity(declared.map_or(0, |n| usize::try_from(n).unwrap_or(limit).min(limit)));
        let mut seen = 0_usize;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            seen = seen.saturating_add(data.len());
            if seen <= limit {
                whole.extend_from_slice(&data);
            } else if seen > limit.saturating_mul(4) {
                break;
            } else {
                whole = Vec::new();
            }
        }
        if seen > limit { Err(BodyError::TooLarge) } else { Ok(Bytes::from(whole)) }
    };
    if declared.is_some_and(|n| n > limit as u64 * 4) {
        return Err(BodyError::TooLarge);
    }
    tokio::time::timeout(within, reading).await.unwrap_or(Err(BodyError::TooSlow))
}

/// What one connection may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one request.
    pub headers: usize,
    /// All headers of one request, with its first line.
    pub header_bytes: usize,
    /// For a head to be whole, and for the next one to begin.
    pub header_time: Duration,
}

const OURS: Limits = Limits { headers: HEADERS, header_bytes: HEADER_BYTES, header_time: HEADER_TIMEOUT };

/// Serves one connection until it ends, or until `closing` says so and the request under way has been answered.
pub async fn serve<I, S, B>(io: I, service: S, closing: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    serve_within(OURS, io, service, closing).await;
}

/// The same within other limits.
pub async fn serve_within<I, S, B>(limits: Limits, io: I, service: S, mut closing: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (asked, ending) = (Notify::new(), closing.clone());
    let service = service_fn(|request| {
        asked.notify_one();
        let (answering, ending) = (service.call(request), &ending);
        async move {
            let mut answer = answering.await?;
            if *ending.borrow() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, S::Error>(answer)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    // What goes wrong on a connection is its client's business: there is nobody to tell.
    let told = tokio::select! {
        _ = connection.as_mut() => false,
        told = closing.wait_for(|closing| *closing) => told.is_ok(),
    };
    if !told {
        return;
    }
    // A connection that has been accepted and has not been read from would be closed with its request on the way: nobody would answer that.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = asked.notified() => {}
        () = tokio::time::sleep(FIRST_REQUEST) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

pub fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    let mut text = value.to_string();
    text.push('\n');
    let mut reply = Response::new(Full::new(Bytes::from(text)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// The shape of API Gateway's own errors.
pub fn message(status: StatusCode, text: &str) -> Reply {
    json(status, &serde_json::json!({ "message": text }))
}
