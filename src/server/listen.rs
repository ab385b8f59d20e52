//! Connections: HTTP/1.1 with limits on everything that the other side decides.
//!
//! A client that takes its time over a head is cut off, and one that takes nothing of its answer; over a body is for the handler to say, as it knows how long one may
//! be. Past the number of connections new ones wait in the kernel's queue. Behind a proxy that speaks TLS, as it should be in the open, its limits come first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::adapters::gateway::http;

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
    /// As long as this a client may take nothing of what it asked for. In milliseconds for the kernel, so at most some weeks.
    pub untaken: Duration,
    /// For what is under way when the server ends.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { connections: 1024, headers: 100, header_bytes: 32 << 10, header_time: second * 10, untaken: second * 120, grace: second * 10 }
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
        let permit = tokio::select! {
            permit = room.clone().acquire_owned() => permit,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        let Ok(permit) = permit else { break };
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

async fn connection(stream: TcpStream, client: SocketAddr, router: Router, limits: Limits, closing: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    // The kernel's own clock for it: it knows what the other side has taken. (A window that stays shut counts since Linux 5.11.)
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, u32::try_from(limits.untaken.as_millis()).unwrap_or(i32::MAX as u32));
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(client));
        router.call(request)
    });
    let Limits { headers, header_bytes, header_time, .. } = limits;
    http::serve_within(http::Limits { headers, header_bytes, header_time }, stream, service, closing).await;
}
