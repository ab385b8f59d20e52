//! The wire: reads a request whole, lets it go wrong where it shall, and writes down what was asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::world::now;
use super::{Asked, Fault, Shared, api};

type Answer = (u16, Value);

pub fn serve(listener: std::net::TcpListener, shared: &Arc<Shared>, stopped: tokio::sync::oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let mut stopped = stopped;
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                connected = listener.accept() => {
                    let Ok((stream, _)) = connected else { continue };
                    let shared = Arc::clone(shared);
                    tokio::spawn(async move {
                        let service = service_fn(move |request| one(Arc::clone(&shared), request));
                        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            }
        }
    });
}

/// An error ends the connection without an answer.
async fn one(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let gone = || std::io::Error::other("as the test wants it");
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| gone())?.to_bytes();
    let headers: BTreeMap<String, String> =
        head.headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
    let mut asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        by: String::new(),
        body: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or_else(|_| json!({ "not JSON": true })) },
        headers,
        answer: None,
    };
    let fault = shared.trouble(&asked.method, &asked.path);
    if let Some(Fault::Slow(time)) = fault {
        tokio::time::sleep(time).await;
    }
    if fault == Some(Fault::Held) {
        shared.hold().await;
    }
    let (answer, extra) = {
        let mut world = shared.world.lock().expect("no test has panicked in it");
        let (by, good) = api::who(&world, asked.headers.get("authorization").map(String::as_str), &asked.path);
        asked.by = by;
        let (answer, extra): (Option<Answer>, Vec<(&str, String)>) = match fault {
            Some(Fault::Answer(status)) => (Some((status, json!({ "message": "Server Error" }))), Vec::new()),
            Some(Fault::Refused) => (None, Vec::new()),
            Some(Fault::Secondary(after)) => (Some((403, secondary())), vec![("retry-after", after.to_string())]),
            Some(Fault::TooMany(after)) => (Some((429, secondary())), vec![("retry-after", after.to_string())]),
            Some(Fault::Exhausted(after)) => {
                let said = json!({ "message": "API rate limit exceeded for installation ID 1.", "documentation_url": "https://docs.github.com/rest/rate-limit" });
                (Some((403, said)), vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", (now() + after).to_string())])
            }
            Some(Fault::BadCredentials) => (Some((401, json!({ "message": "Bad credentials" }))), Vec::new()),
            _ => match good {
                Ok(()) => (Some(api::answer(&mut world, &asked)), Vec::new()),
                Err(said) => (Some(said), Vec::new()),
            },
        };
        world.remaining = world.remaining.saturating_sub(1);
        let silent = matches!(fault, Some(Fault::AfterDoing | Fault::Silence | Fault::Refused));
        asked.answer = answer.as_ref().filter(|_| !silent).map(|answer| answer.0);
        let mut extra = extra;
        if !extra.iter().any(|(name, _)| *name == "x-ratelimit-remaining") {
            extra.push(("x-ratelimit-remaining", world.remaining.to_string()));
            extra.push(("x-ratelimit-reset", (now() + 3600).to_string()));
        }
        world.asked.push(asked);
        (answer, extra)
    };
    match fault {
        Some(Fault::AfterDoing | Fault::Refused) => return Err(gone()),
        Some(Fault::Silence) => std::future::pending().await,
        _ => {}
    }
    let (status, body) = answer.ok_or_else(gone)?;
    let text = if fault == Some(Fault::Nonsense) { "<html>Unicorn!</html>".to_owned() } else { body.to_string() };
    let mut response = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
    for (name, value) in extra {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(text))).map_err(|_| gone())
}

fn secondary() -> Value {
    json!({
        "message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"
    })
}
