//! The description that the server publishes: valid by other people's judgement, and true under fire.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate::model::access::Scope;
use tidegate::model::id::RunId;

use crate::bench::Bench;
use crate::people;

/// The folder that `./test` has installed the python tools into, or a line among the skipped.
fn tools(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("TIDEGATE_TEST_OPENAPI").map(PathBuf::from).filter(|folder| folder.join("bin").is_dir());
    if found.is_none() {
        use std::io::Write as _;
        let skips = std::env::var_os("TIDEGATE_TEST_SKIPS").expect("run with ./test, which installs what this needs (or set TIDEGATE_TEST_SKIPS)");
        let mut file = std::fs::File::options().append(true).create(true).open(skips).expect("the list of the skipped");
        writeln!(file, "described::{test}\tschemathesis and openapi-spec-validator are not installed").expect("written");
    }
    found
}

fn python(tools: &Path) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", tools).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

#[test]
fn the_description_is_valid() {
    let Some(tools) = tools("the_description_is_valid") else { return };
    let bench = Bench::new();
    let description = bench.get("/openapi.json", "");
    assert_eq!(description.json(), serde_json::to_value(tidegate::server::api::description()).expect("JSON"));
    let file = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
    std::fs::write(file.path(), &description.body).expect("written");
    let out = python(&tools).args(["-m", "openapi_spec_validator"]).arg(file.path()).output().expect("python");
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}

/// Requests of every kind that the description allows, and many that it does not. No answer may be a fault of ours, and each must be as it is described.
#[test]
fn no_request_is_answered_with_a_fault() {
    let Some(tools) = tools("no_request_is_answered_with_a_fault") else { return };
    // People can log in: a redirect that is described is looked at, and not followed.
    let stage = people::stage();
    let _driver = Driver::of(&stage.bench, "bb03");
    assert!(fire(&tools, &stage.bench, "", &["--exclude-path-regex", STREAMS]) > 500);
}

const STREAMS: &str = "/events$";

/// Streams of a run that has ended, which end; and of all that may be named. What goes on has no end, so the second server is one that drains: there each ends at once.
#[test]
fn no_request_for_a_stream_is_answered_with_a_fault() {
    let Some(tools) = tools("no_request_for_a_stream_is_answered_with_a_fault") else { return };
    let bench = Bench::new();
    let there = "[parameters]\n\"path.run\" = \"aa01\"\n\"path.node\" = \"test\"\n\"path.attempt\" = 1\n";
    assert!(fire(&tools, &bench, there, &["--include-path-regex", STREAMS]) > 50);
    bench.life.drain();
    assert!(fire(&tools, &bench, "", &["--include-path-regex", STREAMS]) > 50);
}

/// How many requests there were.
#[track_caller]
fn fire(tools: &Path, bench: &Bench, settings: &str, more: &[&str]) -> u64 {
    let token = bench.token(&[Scope::Admin]);
    let place = tempfile::tempdir().expect("a folder for what it remembers");
    std::fs::write(place.path().join("schemathesis.toml"), settings).expect("written");
    let out = python(tools)
        .current_dir(place.path())
        .args(["-m", "schemathesis.cli", "run", &bench.url("/openapi.json")])
        .args(["--url", &bench.url("")])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "30", "--seed", "7", "--workers", "1", "--request-timeout", "20"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance",
        ])
        .args(more)
        .args(["--no-color"])
        .output()
        .expect("python");
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}");
    println!("{said}");
    said.lines().find_map(|line| line.trim().split_once(" generated")?.0.parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

/// Somebody drives a run, and hears that it shall stop.
struct Driver {
    over: mpsc::SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    fn of(bench: &Bench, run: &'static str) -> Self {
        let letters = bench.letters.clone();
        let (over, is_over) = mpsc::sync_channel::<()>(1);
        let thread = std::thread::spawn(move || {
            while is_over.try_recv() == Err(mpsc::TryRecvError::Empty) {
                letters.cancelled(&RunId::new(run));
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.over.try_send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
