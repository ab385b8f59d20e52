//! `tidegate serve` as people run it: joined by a deploy, ended politely, and killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tidegate::adapters::provider::Provider as _;
use tidegate::adapters::provider::local::Local;
use tidegate::model::traffic::{Destination, TrafficSplit};

use crate::packages::{fixture, function, options, zip_fixture, zip_of};
use crate::stage::Client;

struct Serve {
    child: Child,
    address: std::net::SocketAddr,
    lines: Vec<String>,
}

/// However the story goes: nothing that it started stays. One that has ended already is not ended twice.
impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
    assert!(again.lines[1].ends_with(&format!("/hello  100% v{}", release.version)), "{:?}", again.lines);
    let second = process_of(&Client::new(again.address)).await;
    let other = tempfile::tempdir().unwrap();
    std::fs::set_permissions(other.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let hosting = Local::connect(other.path(), &options()).await.unwrap();
    let second_serve =
        Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["serve", "--listen", "127.0.0.1:0", "--state-dir"]).arg(other.path()).output().unwrap();
    let said = String::from_utf8_lossy(&second_serve.stderr);
    assert_eq!(second_serve.status.code(), Some(2), "there is one host, and what is no serve does not hand over: {said}");
    assert!(said.contains(&hosting.address().to_string()), "{said}");
    hosting.close().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_killed_leaves_nothing_half_written() {
    let (state, zips) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let names: Vec<String> = (0..30).map(|n| format!("lib/{n}/module.py")).collect();
    let contents = vec![b'x'; 10_000];
    let bootstrap = std::fs::read(fixture("hello-python").join("bootstrap")).unwrap();
    // How long a publish takes here is learnt from those that were not killed.
    let mut takes = std::time::Duration::from_millis(100);
    let mut whole = 0;
    for round in 0..10_u8 {
        let mark = [round];
        let mut files: Vec<(&str, &[u8], bool)> = names.iter().map(|name| (name.as_str(), contents.as_slice(), false)).collect();
        files.extend([("bootstrap", bootstrap.as_slice(), true), ("mark", &mark, false)]);
        let (zip, digest) = zip_of(zips.path(), &files);
        let serve = Serve::start(state.path());
        let local = Local::connect(state.path(), &options()).await.unwrap();
        let publishing = tokio::spawn({
            let (zip, digest) = (zip.clone(), digest.clone());
            async move { local.publish(&function("f"), &zip, &digest).await }
        });
        tokio::time::sleep(takes.mul_f64(fastrand::f64() * 1.5)).await;
        serve.signal(rustix::process::Signal::KILL);
        let answered = publishing.await.unwrap();

        let next = Local::connect(state.path(), &options()).await.unwrap();
        assert_eq!(std::fs::read_dir(state.path().join("local/staging")).unwrap().count(), 0);
        let package = state.path().join("local/packages").join(digest.hex());
        let package_was_whole = package.exists();
        if package_was_whole {
            whole += 1;
            assert!(files.iter().all(|(name, contents, _)| std::fs::read(package.join(name)).unwrap() == *contents));
        }
        let begun = std::time::Instant::now();
        let published = next.publish(&function("f"), &zip, &digest).await.unwrap();
        takes = if package_was_whole { takes } else { begun.elapsed() };
        assert_eq!(published.version, u64::from(round) + 1, "one version a package, however often it was tried");
        if let Ok(answered) = answered {
            assert_eq!(answered, published, "what was answered before the end is there after it");
        }
        next.close().await;
    }
    println!("{whole} of 10 were whole when their host was killed");
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
