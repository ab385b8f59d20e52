//! The AWS Lambda Runtime API, version 2018-06-01, for one instance.
//!
//! Documented by AWS; where its text leaves something open, the answers are those of the public runtime interface emulator.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::desk::{Answer, Desk, Job, Refusal};
use super::http::{BodyError, Reply, json, read_body, serve};
use super::options::{BODY_TIMEOUT, ERROR_LIMIT, INSTANCE_CONNECTIONS, PAYLOAD_LIMIT};

const ROOT: &str = "/2018-06-01/runtime/";
const STREAMED: &str = "application/vnd.awslambda.http-integration-response";

/// Serves until it is dropped. Every connection is the instance's own: what it does to them, it does to itself.
pub async fn run(listener: TcpListener, desk: Arc<Desk>, arn: Arc<str>) {
    let room = Arc::new(Semaphore::new(INSTANCE_CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    let (_open, closing) = watch::channel(false);
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an instance's Runtime API could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (desk, arn, closing) = (desk.clone(), arn.clone(), closing.clone());
        connections.spawn(async move {
            let service = hyper::service::service_fn(|request| {
                let (desk, arn) = (desk.clone(), arn.clone());
                async move { Ok::<_, std::convert::Infallible>(answer(request, &desk, &arn).await) }
            });
            serve(stream, service, closing).await;
            drop(permit);
        });
    }
}

async fn answer(request: Request<Incoming>, desk: &Desk, arn: &str) -> Reply {
    let path = request.uri().path().to_owned();
    let Some(rest) = path.strip_prefix(ROOT) else { return not_found() };
    let parts: Vec<&str> = rest.split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => match desk.next().await {
            Ok(job) => invocation(job, arn),
            Err(refusal) => refused(refusal),
        },
        (&Method::POST, ["invocation", id, "response"]) => response(desk, id, request).await,
        (&Method::POST, ["invocation", id, "error"]) => error(desk, id, request).await,
        (&Method::POST, ["init", "error"]) => init_error(desk, request).await,
        (_, ["invocation", "next"] | ["invocation", _, "response" | "error"] | ["init", "error"]) => {
            problem(StatusCode::METHOD_NOT_ALLOWED, "InvalidMethod", "Method not allowed")
        }
        _ => not_found(),
    }
}

fn invocation(job: Job, arn: &str) -> Reply {
    let mut reply = Response::new(Full::new(job.event));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [
        ("lambda-runtime-aws-request-id", job.id.as_str()),
        ("lambda-runtime-deadline-ms", &job.deadline_ms.to_string()),
        ("lambda-runtime-invoked-function-arn", arn),
        ("lambda-runtime-trace-id", &job.trace),
    ] {
        if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    reply
}

async fn response(desk: &Desk, id: &str, request: Request<Incoming>) -> Reply {
    let slip = match desk.begin(id, "InvocationResponse") {
        Ok(slip) => slip,
        Err(refusal) => return refused(refusal),
    };
    let mode = request.headers().get("lambda-runtime-function-response-mode").cloned();
    if mode.is_some_and(|mode| mode.as_bytes() != b"streaming") {
        slip.finish(Answer::Error { kind: "Runtime.InvalidResponseModeHeader".to_owned(), body: Bytes::new() });
        return problem(StatusCode::BAD_REQUEST, "InvalidFunctionResponseMode", "Invalid function response mode");
    }
    let streamed = request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(STREAMED.as_bytes()));
    match read_body(request.into_body(), PAYLOAD_LIMIT, BODY_TIMEOUT).await {
        Ok(body) => {
            slip.finish(Answer::Response { body, streamed });
            accepted()
        }
        Err(BodyError::TooLarge) => {
            slip.finish(Answer::TooLarge);
            problem(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                &format!("Exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes)."),
            )
        }
        Err(BodyError::TooSlow | BodyError::Broken) => {
            slip.finish(Answer::Broken("its answer was cut short"));
            problem(StatusCode::BAD_REQUEST, "TruncatedHTTPRequest", "HTTP request detected as truncated")
        }
    }
}

async fn error(desk: &Desk, id: &str, request: Request<Incoming>) -> Reply {
    let slip = match desk.begin(id, "InvocationErrorResponse") {
        Ok(slip) => slip,
        Err(refusal) => return refused(refusal),
    };
    let kind = error_kind(request.headers());
    let body = read_body(request.into_body(), ERROR_LIMIT, BODY_TIMEOUT).await.unwrap_or_default();
    slip.finish(Answer::Error { kind, body });
    accepted()
}

async fn init_error(desk: &Desk, request: Request<Incoming>) -> Reply {
    let kind = error_kind(request.headers());
    let body = read_body(request.into_body(), ERROR_LIMIT, BODY_TIMEOUT).await.unwrap_or_default();
    match desk.init_failed(kind, String::from_utf8_lossy(&body).into_owned()) {
        Ok(()) => accepted(),
        Err(refusal) => refused(refusal),
    }
}

/// What the runtime calls its error, cut down to a word that can stand in a header.
fn error_kind(headers: &HeaderMap) -> String {
    let said = headers.get("lambda-runtime-function-error-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let word: String = said.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')).take(128).collect();
    if word.is_empty() { "Unhandled".to_owned() } else { word }
}

fn accepted() -> Reply {
    json(StatusCode::ACCEPTED, &serde_json::json!({ "status": "OK" }))
}

fn refused(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::WrongId => problem(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
        Refusal::Transition { from, to } => {
            let text = format!("State transition from {from} to {to} failed for runtime. Error: State transition is not allowed");
            problem(StatusCode::FORBIDDEN, "InvalidStateTransition", &text)
        }
    }
}

fn not_found() -> Reply {
    problem(StatusCode::NOT_FOUND, "NotFound", "The Runtime API has no such path")
}

fn problem(status: StatusCode, kind: &str, text: &str) -> Reply {
    json(status, &serde_json::json!({ "errorMessage": text, "errorType": kind }))
}
