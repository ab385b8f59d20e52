//! The way out of a container's network that leads to certain hosts: the network itself is the engine's `none`, and the proxy listens on its loopback.
//!
//! ```text
//! proxy, forked ─▶ container started: its shell waits at a FIFO ─▶ it is ours? ─▶ a socket that listens in its network ─▶ given to the proxy ─▶ FIFO written to
//! ```
//! A network can only be entered when it is there, which is when the container runs. So the step begins when its way out is open, and not before.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use bollard::Docker;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat, openat2, stat};

use super::super::proxy::Proxy;
use super::super::supervisor::around::INNER;
use super::{Engine, words};
use crate::adapters::{egress, sandbox};
use crate::model::egress::{Egress, Policy};

pub(super) struct Gate {
    proxy: Proxy,
    /// Held open: what was written to a FIFO is lost when nobody has it open before it is read.
    opened: Option<File>,
}

impl Gate {
    /// Only for a process with one thread. An error says why there is none to be had here, and what to do.
    pub(super) fn closed(policy: Policy, engine: &Engine, held: BorrowedFd<'_>) -> Result<Self, String> {
        let lacking = if engine.elsewhere {
            format!("{} runs on another machine or in a virtual one", engine.name)
        } else if engine.rootless {
            format!("{} runs without root", engine.name)
        } else if !rustix::process::geteuid().is_root() {
            "tidegate does not run as root".to_owned()
        } else {
            let proxy = Proxy::ready(policy, held).map_err(|error| format!("the proxy of its network could not be started: {error}"))?;
            return Ok(Self { proxy, opened: None });
        };
        Err(format!(
            "a network of certain hosts needs root and an engine of this machine, as its proxy listens inside of the container, and {lacking}: leave `--executor container` out (the sandbox needs neither), or say `network: none` or `network: open`"
        ))
    }

    /// Lets a container begin that waits at the FIFO `at`. One that has ended by now is nobody's fault here: why is for others to find out.
    pub(super) async fn open(&mut self, docker: &Docker, name: &str, at: &Path) -> Result<(), String> {
        let Some(first) = first_process(docker, name).await? else { return Ok(()) };
        match self.serve(first, at) {
            Ok(()) => Ok(()),
            Err(_) if first_process(docker, name).await? != Some(first) => Ok(()),
            Err(error) => Err(format!("the proxy of the container's network could not be opened in it: {error}")),
        }
    }

    fn serve(&mut self, first: i64, at: &Path) -> io::Result<()> {
        // One folder for all looks: the number may be another's a moment later, this is not.
        let process = openat(CWD, format!("/proc/{first}"), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        if !sees(&process, at)? {
            return Err(io::Error::other("what the engine says is its first process is another one: is the engine on this machine?"));
        }
        let network = openat(&process, "ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let listener = sandbox::listen_inside(network.as_fd(), egress::PORT)?;
        self.proxy.serve(listener.as_fd())?;
        // For both directions: so it does not wait for somebody who reads.
        let mut gate = File::options().read(true).write(true).open(at)?;
        gate.write_all(b"\n")?;
        self.opened = Some(gate);
        Ok(())
    }

    /// Nothing of the step is left: what it tried to reach. `None`: it has never begun.
    pub(super) fn end(self) -> Option<Egress> {
        self.opened.is_some().then(|| self.proxy.end())
    }
}

/// Whether this process has our FIFO at its place, whatever links its image has on the way there.
fn sees(process: &OwnedFd, gate: &Path) -> io::Result<bool> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = openat(process, "root", flags | OFlags::DIRECTORY, Mode::empty())?;
    let seen = openat2(&root, Path::new(INNER).join("gate"), flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS);
    let Ok(seen) = seen else { return Ok(false) };
    let (seen, own) = (fstat(&seen)?, stat(gate)?);
    Ok((seen.st_dev, seen.st_ino) == (own.st_dev, own.st_ino))
}

async fn first_process(docker: &Docker, name: &str) -> Result<Option<i64>, String> {
    let found =
        docker.inspect_container(name, None).await.map_err(|error| format!("the container engine does not answer: {}", words::why(&error)))?;
    Ok(found.state.and_then(|state| state.pid).filter(|pid| *pid > 0))
}
