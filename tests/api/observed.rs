//! What operators see: metrics, traces, and logs that hold no secret.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use tidegate::adapters::journal::{self, Journal as _, Watch};
use tidegate::core::run::{Effect, Input, NeedsView, Rules, Run, always};
use tidegate::model::access::Scope;
use tidegate::model::fact::{Fact, Stream};
use tidegate::model::id::RunId;
use tidegate::model::invocation::{InvocationRecord, InvocationResult, Phases};
use tidegate::model::outcome::{Exit, Outcome};
use tidegate::server::observe::follow;
use tidegate::server::traces::{Traces, trace_id};

use crate::bench::Bench;
use crate::past;

/// A collector as the protocol has it: takes protobuf over HTTP and keeps the spans, with the service that told them.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<(String, Span)>>>,
    /// Answers that it refuses first.
    refuses: Arc<Mutex<u32>>,
}

async fn take(State(collector): State<Collector>, headers: axum::http::HeaderMap, body: bytes::Bytes) -> (axum::http::StatusCode, Vec<u8>) {
    let mut refuses = collector.refuses.lock().expect("nobody panicked");
    if *refuses > 0 {
        *refuses -= 1;
        return (axum::http::StatusCode::SERVICE_UNAVAILABLE, Vec::new());
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).expect("what the protocol says");
    for resource in request.resource_spans {
        let service = resource.resource.iter().flat_map(|resource| &resource.attributes).find(|attribute| attribute.key == "service.name");
        let service = format!("{:?}", service.expect("a service").value);
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        collector.spans.lock().expect("nobody panicked").extend(spans.map(|span| (service.clone(), span)));
    }
    (axum::http::StatusCode::OK, Vec::new())
}

fn yes(_: &str, _: &serde_json::Value, _: &NeedsView<'_>) -> Result<bool, String> {
    Ok(true)
}

/// A run as the machine makes it, with phases: `test` succeeds, `build` fails.
async fn run(journal: &journal::AnyJournal, id: &str) {
    let rules = Rules { parallel: NonZeroUsize::MIN, condition: &yes, room: &always };
    let (mut run, mut turn) = Run::start(RunId::new(id), past::plan(), rules, past::seconds(500)).expect("a plan");
    let (mut number, mut now) = (1, 500);
    let mut outcomes = [Outcome::Succeeded, Outcome::Failed { exit: Exit::Code(2), reason: "exit code 2".to_owned() }].into_iter();
    loop {
        let many = turn.facts.len() as u64;
        let facts: Vec<Fact> = turn.facts.into_iter().map(Fact::Run).collect();
        journal.append(&Stream::Run(RunId::new(id)), number, past::seconds(now), facts).await.expect("appended");
        number += many;
        let invoked = turn
            .effects
            .iter()
            .find_map(|effect| if let Effect::Invoke { node, attempt, .. } = effect { Some((node.clone(), *attempt)) } else { None });
        let Some((node, attempt)) = invoked else { return };
        let phases = Phases { queued_us: 5, workspace_us: 1_000, setup_us: 2_000, exec_us: 3_000, run_us: 900_000, collect_us: 4_000 };
        let record = InvocationRecord { executor: "sandbox".to_owned(), started: true, phases, ..InvocationRecord::default() };
        let result =
            InvocationResult { outcome: outcomes.next().expect("an outcome"), record, artifacts: Vec::new(), values: BTreeMap::new(), layer: None };
        now += 1;
        turn = run.handle(Input::InvocationEnded { node, attempt, result: Box::new(result) }, rules, past::seconds(now)).expect("it fits");
    }
}

#[test]
fn a_run_is_counted_and_told_as_a_trace() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    let collector = Collector { refuses: Arc::new(Mutex::new(1)), ..Collector::default() };
    let router = axum::Router::new().route("/v1/traces", post(take)).with_state(collector.clone());
    let id = RunId::new("cc04");
    bench.runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let metrics = bench.metrics.clone();
        let watch = Watch::new(move |took| metrics.appended(took));
        let journal = journal::open(&bench.story.state.journal(), bench.story.living.id()).expect("the journal").watched(watch);
        let traces = Traces::open(&format!("http://{address}")).expect("an exporter");
        let following = tokio::spawn(follow(journal.clone(), bench.metrics.clone(), Some(traces)));
        // It follows from its first look on.
        tokio::time::sleep(Duration::from_millis(700)).await;
        run(&journal, "cc04").await;
        for _ in 0..200 {
            if !collector.spans.lock().expect("nobody panicked").is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        following.abort();
    });

    let spans = std::mem::take(&mut *collector.spans.lock().expect("nobody panicked"));
    assert!(spans.iter().all(|(service, span)| service.contains("tidegate") && span.trace_id == trace_id(&id).to_bytes()));
    let by_name: HashMap<&str, &Span> = spans.iter().map(|(_, span)| (span.name.as_str(), span)).collect();
    let (root, test, build) = (by_name["run shop"], by_name["invocation test"], by_name["invocation build"]);
    assert!(root.parent_span_id.is_empty() && test.parent_span_id == root.span_id && build.parent_span_id == root.span_id);
    let second = 1_000_000_000_u64;
    assert_eq!((root.end_time_unix_nano - root.start_time_unix_nano, test.end_time_unix_nano - test.start_time_unix_nano), (2 * second, second));
    let phases: Vec<&Span> = spans.iter().map(|(_, span)| span).filter(|span| span.parent_span_id == test.span_id).collect();
    assert_eq!(phases.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["workspace", "setup", "exec", "run", "collect"]);
    assert!(phases.windows(2).all(|two| two[0].end_time_unix_nano == two[1].start_time_unix_nano));
    assert_eq!(phases[0].start_time_unix_nano, test.start_time_unix_nano);
    let codes = [root, test, build].map(|span| span.status.as_ref().map(|status| (status.code, status.message.clone())));
    assert_eq!(codes, [Some((2, "failed".to_owned())), Some((1, String::new())), Some((2, "exit code 2".to_owned()))]);

    let text = bench.get("/metrics", &token);
    assert!(text.header("content-type").starts_with("application/openmetrics-text"));
    let text = text.text();
    for line in [
        "tidegate_invocations_total{outcome=\"succeeded\",executor=\"sandbox\"} 1",
        "tidegate_invocations_total{outcome=\"failed\",executor=\"sandbox\"} 1",
        "tidegate_runs_ended_total{outcome=\"failed\"} 1",
        "tidegate_invocation_phase_seconds_count{phase=\"run\"} 2",
        // bb03 lives, and aa02 has no end yet.
        "tidegate_runs{state=\"running\"} 2",
        "tidegate_runs{state=\"waiting\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("tidegate_journal_append_seconds_count 0"), "{text}");
}

#[test]
fn a_token_is_shown_once_and_is_in_no_log_answer_or_file() {
    let place = tempfile::tempdir().expect("a folder");
    let state = place.path().join("state");
    let tidegate = |arguments: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("--state-dir").arg(&state).args(arguments).env_clear().output().expect("it runs");
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (code, token, said) = tidegate(&["tokens", "create", "ci", "--scope", "read", "--scope", "run", "--expires", "30d"]);
    assert_eq!(code, Some(0), "{said}");
    let token = token.trim();
    assert!(token.starts_with("tgp_") && said.contains("only time") && !said.contains(token));
    let (_, listed, _) = tidegate(&["tokens", "ls"]);
    assert!(listed.starts_with("ci  read,run  until ") && listed.trim_end().ends_with("never used") && !listed.contains(token), "{listed}");
    let (_, listed, _) = tidegate(&["--json", "tokens", "ls"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&listed).expect("JSON")["scopes"], json!(["read", "run"]));
    assert_eq!(tidegate(&["tokens", "create", "ci", "--scope", "read"]).0, Some(2));
    assert_eq!(tidegate(&["tokens", "create", "../x", "--scope", "read"]).0, Some(2));
    assert_eq!(tidegate(&["tokens", "create", "x", "--scope", "root"]).0, Some(2));
    let mut left = vec![state.clone()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).expect("listed").map(|entry| entry.expect("an entry").path()));
        } else {
            let bytes = std::fs::read(&path).expect("read");
            assert!(!bytes.windows(20).any(|window| window == &token.as_bytes()[4..24]), "{} holds the token", path.display());
        }
    }
    assert_eq!(tidegate(&["tokens", "revoke", "ci"]).0, Some(0));
    assert_eq!(tidegate(&["tokens", "revoke", "ci"]).0, Some(2));
}

/// Everything that is logged while this runs, at the finest level.
fn logged(doing: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let kept = Kept::default();
    let writer = kept.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).json().finish();
    let _ = tracing::subscriber::set_global_default(log);
    doing();
    let bytes = kept.0.lock().expect("nobody panicked").clone();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn what_lets_somebody_in_is_in_no_line_of_the_log() {
    let mut secrets = Vec::new();
    let log = logged(|| {
        let bench = Bench::new();
        let token = bench.token(&[Scope::Read]);
        assert_eq!(bench.get("/api/v1/whoami", &token).status, 200);
        bench.get("/api/v1/whoami", "tgp_a-wrong-one-that-somebody-mistyped-in-part").problem(401);
        bench.send(bench.request("GET", "/api/v1/whoami").header("cookie", "tidegate=a-session-that-is-over")).problem(401);
        bench.send(bench.request("GET", "/login/callback?code=a-code-of-github&state=a-state-of-ours")).problem(404);
        secrets = vec![token, "a-wrong-one".to_owned(), "a-session-that".to_owned(), "a-code-of".to_owned(), "a-state-of".to_owned()];
    });
    let ours = log.lines().filter(|line| line.contains("answered")).count();
    assert!(ours >= 4, "{log}");
    for secret in &secrets {
        assert!(!log.lines().filter(|line| line.contains("tidegate::")).any(|line| line.contains(secret.as_str())), "{secret} is in the log:\n{log}");
    }
}

#[test]
fn a_server_logs_as_it_is_asked_to() {
    let place = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["--state-dir", place.path().join("state").to_str().expect("text"), "serve", "--listen", "127.0.0.1:0"])
        .args(["--log-format", "xml"])
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(2));
}
