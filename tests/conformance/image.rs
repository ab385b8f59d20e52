//! The sandbox with an image as its root: the same executor, asked for every step to run in one that holds busybox.

use std::path::Path;

use sha2::{Digest as _, Sha256};
use tidegate::adapters::executor::{AnyExecutor, Desk, Executor, Watcher};
use tidegate::adapters::image::Images;
use tidegate::adapters::sandbox;
use tidegate::adapters::workspace::Store;
use tidegate::model::id::{NodeId, RunId};
use tidegate::model::invocation::{InvocationResult, InvocationSpec};

const BUSYBOX: &str = "/bin/busybox";

/// An executor, and the image that its steps run in.
pub struct In {
    pub executor: AnyExecutor,
    pub image: Option<&'static str>,
}

/// Whether there is something to make an image of.
pub fn is_possible() -> bool {
    Path::new(BUSYBOX).is_file()
}

pub const NAME: &str = "conformance:1";

/// An image of busybox and nothing else, by that name.
pub fn import(state: &Path, store: &Store) {
    let images = Images::open(state, store.clone(), sandbox::outer_uid()).unwrap();
    images.import(&archive(None, &layer(), &serde_json::json!({"Env": ["PATH=/bin"], "User": "1000:1000"}))[..], Some(NAME)).unwrap();
}

/// busybox by all of its names.
pub fn layer() -> Vec<u8> {
    let programs = std::process::Command::new(BUSYBOX).arg("--list").output().unwrap().stdout;
    let mut layer = tar::Builder::new(Vec::new());
    add(&mut layer, "bin/busybox", &std::fs::read(BUSYBOX).unwrap());
    for name in String::from_utf8(programs).unwrap().lines().filter(|name| !matches!(*name, "busybox" | "nohup")) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        layer.append_link(&mut header, format!("bin/{name}"), "busybox").unwrap();
    }
    add(&mut layer, "bin/nohup", b"#!/bin/sh\ntrap '' HUP\nexec \"$@\"\n");
    layer.into_inner().unwrap()
}

/// As `docker save` writes an image of one layer. `config`: what is said of its processes.
pub fn archive(tag: Option<&str>, layer: &[u8], config: &serde_json::Value) -> Vec<u8> {
    let digest = Sha256::digest(layer).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let config = serde_json::json!({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest]},
        "config": config});
    let mut whole = tar::Builder::new(Vec::new());
    add(
        &mut whole,
        "manifest.json",
        serde_json::json!([{"Config": "config.json", "RepoTags": tag.map(|tag| [tag]), "Layers": ["layer.tar"]}]).to_string().as_bytes(),
    );
    add(&mut whole, "config.json", config.to_string().as_bytes());
    add(&mut whole, "layer.tar", layer);
    whole.into_inner().unwrap()
}

fn add(archive: &mut tar::Builder<Vec<u8>>, path: &str, contents: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(contents.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, path, contents).unwrap();
}

impl Executor for In {
    fn desk(&self) -> &Desk {
        self.executor.desk()
    }
    async fn invoke(&self, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult {
        self.executor.invoke(InvocationSpec { image: spec.image.or_else(|| self.image.map(str::to_owned)), ..spec }, log, watcher).await
    }
    async fn resume(&self, run: &RunId, node: &NodeId, attempt: u32, log: &Path, watcher: Watcher) -> InvocationResult {
        self.executor.resume(run, node, attempt, log, watcher).await
    }
}
