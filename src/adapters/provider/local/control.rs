//! The control socket: how a deploy reaches the process that hosts. Only the same user can talk to it, by the socket's mode and by the kernel's word for
//! who is at the other end.

use std::convert::Infallible;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::{Provider as _, ProviderError};
use super::host::Host;
use super::wire::{Answer, Call, FunctionStatus, Health, Outcome, PROTOCOL};
use crate::adapters::gateway::http::{self, Reply};

const SOCKET: &str = "control.sock";
const CALL_BYTES: usize = 1 << 20;
const ANSWER_BYTES: usize = 16 << 20;
/// For one call. Publishing and prewarming may take their time.
const CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// A socket's path may have at most 107 bytes; this one is short wherever the state folder is. The file must stay open while the path is used.
fn short(root: &Path) -> std::io::Result<(std::fs::File, PathBuf)> {
    let folder = std::fs::File::open(root)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok((folder, path))
}

/// Takes the place of a socket that a process which died has left: the caller holds the lock.
pub fn bind(root: &Path) -> std::io::Result<UnixListener> {
    let (_folder, path) = short(root)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers calls until `closing`.
pub async fn run(listener: UnixListener, host: Arc<Host>, mut closing: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let us = rustix::process::geteuid().as_raw();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == us || peer.uid() == 0) {
            continue;
        }
        let (host, closing) = (host.clone(), closing.clone());
        connections.spawn(async move {
            let service = hyper::service::service_fn(|request| {
                let host = host.clone();
                async move { Ok::<_, Infallible>(reply(request, &host).await) }
            });
            http::serve(stream, service, closing).await;
        });
    }
    while connections.join_next().await.is_some() {}
}

async fn reply(request: Request<Incoming>, host: &Host) -> Reply {
    if request.method() != Method::POST || request.uri().path() != "/call" {
        return http::message(StatusCode::NOT_FOUND, "expected POST /call");
    }
    let Ok(body) = http::read_body(request.into_body(), CALL_BYTES, CALL_TIMEOUT).await else {
        return http::message(StatusCode::BAD_REQUEST, "the call can not be read");
    };
    let outcome = match serde_json::from_slice(&body) {
        Ok(call) => perform(host, call).await,
        Err(error) => {
            Err(ProviderError::Rejected(format!("the host does not understand this call ({error}): is it of another version of Tidegate?")))
        }
    };
    match serde_json::to_vec(&outcome) {
        Ok(text) => Response::new(Full::new(Bytes::from(text))),
        Err(error) => http::message(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn perform(host: &Host, call: Call) -> Outcome {
    Ok(match call {
        Call::Health => Answer::Health(health(host)),
        Call::List => Answer::Functions(list(host)?),
        Call::Publish { function, artifact, digest } => Answer::Release(host.publish(&function, &artifact, &digest).await?),
        Call::Traffic { function } => Answer::Traffic(host.traffic(&function).await?),
        Call::Prewarm { release, instances } => Answer::ColdStarts(host.prewarm(&release, instances).await?),
        Call::Shift { function, split, expected } => Answer::Revision(host.shift(&function, &split, expected).await?),
        Call::Observe { function, stable, canary, slow_over } => Answer::Observed(host.observe(&function, &stable, &canary, slow_over).await?),
        Call::Probe { function, path, pinned } => {
            host.probe(&function, &path, pinned.as_ref()).await?;
            Answer::Done
        }
    })
}

pub fn health(host: &Host) -> Health {
    Health { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id(), gateway: host.gateway().address() }
}

pub fn list(host: &Host) -> Result<Vec<FunctionStatus>, ProviderError> {
    let shown = |record: super::store::FunctionRecord| FunctionStatus {
        name: record.name,
        traffic: record.traffic,
        releases: record.releases.into_iter().map(|known| known.release).collect(),
    };
    Ok(host.functions()?.into_iter().map(shown).collect())
}

/// One call to the process that hosts.
pub async fn call(root: &Path, call: &Call) -> Outcome {
    let gone = |why: &dyn std::fmt::Display| ProviderError::Unavailable(format!("the process that hosts the functions does not answer ({why})"));
    let exchange = async {
        let body = serde_json::to_vec(call).map_err(|e| gone(&e))?;
        let stream = connect(root).await.map_err(|e| gone(&e))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| gone(&e))?;
        let carried = tokio::spawn(connection);
        let request = Request::post("/call").header("host", "tidegate").body(Full::new(Bytes::from(body))).map_err(|e| gone(&e))?;
        let response = sender.send_request(request).await.map_err(|e| gone(&e))?;
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(|e| gone(&e))?.to_bytes();
        carried.abort();
        serde_json::from_slice::<Outcome>(&body).map_err(|e| gone(&e))?
    };
    tokio::time::timeout(CALL_TIMEOUT, exchange).await.unwrap_or_else(|_| Err(gone(&"it took too long")))
}

async fn connect(root: &Path) -> std::io::Result<UnixStream> {
    let (_folder, path) = short(root)?;
    UnixStream::connect(path).await
}
