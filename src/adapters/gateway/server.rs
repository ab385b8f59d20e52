//! The gateway's front door.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming as Body;
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::event::Incoming;
use super::fleet::State;
use super::http::{self, BodyError, Reply, message, read_body};
use super::invoke;
use super::options::{BODY_LIMIT, BODY_TIMEOUT, CONNECTIONS};
use super::route::{Route, find};

/// Accepts connections until `closing`, then returns when the requests under way have been answered.
pub async fn run(listener: TcpListener, local: SocketAddr, state: Arc<State>, mut closing: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Past the limit clients wait in the listener's queue.
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the gateway could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (state, closing) = (state.clone(), closing.clone());
        connections.spawn(async move {
            let service = hyper::service::service_fn(|request| {
                let state = state.clone();
                async move { Ok::<_, std::convert::Infallible>(answer(request, &state, client, local).await) }
            });
            http::serve(stream, service, closing).await;
            drop(permit);
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn answer(request: Request<Body>, state: &State, client: SocketAddr, local: SocketAddr) -> Reply {
    if request.method() == Method::CONNECT {
        return message(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served: the gateway is no proxy");
    }
    // Whoever stands before us may have gone by the other one.
    if request.headers().get_all(HOST).iter().count() > 1 {
        return message(StatusCode::BAD_REQUEST, "a request has one Host, found several");
    }
    let (name, path) = match find(request.uri(), request.headers()) {
        Route::Index => return index(state, local),
        Route::Function { name, path } => (name, path),
        Route::Nothing(found) => {
            return message(StatusCode::NOT_FOUND, &format!("the path begins with a function's name, found {found:?}; GET / lists the functions"));
        }
    };
    let Some(function) = state.function(&name) else {
        return message(StatusCode::NOT_FOUND, &format!("there is no function {name}; GET / lists the functions"));
    };
    let (head, body) = request.into_parts();
    let body = match read_body(body, BODY_LIMIT, BODY_TIMEOUT).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => return message(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body may have at most {BODY_LIMIT} bytes")),
        Err(BodyError::TooSlow) => return message(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        Err(BodyError::Broken) => return message(StatusCode::BAD_REQUEST, "the body was cut short"),
    };
    let query = head.uri.query().unwrap_or_default().to_owned();
    let request = Incoming { method: head.method, version: head.version, path, query, headers: head.headers, body, client, local };
    invoke::serve(function, request, None).await
}

fn index(state: &State, local: SocketAddr) -> Reply {
    let functions: Vec<_> = state
        .functions()
        .iter()
        .map(|function| {
            let split: Vec<_> = function.split().iter().map(|(to, weight)| json!({ "to": to.to_string(), "weight": weight.to_string() })).collect();
            json!({ "function": function.name, "url": format!("http://{local}/{}", function.name), "traffic": split })
        })
        .collect();
    let mut reply = http::json(StatusCode::OK, &json!({ "functions": functions }));
    reply.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    reply
}
