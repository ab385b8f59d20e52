//! Real git over HTTP: `git http-backend` behind a small CGI server on loopback, as GitHub's side of a fetch.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use base64::Engine as _;
use tokio::io::AsyncWriteExt as _;

/// A folder of bare repositories that answers to git. Ends with its runtime.
#[derive(Clone)]
pub struct GitHttp {
    shared: Arc<Shared>,
    pub address: SocketAddr,
}

struct Shared {
    root: PathBuf,
    requests: AtomicUsize,
    /// Who must log in with it (`x-access-token`).
    token: Mutex<Option<String>>,
    /// What everybody who asks is told instead.
    redirect: Mutex<Option<String>>,
}

impl GitHttp {
    pub async fn serve(root: &Path) -> Self {
        let shared = Arc::new(Shared { root: root.to_owned(), requests: AtomicUsize::new(0), token: Mutex::default(), redirect: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { shared, address }
    }

    pub fn url(&self, repository: &str) -> String {
        format!("http://{}/{repository}.git", self.address)
    }

    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    pub fn require(&self, token: &str) {
        *self.shared.token.lock().expect("nobody panicked") = Some(token.to_owned());
    }

    pub fn redirect(&self, to: &str) {
        *self.shared.redirect.lock().expect("nobody panicked") = Some(to.to_owned());
    }
}

fn plain(status: StatusCode) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).expect("an answer")
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let redirect = shared.redirect.lock().expect("nobody panicked").clone();
    if let Some(to) = redirect {
        let to = format!("{to}{}", request.uri());
        return Response::builder().status(302).header("location", to).body(Body::empty()).expect("an answer");
    }
    let token = shared.token.lock().expect("nobody panicked").clone();
    if let Some(token) = token {
        let expected = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}")));
        if request.headers().get("authorization").is_none_or(|found| found.as_bytes() != expected.as_bytes()) {
            return plain(StatusCode::UNAUTHORIZED);
        }
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.expect("the body");
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        // The tests' repositories belong to whoever runs them.
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        // As GitHub: a commit is given to who knows its name.
        .env("GIT_CONFIG_KEY_1", "uploadpack.allowAnySHA1InWant")
        .env("GIT_CONFIG_VALUE_1", "true")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("git http-backend");
    let mut input = child.stdin.take().expect("its input");
    let writing = tokio::spawn(async move { input.write_all(&body).await });
    let output = child.wait_with_output().await.expect("its answer");
    let _ = writing.await;
    let end = output.stdout.windows(4).position(|four| four == b"\r\n\r\n").expect("headers of CGI");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output.stdout[..end]).lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        response = match name {
            "Status" => response.status(value.split(' ').next().and_then(|code| code.parse::<u16>().ok()).expect("a status")),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(output.stdout[end + 4..].to_vec())).expect("an answer")
}
