//! What several tables need: file systems to compare, folders, one step, quantiles.

#![allow(dead_code, reason = "every bench uses a part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tidegate::adapters::executor::{Executor as _, LogSink, SandboxExecutor, Watcher};
use tidegate::adapters::sandbox;
use tidegate::model::id::{InvocationId, NodeId, RunId};
use tidegate::model::invocation::{CaptureLimits, InvocationResult, InvocationSpec, default_grace};
use tidegate::model::limits::{Network, Resources};

/// Where a state folder may be: on the file system of temporary files, and in memory.
pub fn places() -> Vec<(String, TempDir)> {
    let mut places: Vec<(String, TempDir)> = Vec::new();
    for folder in [std::env::temp_dir(), "/dev/shm".into()] {
        let kind = kind_of(&folder);
        if !kind.is_empty() && places.iter().all(|(known, _)| *known != kind) {
            places.push((kind, tempfile::tempdir_in(folder).expect("a temporary folder")));
        }
    }
    places
}

fn kind_of(folder: &Path) -> String {
    let output = std::process::Command::new("stat").args(["-f", "-c", "%T"]).arg(folder).output().expect("stat");
    let kind = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if kind == "ext2/ext3" { "ext4".to_owned() } else { kind }
}

/// A new folder that belongs to whoever a step is outside.
pub fn made(at: &Path, name: &str) -> PathBuf {
    let path = at.join(name);
    std::fs::create_dir(&path).expect("a folder");
    if let Some(uid) = sandbox::outer_uid() {
        std::os::unix::fs::chown(&path, Some(uid), Some(uid)).expect("to give it away");
    }
    path
}

/// The first attempt of the only step of a run.
pub fn step(run: &RunId, script: &str, layers: Vec<PathBuf>) -> InvocationSpec {
    let node = NodeId::new("step");
    InvocationSpec {
        id: InvocationId::of(run, &node, 1),
        run: run.clone(),
        node,
        attempt: 1,
        script: script.to_owned(),
        env: BTreeMap::new(),
        layers,
        outputs: Vec::new(),
        image: None,
        build: None,
        services: Vec::new(),
        timeout: Duration::from_secs(600),
        network: Network::None,
        resources: Resources { cpu: None, memory: None, pids: None, disk: None },
        limits: CaptureLimits::default(),
        grace: default_grace(),
    }
}

/// Runs it to its end.
pub async fn invoke(executor: &SandboxExecutor, spec: InvocationSpec, log: &Path, sink: Box<dyn LogSink>) -> InvocationResult {
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    executor.invoke(spec, log, Watcher { log: sink, cancel }).await
}

pub struct Silent;

impl LogSink for Silent {
    fn write(&mut self, _: &[u8]) {}
}

/// In milliseconds.
pub fn quantile(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    let index = ((times.len() - 1) as f64 * share).round() as usize;
    times[index].as_secs_f64() * 1000.0
}

/// An image that is imported under a name: busybox, which is true and a shell, and a layer on top. Needs the package `busybox-static`.
pub fn busybox_image(state: &Path, store: &tidegate::adapters::workspace::Store, name: &str) {
    use sha2::{Digest as _, Sha256};
    let archive = |files: &[(&str, &[u8])]| {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, contents) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(0o755);
            archive.append_data(&mut header, path, *contents).expect("an entry");
        }
        archive.into_inner().expect("an archive")
    };
    let busybox = std::fs::read("/bin/busybox").expect("busybox (install the package `busybox-static`)");
    let layers = [archive(&[("bin/sh", &busybox), ("bin/true", &busybox)]), archive(&[("etc/motd", b"an image")])];
    let digest = |bytes: &[u8]| Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let rootfs = serde_json::json!({"type": "layers", "diff_ids": layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>()});
    let config = serde_json::json!({"architecture": architecture, "os": "linux", "config": {"Env": ["PATH=/bin"]}, "rootfs": rootfs}).to_string();
    let manifest = serde_json::json!([{"Config": "config", "RepoTags": null, "Layers": ["0", "1"]}]).to_string();
    let whole = archive(&[("manifest.json", manifest.as_bytes()), ("config", config.as_bytes()), ("0", &layers[0]), ("1", &layers[1])]);
    let images = tidegate::adapters::image::Images::open(state, store.clone(), sandbox::outer_uid()).expect("images");
    images.import(&whole[..], Some(name)).expect("an image");
}
