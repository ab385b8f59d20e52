//! `tidegate serve` as people run it: joined by a deploy, ended politely, and killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tidegate::adapters::provider::Provider as _;
use tidegate::adapters::provider::local::Local;
use tidegate::model::traffic::{Destination, TrafficSplit};

use crate::packages::{function, options, zip_fixture};
use crate::stage::Client;

struct Serve {
    child: Child,
    address: std::net::SocketAddr,
    lines: Vec<String>,
}

impl Serve {
    fn start(state: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--state-dir"]).arg(state).env_clear();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| line == "Ctrl-C ends it.") {
                break;
            }
        }
        let address = lines[0].strip_prefix("gateway: http://").unwrap_or_else(|| panic!("{lines:?}")).parse().unwrap();
        Self { child, address, lines }
    }

    fn signal(mut self, signal: rustix::process::Signal) -> std::process::ExitStatus {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_joins_it_and_its_functions_outlive_it() {
    let state = tempfile::tempdir().unwrap();
    let serve = Serve::start(state.path());
    let local = Local::connect(state.path(), &options()).await.unwrap();
    assert_eq!(local.address(), serve.address);
    let (zip, digest) = zip_fixture(state.path(), "hello-python");
    let release = local.publish(&function("hello"), &zip, &digest).await.unwrap();
    local.shift("hello", &TrafficSplit::all(Destination::Release(release.id.clone())), 0).await.unwrap();
    let first = process_of(&Client::new(serve.address)).await;
    assert!(is_alive(&first));
    assert!(serve.signal(rustix::process::Signal::TERM).success());
    assert!(!is_alive(&first), "ended politely, it has ended its instances");

    let again = Serve::start(state.path());
    assert!(again.lines[1].ends_with(&format!("/hello  100% {}", release.id)), "{:?}", again.lines);
    let second = process_of(&Client::new(again.address)).await;
    let second_serve = Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["serve", "--state-dir"]).arg(state.path()).output().unwrap();
    assert_eq!(second_serve.status.code(), Some(2), "there is one host");
    assert!(String::from_utf8_lossy(&second_serve.stderr).contains(&again.address.to_string()));
    std::fs::write(state.path().join("local/staging/half"), b"what a publish that was killed has left").unwrap();
    again.signal(rustix::process::Signal::KILL);
    while is_alive(&second) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }

    let third = Serve::start(state.path());
    assert!(!state.path().join("local/staging/half").exists());
    assert_eq!(Client::new(third.address).get("/hello/").await.status, 200);
    third.signal(rustix::process::Signal::INT);
}

/// A word that marks the instance's process among all others on this machine: its log stream.
async fn process_of(client: &Client) -> String {
    let said = client.get("/hello/env").await.json();
    said["env"]["AWS_LAMBDA_LOG_STREAM_NAME"].as_str().unwrap().to_owned()
}

fn is_alive(stream: &str) -> bool {
    let marker = format!("AWS_LAMBDA_LOG_STREAM_NAME={stream}\0");
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("environ")).ok())
        .any(|environment| environment.windows(marker.len()).any(|window| window == marker.as_bytes()))
}
