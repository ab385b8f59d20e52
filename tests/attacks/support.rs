//! A sandbox with a workspace, and what its process said.

use std::collections::BTreeMap;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidegate::adapters::sandbox::{self, Ended, Isolation, Overlay, SandboxSpec};
use tokio::io::AsyncReadExt as _;

pub struct Scene {
    pub folder: TempDir,
    pub spec: SandboxSpec,
}

pub struct Said {
    pub text: String,
    pub ended: Ended,
}

/// Gives a folder to whoever the sandbox's process is outside.
pub fn give(path: &Path) {
    if let Some(uid) = sandbox::outer_uid() {
        chown(path, Some(uid), Some(uid)).unwrap();
    }
}

impl Scene {
    /// A commit with one file, `readme`.
    pub fn new() -> Self {
        sandbox::set_program(env!("CARGO_BIN_EXE_tidegate"));
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            give(&path);
            path
        };
        let (commit, upper, work) = (at("commit"), at("upper"), at("work"));
        std::fs::write(commit.join("readme"), "hello\n").unwrap();
        give(&commit.join("readme"));
        let spec = SandboxSpec {
            isolation: Isolation::Full,
            argv: Vec::new(),
            env: BTreeMap::from([("PATH".to_owned(), sandbox::TOOL_PATH.to_owned())]),
            cwd: "/workspace".into(),
            hostname: "tidegate".to_owned(),
            overlay: Some(Overlay { lower: vec![commit], upper, work, target: "/workspace".into() }),
            read_only: Vec::new(),
            writable: Vec::new(),
            tmp_size: 16 << 20,
            host_network: false,
            listen: None,
        };
        Self { folder, spec }
    }

    pub async fn run(&mut self, script: &str) -> Said {
        self.spec.argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let mut running = sandbox::spawn(&self.spec).await.unwrap();
        let mut text = Vec::new();
        running.output.read_to_end(&mut text).await.unwrap();
        let ended = running.wait().await;
        Said { text: String::from_utf8_lossy(&text).into_owned(), ended }
    }
}
