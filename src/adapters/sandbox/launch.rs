//! Tidegate's side of a sandbox: let a helper be born, hear what becomes of it, and be able to kill it at any time.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;

use super::course::{Course, Ended, Standing};
use super::nursery::{self, Kind};
use super::spec::{Isolation, NetworkOf, SandboxSpec};
use super::wire::{self, Failure, Inbox, Report, Stage};
use super::{template, warm};

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The program is missing or can not be executed: whoever named it can mend that.
    #[error("{0}")]
    Program(String),
    /// The machine (or its configuration) does not allow what a sandbox needs. `tidegate doctor` says what to do.
    #[error("the sandbox could not be made ({stage}): {why}")]
    Setup { stage: &'static str, why: String },
    /// Its process may have begun.
    #[error("the sandbox was killed from outside as its process began; is the machine out of memory?")]
    Killed,
    /// A protection that must be there is not; nothing has begun.
    #[error("{0}")]
    Unprotected(String),
    #[error("the sandbox's helper could not be started: {0}")]
    Helper(#[from] io::Error),
}

impl From<Failure> for SandboxError {
    fn from(failure: Failure) -> Self {
        let stage = match failure.stage {
            Stage::Program => return Self::Program(failure.why),
            Stage::Required => return Self::Unprotected(failure.why),
            Stage::Specification => "its specification",
            Stage::Identity => "changing the user",
            Stage::Namespaces => "namespaces",
            Stage::UserMap => "the user namespace's map",
            Stage::Mounts => "mounts",
            Stage::Overlay => "the overlay",
            Stage::Proc => "/proc",
            Stage::Network => "the network",
            Stage::Privileges => "giving up privileges",
        };
        Self::Setup { stage, why: failure.why }
    }
}

impl SandboxError {
    pub(super) fn wordless() -> Self {
        Self::Setup { stage: "its helper", why: "it ended without a word; is the machine out of memory?".to_owned() }
    }
}

/// A process in its sandbox. Dropping it kills everything of it.
#[derive(Debug)]
pub struct Running {
    /// What it says, stdout and stderr together in the order of writing. Ends when its last process does.
    pub output: Receiver,
    /// Listens inside; non-blocking.
    pub listener: Option<TcpListener>,
    pub standing: Standing,
    control: UnixStream,
    inbox: Inbox,
    course: Course,
}

/// Tidegate's ends of what leads to the helper. When `control` is closed the helper kills what it watches, and ends.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) control: std::os::unix::net::UnixStream,
    pub(super) output: OwnedFd,
}

/// Lets the helper be born and gives it the specification. Blocks no longer than two writes to sockets (and the first time a `posix_spawn`).
pub(super) fn launch(spec: &SandboxSpec) -> io::Result<Launched> {
    let (output, written) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok(Launched { control: launch_to(spec, written.as_fd())?, output })
}

fn launch_to(spec: &SandboxSpec, output: BorrowedFd<'_>) -> io::Result<std::os::unix::net::UnixStream> {
    if spec.network == NetworkOf::Shared {
        return Err(io::Error::other("a shared network is a supervisor's to give"));
    }
    let (control, far) = std::os::unix::net::UnixStream::pair()?;
    nursery::ask(Kind::Helper, warm::is_on() && template::fits(spec), &[far.as_fd(), output])?;
    drop(far);
    wire::write_blocking(&control, spec)?;
    Ok(control)
}

/// Makes the sandbox and starts its process; returns when that has been exec'd.
pub async fn spawn(spec: &SandboxSpec) -> Result<Running, SandboxError> {
    let course = Course::begin();
    if let (Isolation::None, Some(overlay)) = (spec.isolation, &spec.overlay) {
        copy_lower(overlay).await?;
    }
    begin(launch(spec)?, course).await
}

/// The same with a terminal, of which whoever runs inside is given this end: it is what it reads from and what it writes to. `output` then says nothing.
pub async fn spawn_on_terminal(spec: &SandboxSpec, terminal: BorrowedFd<'_>) -> Result<Running, SandboxError> {
    let course = Course::begin();
    let (output, _) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
    begin(Launched { control: launch_to(spec, terminal)?, output }, course).await
}

async fn begin(Launched { control, output }: Launched, course: Course) -> Result<Running, SandboxError> {
    control.set_nonblocking(true)?;
    rustix::io::ioctl_fionbio(&output, true).map_err(io::Error::from)?;
    let mut running = Running {
        output: Receiver::from_owned_fd(output)?,
        listener: None,
        standing: Standing::default(),
        control: UnixStream::from_std(control)?,
        inbox: Inbox::default(),
        course,
    };
    while let Some(report) = running.report().await? {
        let descriptor = running.inbox.descriptor.take();
        if running.course.hear(report, descriptor)? {
            running.standing = std::mem::take(&mut running.course.standing);
            running.listener = running.standing.listener.take().map(TcpListener::from);
            return Ok(running);
        }
    }
    Err(SandboxError::wordless())
}

impl Running {
    /// Waits until nothing of it is left. May be given up and called again.
    pub async fn wait(&mut self) -> Ended {
        while !self.course.gone {
            match self.report().await {
                Ok(Some(report)) => {
                    let _ = self.course.hear(report, None);
                }
                // An error of the socket is its end.
                Ok(None) | Err(_) => self.course.gone = true,
            }
        }
        self.course.ended()
    }

    /// Asks everything of it to end, with TERM. Whether it does is up to what runs in it.
    pub fn terminate(&self) {
        let _ = rustix::net::send(&self.control, &[1], rustix::net::SendFlags::NOSIGNAL);
    }

    /// Kills everything of it. `wait` then says that it is gone.
    pub fn kill(&self) {
        let _ = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Write);
    }

    /// The next report; `None` when both helper and init have ended.
    async fn report(&mut self) -> io::Result<Option<Report>> {
        loop {
            if let Some(report) = self.inbox.next()? {
                return Ok(Some(report));
            }
            let (control, inbox) = (&self.control, &mut self.inbox);
            if !control.async_io(Interest::READABLE, || inbox.fill(control)).await? {
                return Ok(None);
            }
        }
    }
}

/// Without namespaces there is no overlay: the lower trees are copied.
async fn copy_lower(overlay: &super::spec::Overlay) -> io::Result<()> {
    let overlay = overlay.clone();
    let copied = tokio::task::spawn_blocking(move || overlay.lower.iter().try_for_each(|lower| super::unisolated::copy(lower, &overlay.upper)));
    copied.await.map_err(io::Error::other)?
}
