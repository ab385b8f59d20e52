//! One listener's connections: each is served within limits, and when this process drains, what has been accepted is answered.

use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::adapters::gateway::http;

/// Connections at once; past it clients wait in the listener's queue.
pub const CONNECTIONS: usize = 1024;
/// For what is under way when this process drains.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Accepts until `draining`; returns when the requests under way have been answered, or [`DRAIN_TIMEOUT`] has passed. The listener stays open for whoever
/// holds it too. An answer that never ends (live events) has to watch `draining` itself. Requests carry
/// `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, app: Router, mut draining: watch::Receiver<bool>) {
    let room = std::sync::Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let permit = tokio::select! {
            permit = room.clone().acquire_owned() => permit,
            _ = draining.wait_for(|draining| *draining) => break,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => break,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the server could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (app, draining) = (TowerToHyperService::new(app.clone()), draining.clone());
        connections.spawn(async move {
            let service = service_fn(|mut request: Request<Incoming>| {
                request.extensions_mut().insert(ConnectInfo(client));
                app.call(request)
            });
            http::serve(stream, service, draining).await;
            drop(permit);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, async { while connections.join_next().await.is_some() {} }).await;
}
