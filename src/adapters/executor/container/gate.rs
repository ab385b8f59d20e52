//! What a step waits for at a FIFO, in its container: its services, which live in its network (`services/`), and its way out of it, where that leads to
//! certain hosts: the network itself is the engine's `none`, and the proxy listens on its loopback.
//!
//! ```text
//! proxy, forked ─▶ container started: its shell waits at a FIFO ─▶ services ready ─▶ it is ours? ─▶ a socket that listens in its network ─▶ given to the proxy ─▶ FIFO written to
//! ```
//! A network can only be entered when it is there, which is when the container runs. So the step begins when all that is there, and not before.

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
use crate::model::invocation::InvocationSpec;

pub(super) struct Gate {
    /// Where there is a way out.
    proxy: Option<Proxy>,
    /// Held open: what was written to a FIFO is lost when nobody has it open before it is read.
    opened: Option<File>,
}

impl Gate {
    /// Only for a process with one thread. `None`: there is nothing to wait for. An error says why it is not to be had here, and what to do.
    pub(super) fn closed(spec: &InvocationSpec, engine: &Engine, held: BorrowedFd<'_>) -> Result<Option<Self>, String> {
        if !spec.services.is_empty() && engine.elsewhere {
            return Err(format!(
                "services need an engine of this machine, as the step waits for them at a FIFO, and {} runs on another machine or in a virtual one: leave `--executor container` out (the sandbox needs no engine)",
                engine.name
            ));
        }
        match Policy::of(&spec.network) {
            Some(policy) => Self::with_proxy(policy, engine, held).map(Some),
            None if spec.services.is_empty() => Ok(None),
            None => Ok(Some(Self::without_proxy())),
        }
    }

    /// Nothing but the FIFO.
    pub(super) fn without_proxy() -> Self {
        Self { proxy: None, opened: None }
    }

    /// Then nobody can go on with the step when this process is dead: its way out is too.
    pub(super) fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    fn with_proxy(policy: Policy, engine: &Engine, held: BorrowedFd<'_>) -> Result<Self, String> {
        let lacking = if engine.elsewhere {
            format!("{} runs on another machine or in a virtual one", engine.name)
        } else if engine.rootless {
            format!("{} runs without root", engine.name)
        } else if !rustix::process::geteuid().is_root() {
            "tidegate does not run as root".to_owned()
        } else {
            let proxy = Proxy::ready(policy, held).map_err(|error| format!("the proxy of its network could not be started: {error}"))?;
            return Ok(Self { proxy: Some(proxy), opened: None });
        };
        Err(format!(
            "a network of certain hosts needs root and an engine of this machine, as its proxy listens inside of the container, and {lacking}: leave `--executor container` out (the sandbox needs neither), or say `network: none` or `network: open`"
        ))
    }

    /// Lets a container begin that waits at the FIFO `at`. One that has ended by now is nobody's fault here: why is for others to find out.
    pub(super) async fn open(&mut self, docker: &Docker, name: &str, at: &Path) -> Result<(), String> {
        let Some(first) = first_process(docker, name).await? else { return Ok(()) };
        let opened = match &self.proxy {
            Some(proxy) => serve(proxy, first, at),
            None => Ok(()),
        };
        match opened.and_then(|()| write_to(at)) {
            Ok(gate) => {
                self.opened = Some(gate);
                Ok(())
            }
            Err(_) if first_process(docker, name).await? != Some(first) => Ok(()),
            Err(error) => Err(format!("what its container waits for could not be opened in it: {error}")),
        }
    }

    /// Nothing of the step is left: what it tried to reach. `None`: it has never begun.
    pub(super) fn end(self) -> Option<Egress> {
        self.opened?;
        self.proxy.map(Proxy::end)
    }
}

fn serve(proxy: &Proxy, first: i64, at: &Path) -> io::Result<()> {
    // One folder for all looks: the number may be another's a moment later, this is not.
    let process = openat(CWD, format!("/proc/{first}"), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    if !sees(&process, at)? {
        return Err(io::Error::other("what the engine says is its first process is another one: is the engine on this machine?"));
    }
    let network = openat(&process, "ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let listener = sandbox::listen_inside(network.as_fd(), egress::PORT)?;
    proxy.serve(listener.as_fd())
}

fn write_to(gate: &Path) -> io::Result<File> {
    // For both directions: so it does not wait for somebody who reads.
    let mut gate = File::options().read(true).write(true).open(gate)?;
    gate.write_all(b"\n")?;
    Ok(gate)
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

pub(super) async fn first_process(docker: &Docker, name: &str) -> Result<Option<i64>, String> {
    let found =
        docker.inspect_container(name, None).await.map_err(|error| format!("the container engine does not answer: {}", words::why(&error)))?;
    Ok(found.state.and_then(|state| state.pid).filter(|pid| *pid > 0))
}
