//! Everything that runs steps: the sandbox with the machine's tools, the sandbox with an image, and containers of the engines that there are. All of them run the
//! same attacks, by the same Python.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tidegate::adapters::executor::{AnyExecutor, ContainerExecutor, Executor as _, LogSink, Pull, SandboxExecutor, Watcher};
use tidegate::adapters::image::Images;
use tidegate::adapters::sandbox::{self, Isolation};
use tidegate::adapters::workspace::Store;
use tidegate::model::egress::Egress;
use tidegate::model::invocation::{InvocationResult, InvocationSpec};
use tidegate::model::limits::Network;
use tidegate::model::outcome::Outcome;
use tidegate::model::service::Service;

use crate::engines::{self, docker};
use crate::step::step;
use crate::support::program;

struct Silent;

impl LogSink for Silent {
    fn write(&mut self, _: &[u8]) {}
}

/// Something that runs steps.
pub struct Machine {
    pub name: &'static str,
    pub state: tempfile::TempDir,
    executor: AnyExecutor,
    image: Option<&'static str>,
}

impl Machine {
    fn new(name: &'static str, image: Option<&'static str>, make: impl FnOnce(&Path, Store) -> AnyExecutor) -> Self {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), sandbox::outer_uid()).unwrap();
        Self { name, executor: make(state.path(), store), state, image }
    }

    /// Runs a script in Python, and answers what it said with the record.
    pub async fn step(&self, node: &str, network: Network, script: &str) -> (String, InvocationResult) {
        self.step_beside(node, network, script, Vec::new()).await
    }

    /// The same beside services of `IMAGE_OF_SERVICES`.
    pub async fn step_beside(&self, node: &str, network: Network, script: &str, services: Vec<Service>) -> (String, InvocationResult) {
        let (_keep, cancel) = tokio::sync::watch::channel(false);
        self.invoke(node, network, script, services, cancel).await
    }

    /// One that is there while something happens, and is stopped then.
    pub async fn step_while(&self, node: &str, script: &str, services: Vec<Service>, meanwhile: impl Future<Output = ()>) -> InvocationResult {
        let (cancel, cancelled) = tokio::sync::watch::channel(false);
        let asking = async {
            meanwhile.await;
            cancel.send(true).unwrap();
        };
        tokio::join!(self.invoke(node, Network::None, script, services, cancelled), asking).0.1
    }

    async fn invoke(
        &self,
        node: &str,
        network: Network,
        script: &str,
        services: Vec<Service>,
        cancel: tokio::sync::watch::Receiver<bool>,
    ) -> (String, InvocationResult) {
        let log = self.state.path().join(format!("{node}.log"));
        let script = format!("exec python3 - <<'PYTHON'\n{}\n{script}\nPYTHON\n", include_str!("step.py"));
        let image = self.image.map(str::to_owned);
        let spec = InvocationSpec { image, network, services, timeout: Duration::from_secs(120), ..step(node, &script) };
        let result = self.executor.invoke(spec, &log, Watcher { log: Box::new(Silent), cancel }).await;
        (String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned(), result)
    }

    /// Runs it, and it must end well.
    pub async fn said(&self, node: &str, network: Network, script: &str) -> (String, Egress) {
        let (log, result) = self.step(node, network, script).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}", self.name);
        (log, result.record.egress)
    }

    pub fn lock(&self, node: &str) -> PathBuf {
        self.state.path().join(format!("invocations/r1/{node}.1/lock"))
    }
}

/// An image with Python, a shell, and what both need, of this machine's own.
const IMAGE: &str = "tidegate-test-python:1";

/// The same, which does by itself what its variable `SCRIPT` says.
pub const IMAGE_OF_SERVICES: &str = "tidegate-test-python-service:1";
const PROGRAM: [&str; 3] = ["/usr/bin/python3", "-c", "import os; exec(os.environ['SCRIPT'])"];

pub fn every_machine() -> Vec<Machine> {
    sandbox::set_program(program());
    let sandboxed = |state: &Path, store| AnyExecutor::Sandbox(SandboxExecutor::new(state, store, Vec::new(), Isolation::Full));
    let layer = layer();
    let with_image = |state: &Path, store: Store| {
        let images = Images::open(state, store.clone(), sandbox::outer_uid()).unwrap();
        images.import(&archive(&layer)[..], Some(IMAGE)).unwrap();
        images.import(&archive(&layer)[..], Some(IMAGE_OF_SERVICES)).unwrap();
        sandboxed(state, store)
    };
    let mut all = vec![Machine::new("sandbox", None, sandboxed), Machine::new("image in sandbox", Some(IMAGE), with_image)];
    for engine in engines::of_root() {
        let podman = engine.name.starts_with("Podman");
        let name = if podman { format!("docker.io/library/{IMAGE}") } else { IMAGE.to_owned() };
        if !docker(&engine, &["image", "inspect", &name]).status.success() {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&file, &layer).unwrap();
            let command = format!("CMD {}", serde_json::json!(PROGRAM));
            for name in [&name, &name.replace(IMAGE, IMAGE_OF_SERVICES)] {
                engines::lines(&engine, &["import", "--change", &command, &file.path().to_string_lossy(), name]);
            }
        }
        let make = |state: &Path, store| AnyExecutor::Container(ContainerExecutor::new(state, store, engine, Pull::Never).unwrap());
        all.push(Machine::new(if podman { "Podman" } else { "Docker" }, Some(IMAGE), make));
    }
    all
}

/// What a program of this machine says, word by word.
fn words(program: &str, arguments: &[&str]) -> Vec<String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

fn layer() -> Vec<u8> {
    let python = Path::new("/usr/bin/python3").canonicalize().unwrap();
    let library = PathBuf::from(words("/usr/bin/python3", &["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]).remove(0));
    let mut files = BTreeSet::from([PathBuf::from("/bin/sh"), python.clone()]);
    gather(&library, &mut files);
    let needed: Vec<String> = files
        .iter()
        .filter(|file| **file == python || file.ends_with("sh") || file.extension().is_some_and(|ending| ending == "so"))
        .flat_map(|file| words("ldd", &[&file.to_string_lossy()]))
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .collect();
    files.extend(needed.into_iter().map(PathBuf::from));
    let mut layer = tar::Builder::new(Vec::new());
    for file in &files {
        add(&mut layer, file.strip_prefix("/").unwrap(), &std::fs::read(file).unwrap());
    }
    add(&mut layer, Path::new("usr/bin/python3"), &std::fs::read(&python).unwrap());
    layer.into_inner().unwrap()
}

/// What of Python's own modules no attack needs is left out.
fn gather(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    const LEFT_OUT: [&str; 8] = ["test", "__pycache__", "idlelib", "lib2to3", "tkinter", "ensurepip", "site-packages", "dist-packages"];
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_file() {
            files.insert(path);
        } else if path.is_dir() && !LEFT_OUT.contains(&name.as_str()) && !name.starts_with("config-") {
            gather(&path, files);
        }
    }
}

/// As `docker save` would write it.
fn archive(layer: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(layer).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let config = serde_json::json!({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest]}, "config": {"Cmd": PROGRAM}});
    let mut whole = tar::Builder::new(Vec::new());
    let manifest = serde_json::json!([{"Config": "config", "RepoTags": null, "Layers": ["layer"]}]);
    add(&mut whole, Path::new("manifest.json"), manifest.to_string().as_bytes());
    add(&mut whole, Path::new("config"), config.to_string().as_bytes());
    add(&mut whole, Path::new("layer"), layer);
    whole.into_inner().unwrap()
}

fn add(archive: &mut tar::Builder<Vec<u8>>, path: &Path, contents: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(contents.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, path, contents).unwrap();
}
