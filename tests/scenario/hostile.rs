//! Functions that misbehave: each hurts nobody but itself, and what happened is said.

use std::time::Duration;

use tidegate::adapters::provider::Provider as _;
use tidegate::adapters::provider::ProviderError;

use crate::packages::{function, options, zip_of};
use crate::stage::Stage;

async fn hostile(timeout: Duration) -> Stage {
    let stage = Stage::new().await;
    let mut function = function("bad");
    function.timeout = timeout;
    stage.serve(&function, "hostile").await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_becomes_502_and_the_instance_goes_on() {
    let stage = hostile(Duration::from_secs(30)).await;
    for (path, error) in [
        ("/bad/garbage", "Runtime.InvalidResponse"),
        ("/bad/split-headers", "Runtime.InvalidResponse"),
        ("/bad/bad-status", "Runtime.InvalidResponse"),
        ("/bad/oversized", "Function.ResponseSizeTooLarge"),
        ("/bad/truncated", "Runtime.TruncatedResponse"),
        ("/bad/exit", "Runtime.ExitError"),
    ] {
        let answer = stage.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-tidegate-function-error")), (502, error), "{path}");
        assert_eq!(answer.header("set-cookie"), "", "{path}");
        assert_eq!(stage.get("/bad/ok").await.body, "\"fine\"", "after {path}");
    }
    let answer = stage.get("/bad/bad-error-type").await;
    let kind = answer.header("x-tidegate-function-error");
    assert!(kind.starts_with("scriptx") && kind.len() == 128, "{kind}");
    let logs = stage.logs("bad");
    assert!(logs.contains("oversized: 413"), "{logs}");
    assert!(logs.contains("last words of"), "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_for_another_or_twice_or_out_of_turn() {
    let stage = hostile(Duration::from_secs(30)).await;
    let tried = stage.client.post("/bad/wrong-id", "text/plain", "11111111-2222-7333-8444-555555555555").await;
    assert_eq!(tried.body, "[400, 400, 400, 400]");
    assert_eq!(stage.get("/bad/out-of-turn").await.body, r#"[403, "InvalidStateTransition"]"#);
    assert_eq!(stage.get("/bad/twice").await.body, "\"first\"");
    assert_eq!(stage.get("/bad/ok").await.body, "\"fine\"");
    let logs = stage.logs("bad");
    assert!(logs.contains("twice: 202 403"), "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_and_streams_are_put_together() {
    let stage = hostile(Duration::from_secs(30)).await;
    assert_eq!(stage.get("/bad/chunked").await.body, "in pieces");
    let streamed = stage.get("/bad/streamed").await;
    assert_eq!((streamed.status.as_u16(), streamed.body.as_str(), streamed.header("set-cookie")), (201, "one two", "a=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_answers_is_killed_and_nobody_else_waits() {
    let stage = hostile(Duration::from_secs(2)).await;
    for path in ["/bad/never", "/bad/slow-loris"] {
        let waiting = tokio::spawn({
            let client = stage.client.clone();
            async move { client.get(path).await }
        });
        assert_eq!(stage.get("/bad/ok").await.status, 200, "another request is served meanwhile");
        let answer = waiting.await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("x-tidegate-function-error")), (504, "Sandbox.Timedout"), "{path}");
    }
    // It has answered, but takes no further invocation: that one waits for it in vain.
    assert_eq!(stage.get("/bad/linger").await.body, "\"answered\"");
    stage.local.close().await;
    assert_no_process_left(&stage_marker());
}

/// The argument of the children that `/fork` leaves.
fn stage_marker() -> String {
    "31415".to_owned()
}

fn assert_no_process_left(marker: &str) {
    let left: Vec<String> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.starts_with("sleep") && line.contains(marker))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_ends_after_its_answer_costs_the_next_request_nothing() {
    let stage = hostile(Duration::from_secs(30)).await;
    for _ in 0..5 {
        assert_eq!(stage.get("/bad/exit-after").await.body, "\"last\"");
        assert_eq!(stage.get("/bad/ok").await.body, "\"fine\"");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_log_fills_neither_disk_nor_memory_and_blocks_nobody() {
    let stage = hostile(Duration::from_secs(120)).await;
    let printing = tokio::spawn({
        let client = stage.client.clone();
        async move { client.get("/bad/print").await }
    });
    assert_eq!(stage.get("/bad/ok").await.body, "\"fine\"");
    assert_eq!(printing.await.unwrap().body, "\"printed\"");
    stage.local.close().await;
    let logs = stage.folder.path().join("local/logs/bad");
    let bytes: u64 = std::fs::read_dir(logs).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!((2 << 20..4 << 20).contains(&bytes), "{bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_linger_end_with_their_instance() {
    let stage = hostile(Duration::from_secs(30)).await;
    assert_eq!(stage.get("/bad/fork").await.body, "\"forked\"");
    stage.local.close().await;
    assert_no_process_left(&stage_marker());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_does_not_come_up_says_why() {
    let mut options = options();
    options.init_timeout = Duration::from_secs(3);
    let stage = Stage::with(options).await;
    for (fixture, reason, log) in [
        ("exits-at-start", "its process ended before it asked for an invocation", "no database at db.internal: giving up"),
        ("never-asks", "it did not ask for an invocation within 3s", "thinking"),
        ("init-error", "Runtime.ImportError {\"errorMessage\": \"cannot import name app\"", ""),
    ] {
        let function = function(fixture);
        let release = stage.serve(&function, fixture).await;
        let ProviderError::InitFailed(text) = stage.local.prewarm(&release, 1).await.unwrap_err() else { panic!("{fixture}") };
        assert!(text.contains(reason) && text.contains(log), "{text}");
        let answer = stage.get(&format!("/{fixture}/")).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-tidegate-function-error")), (502, "Runtime.InitError"), "{fixture}");
        let totals = stage.totals(fixture, &release);
        assert_eq!((totals.requests, totals.errors, totals.init_failures), (1, 1, 2), "{fixture}");
        assert_eq!(stage.local.gateway().unwrap().instances(fixture, &release.id), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_that_can_not_be_executed_says_so() {
    let stage = Stage::new().await;
    for (name, contents) in [("no-interpreter", &b"#!/no/such/interpreter\n"[..]), ("no-program", b"\x7fELF but no more"), ("empty", b"")] {
        let (zip, digest) = zip_of(stage.folder.path(), &[("bootstrap", contents, true)]);
        let release = stage.local.publish(&function(name), &zip, &digest).await.unwrap();
        let ProviderError::InitFailed(text) = stage.local.prewarm(&release, 1).await.unwrap_err() else { panic!("{name}") };
        assert!(text.contains("its bootstrap could not be started: "), "{text}");
    }
}
