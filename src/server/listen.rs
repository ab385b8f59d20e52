//! Connections: HTTP/1.1 with limits on everything that the other side decides.
//!
//! A client that takes its time over a head is cut off; over a body is for the handler to say, as it knows how long one may be. Past the number of connections
//! new ones wait in the kernel's queue. Behind a proxy that speaks TLS, as it should be in the open, its limits come first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At once.
    pub connections: usize,
    /// Of one request.
    pub headers: usize,
    /// All headers of one request, with its first line.
    pub header_bytes: usize,
    /// For a head to be whole, and for the next one to begin.
    pub header_time: Duration,
    /// For what is under way when the server ends.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { connections: 1024, headers: 100, header_bytes: 32 << 10, header_time: second * 10, grace: second * 10 }
    }
}

/// Serves until `closing` says so, then takes nothing new and returns when what was under way is answered, or after [`Limits::grace`].
///
/// The listener is the caller's to bind, or to be handed over. A handler finds its client in `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, mut closing: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (router, closing) = (router.clone(), closing.clone());
        connections.spawn(async move {
            connection(stream, client, router, limits, closing).await;
            drop(permit);
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    // Whoever is still at it is cut off when the set is dropped.
    let _ = tokio::time::timeout(limits.grace, all).await;
}

async fn connection(stream: TcpStream, client: SocketAddr, router: Router, limits: Limits, mut closing: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(client));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // What goes wrong on a connection is its client's business: there is nobody to tell.
    let told = tokio::select! {
        _ = connection.as_mut() => false,
        told = closing.wait_for(|closing| *closing) => told.is_ok(),
    };
    if told {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}
