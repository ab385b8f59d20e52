//! Lets connections in, as many as there is room for, and finds out what they speak.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::reach::Way;
use super::{CONNECTIONS, HEAD_TIME, http, relay, socks};

/// Set once a connection has got through to somebody: from then on it does not make room for others.
pub type Settled = Arc<AtomicBool>;

pub async fn serve(listener: &TcpListener, way: &Way) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut waiting: VecDeque<(AbortHandle, Settled)> = VecDeque::new();
    loop {
        while connections.try_join_next().is_some() {}
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        waiting.retain(|(task, settled)| !task.is_finished() && !settled.load(Ordering::Relaxed));
        if room.available_permits() == 0
            && let Some((oldest, _)) = waiting.pop_front()
        {
            oldest.abort();
        }
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let settled = Settled::default();
        let task = connections.spawn({
            let (way, settled) = (way.clone(), settled.clone());
            async move {
                attend(client, &way, &settled).await;
                drop(permit);
            }
        });
        waiting.push_back((task, settled));
    }
}

/// The first byte tells SOCKS from HTTP.
async fn attend(mut client: TcpStream, way: &Way, settled: &Settled) {
    let _ = client.set_nodelay(true);
    let mut first = [0];
    match timeout(HEAD_TIME, client.peek(&mut first)).await {
        Ok(Ok(1)) => {}
        _ => return,
    }
    if first != [socks::VERSION] {
        return http::serve(client, way, settled).await;
    }
    if let Ok(Some(reached)) = socks::connect(&mut client, way).await {
        settled.store(true, Ordering::Relaxed);
        relay::relay(client, reached, way).await;
    }
}
