//! `mode: trigger`: a server is asked for a run, which is shown here until its end. The server is a small one that answers as docs/api.md says; what it tells is the
//! journal of a real run.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::rig::action;
use crate::support::World;

#[derive(Default)]
struct Server {
    facts: Vec<Value>,
    /// How often it is asked for facts before the run begins.
    waits: usize,
    /// Times that it has trouble, in between.
    trouble: usize,
    /// The run is never begun, and its request is gone.
    dropped: bool,
    never_ends: bool,
    asked: Vec<Value>,
    tokens: Vec<String>,
    cancelled: Vec<String>,
}

type Shared = Arc<Mutex<Server>>;

fn no(status: StatusCode, detail: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({ "type": "about:blank", "title": "no", "status": status.as_u16(), "detail": detail })))
}

async fn start(State(server): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut server = server.lock().unwrap();
    server.tokens.push(token.clone());
    if token != "Bearer the-token" {
        return no(StatusCode::UNAUTHORIZED, "no such token\n::error::obeyed");
    }
    server.asked.push(body);
    (StatusCode::ACCEPTED, Json(json!({ "runs": ["r-1"], "said": "asked" })))
}

async fn facts(State(server): State<Shared>, Path(run): Path<String>, Query(query): Query<BTreeMap<String, u64>>) -> (StatusCode, Json<Value>) {
    let mut server = server.lock().unwrap();
    if run != "r-1" || server.dropped {
        return no(StatusCode::NOT_FOUND, "there is no run r-1");
    }
    if server.waits > 0 {
        server.waits -= 1;
        return no(StatusCode::NOT_FOUND, "there is no run r-1");
    }
    if server.trouble > 0 {
        server.trouble -= 1;
        return no(StatusCode::SERVICE_UNAVAILABLE, "restarting");
    }
    let after = query.get("after").copied().unwrap_or(0);
    let mut facts: Vec<Value> = server.facts.iter().filter(|fact| fact["number"].as_u64().unwrap() > after).take(3).cloned().collect();
    if server.never_ends {
        facts.retain(|fact| !fact.to_string().contains("\"ended\"") || fact.to_string().contains("node"));
    }
    (StatusCode::OK, Json(json!({ "of": "r-1", "interrupted": false, "facts": facts })))
}

async fn requests(State(server): State<Shared>) -> Json<Value> {
    let waiting = server.lock().unwrap().waits > 0;
    let request = json!({
        "run": "r-1", "pipeline": "ci", "repository": "acme/doors", "commit": "0123456789abcdef0123456789abcdef01234567", "branch": null,
        "event": "manual", "trusted": true, "asked": 1, "group": null, "priority": 0, "approval": "somebody has to look at it"
    });
    Json(json!({ "requests": if waiting { vec![request] } else { vec![] } }))
}

async fn cancel(State(server): State<Shared>, Path(run): Path<String>) -> (StatusCode, Json<Value>) {
    server.lock().unwrap().cancelled.push(run);
    (StatusCode::ACCEPTED, Json(json!({ "runs": [], "said": "stopping" })))
}

/// The server's address. It lives as long as the runtime.
async fn serve(server: Shared) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new()
        .route("/api/v1/runs", post(start))
        .route("/api/v1/runs/{run}/facts", get(facts))
        .route("/api/v1/runs/{run}/cancel", post(cancel))
        .route("/api/v1/requests", get(requests))
        .with_state(server);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

/// What a real run has written into a real journal.
fn real(pipeline: &str) -> Vec<Value> {
    let world = World::with(&[(".tidegate/ci.yaml", pipeline)]);
    world.tidegate(&["run"]);
    let seen = world.tidegate(&["runs", "show", "latest", "--json"]).expect(0);
    seen.out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

const GOOD: &str = "name: ci\non: { manual: {} }\nsteps:\n  one: { run: echo one }\n  two: { needs: [one], run: echo two }\n";
const BAD: &str = "name: ci\non: { manual: {} }\nsteps:\n  one: { run: \"true\" }\n  breaks: { needs: [one], run: exit 7 }\n";

fn command(world: &World, url: &str, token: &str) -> Command {
    let mut command = Command::new(action().join("run.sh"));
    command.current_dir(world.path("home")).env_clear();
    command.envs(["STEP", "ARGS", "REF", "WORKING_DIRECTORY"].map(|name| (format!("INPUT_{name}"), "")));
    command.envs([
        ("PATH", "/usr/bin:/bin"),
        ("INPUT_MODE", "trigger"),
        ("INPUT_FILE", ".tidegate/ci.yaml"),
        ("INPUT_PARAMS", "who=you\nof=a=b\n"),
        ("INPUT_WAIT", "true"),
    ]);
    command.envs([("TIDEGATE_PROGRAM", env!("CARGO_BIN_EXE_tidegate")), ("TIDEGATE_SERVER", url), ("TIDEGATE_TOKEN", token)]);
    command.envs([("INPUT_REPOSITORY", ""), ("GITHUB_REPOSITORY", "acme/doors"), ("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567")]);
    command.env("GITHUB_OUTPUT", world.path("output")).env("GITHUB_STEP_SUMMARY", world.path("summary"));
    command.stdin(Stdio::null());
    command
}

async fn run(url: &str, token: &str) -> (World, Option<i32>, String) {
    let world = World::new();
    let mut command = command(&world, url, token);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (world, output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn output(world: &World, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(world.path("output")).ok()?;
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("{name}<<")));
    lines.nth(1).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_on_a_server_is_waited_for_and_shown() {
    let server = Shared::default();
    *server.lock().unwrap() = Server { facts: real(GOOD), waits: 2, trouble: 2, ..Server::default() };
    let url = serve(server.clone()).await;
    let (world, code, said) = run(&url, "the-token").await;
    assert_eq!(code, Some(0), "{said}");
    for expected in ["it waits for approval: somebody has to look at it", "two", "succeeded"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(output(&world, "outcome").as_deref(), Some("succeeded"));
    assert!(std::fs::read_to_string(world.path("summary")).unwrap().contains("`two`"));
    let server = server.lock().unwrap();
    let asked = json!({ "repository": "acme/doors", "pipeline": ".tidegate/ci.yaml", "ref": "0123456789abcdef0123456789abcdef01234567", "params": { "of": "a=b", "who": "you" } });
    assert_eq!(server.asked, [asked], "once, whatever happened afterwards");
    assert!(!said.contains("the-token"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_there_fails_here() {
    let server = Shared::default();
    *server.lock().unwrap() = Server { facts: real(BAD), ..Server::default() };
    let (world, code, said) = run(&serve(server).await, "the-token").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("::error title=tidegate / breaks::breaks failed"), "{said}");
    assert_eq!(output(&world, "outcome").as_deref(), Some("failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_not_begin_is_not_waited_for() {
    let server = Shared::default();
    server.lock().unwrap().dropped = true;
    let (_, code, said) = run(&serve(server).await, "the-token").await;
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("will not begin"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_believed_is_said_and_no_word_of_the_server_is_a_command() {
    let server = Shared::default();
    let (_, code, said) = run(&serve(server.clone()).await, "another").await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(": no such token ::error::obeyed"), "{said}");
    let (_, code, said) = run("http://ci.example.com", "the-token").await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is not over TLS"), "{said}");
    assert_eq!(server.lock().unwrap().tokens, ["Bearer another"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_is_cancelled_cancels_its_run() {
    let server = Shared::default();
    *server.lock().unwrap() = Server { facts: real(GOOD), never_ends: true, ..Server::default() };
    let url = serve(server.clone()).await;
    let world = World::new();
    let mut child = command(&world, &url, "the-token").stdout(Stdio::null()).spawn().unwrap();
    while server.lock().unwrap().asked.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let code = tokio::task::spawn_blocking(move || child.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(130));
    assert_eq!(server.lock().unwrap().cancelled, ["r-1"]);
}
