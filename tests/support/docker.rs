//! A Docker Engine of one test's own, in folders of its own.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tidegate::adapters::executor::Engine;

/// An engine of a test's own, for what can not be done to one that others use.
pub struct OwnDocker {
    folder: PathBuf,
    process: Child,
}

impl OwnDocker {
    pub fn start(folder: &Path) -> Self {
        let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let process = Command::new("dockerd")
            .args(["--data-root", &at("data"), "--exec-root", &at("run"), "--pidfile", &at("pid"), "--bridge", "none", "--iptables=false"])
            .args(["--host", &format!("unix://{}", at("docker.sock"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dockerd");
        let own = Self { folder: folder.to_owned(), process };
        for _ in 0..600 {
            if own.docker(&["version"]) {
                return own;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("dockerd does not answer");
    }

    pub fn docker(&self, arguments: &[&str]) -> bool {
        let socket = format!("unix://{}", self.folder.join("docker.sock").display());
        Command::new("docker").args(["--host", &socket]).args(arguments).output().is_ok_and(|output| output.status.success())
    }

    pub fn engine(&self) -> Engine {
        let socket = self.folder.join("docker.sock");
        let ask = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(Engine::at(&socket)).expect("it answers")
        };
        // A test may have a runtime already.
        std::thread::spawn(ask).join().expect("its answer")
    }

    pub fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("a signal");
        self.process.wait().expect("its end");
        if signal == Signal::KILL {
            // Its containerd dies with it. Where nobody reaps that, the next engine would wait for what is dead by its number.
            let _ = std::fs::remove_file(self.folder.join("run/containerd/containerd.pid"));
        }
    }
}

impl Drop for OwnDocker {
    fn drop(&mut self) {
        // Politely: it ends its own containerd then. One that has ended already has no number any more that would be its own.
        if let Ok(None) = self.process.try_wait() {
            let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
            let _ = self.process.wait();
        }
    }
}
