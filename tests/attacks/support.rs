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

/// The binary under test. The story of the ordinary user runs these tests from a copy.
pub fn program() -> PathBuf {
    std::env::var_os("TIDEGATE_UNDER_TEST").map_or_else(|| env!("CARGO_BIN_EXE_tidegate").into(), PathBuf::from)
}

/// Processes of this machine whose command line has this in it.
pub fn processes(marker: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))).collect()
}

/// A number of seconds to sleep that nobody else sleeps.
pub fn marker() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("9{}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
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
        sandbox::set_program(program());
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
            root: None,
            cwd: "/workspace".into(),
            hostname: "tidegate".to_owned(),
            overlay: Some(Overlay { lower: vec![commit], upper, work, target: "/workspace".into() }),
            read_only: Vec::new(),
            writable: Vec::new(),
            tmp_size: 16 << 20,
            host_network: false,
            listen: None,
            limits: sandbox::Limits::default(),
            lifted: Vec::new(),
        };
        Self { folder, spec }
    }

    /// The same in Python, for system calls that no shell offers. `call(name, …)` answers the error's name, or what it returned.
    pub async fn python(&mut self, script: &str) -> Said {
        let prelude = "import ctypes, errno, os, signal, socket, sys\nlibc = ctypes.CDLL(None, use_errno=True)\ndef call(name, *args):\n    answer = getattr(libc, name)(*args)\n    return errno.errorcode[ctypes.get_errno()] if answer == -1 else answer\n";
        std::fs::write(self.folder.path().join("commit/attack.py"), format!("{prelude}{script}")).unwrap();
        self.run("exec python3 attack.py").await
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
