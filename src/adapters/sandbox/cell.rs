//! A sandbox for a process without a runtime and with one thread: the supervisor of an invocation. It forks the helper itself, and is to it what tidegate is
//! to the helpers of its functions.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::net::{SendFlags, Shutdown};

use super::course::{Course, Ended, Standing};
use super::launch::SandboxError;
use super::network::PrivateNetwork;
use super::nursery::{Waiting, born};
use super::spec::{Isolation, NetworkOf, SandboxSpec};
use super::wire::{self, Inbox};
use super::{pool, sys, template, unisolated};

/// A sandbox and what it says. Dropping it kills everything of it; `lapsed` then says when nothing is left.
#[derive(Debug)]
pub struct Cell {
    /// What the process says; non-blocking.
    pub output: OwnedFd,
    reports: UnixStream,
    inbox: Inbox,
    course: Course,
    began: bool,
}

/// Forks the helper. `held` goes to it as well and is closed when nothing of the sandbox is left, whatever becomes of the caller. Of what else the caller has
/// open, nothing stays open there.
/// With one that waits there is nothing to fork.
pub fn begin(spec: &SandboxSpec, held: BorrowedFd<'_>, waiting: Option<Waiting>) -> io::Result<Cell> {
    begin_in(spec, None, held, waiting)
}

/// The same in a network that others are in as well. What waits is in one of its own.
pub fn begin_beside(spec: &SandboxSpec, network: &PrivateNetwork, held: BorrowedFd<'_>) -> io::Result<Cell> {
    begin_in(spec, Some(network), held, None)
}

fn begin_in(spec: &SandboxSpec, network: Option<&PrivateNetwork>, held: BorrowedFd<'_>, waiting: Option<Waiting>) -> io::Result<Cell> {
    // Without its own and without the shared one it would be in the caller's.
    if (spec.network == NetworkOf::Shared) != network.is_some() {
        return Err(io::Error::other("a sandbox's shared network is missing"));
    }
    let course = Course::begin();
    if let (Isolation::None, Some(overlay)) = (spec.isolation, &spec.overlay) {
        overlay.lower.iter().try_for_each(|lower| unisolated::copy(lower, &overlay.upper))?;
    }
    let (reports, far) = UnixStream::pair()?;
    let (output, written) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // A large one: whoever says much is not stopped at every page. Where the system's limit forbids it, it works as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&output, 1 << 20);
    let handed = waiting.is_some_and(|Waiting(waiting)| pool::hand_over(&waiting, &[far.as_fd(), written.as_fd(), held]).is_ok());
    let held = held.try_clone_to_owned()?;
    if !handed && sys::fork(0)?.is_none() {
        if network.is_some_and(|network| network.enter().is_err()) {
            sys::leave(ExitCode::FAILURE);
        }
        let mut kept = template::descriptors();
        kept.extend([far.as_raw_fd(), written.as_raw_fd(), held.as_raw_fd()]);
        sys::close_all_but(kept);
        sys::leave(born(OwnedFd::from(far), written, Some(held), None));
    }
    drop((far, written, held));
    wire::write_blocking(&reports, spec)?;
    reports.set_nonblocking(true)?;
    rustix::io::ioctl_fionbio(&output, true)?;
    Ok(Cell { output, reports, inbox: Inbox::default(), course, began: false })
}

impl Cell {
    /// Readable when `listen` has something to hear.
    pub fn reports(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }

    /// Takes in what has been reported. `Some` once: when the process has begun.
    pub fn listen(&mut self) -> Result<Option<Standing>, SandboxError> {
        loop {
            match self.inbox.fill(&self.reports) {
                Ok(true) => {}
                Ok(false) => self.course.gone = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => self.course.gone = true,
            }
            if self.course.gone {
                break;
            }
        }
        let mut begun = None;
        while let Some(report) = self.inbox.next()? {
            let descriptor = self.inbox.descriptor.take();
            if self.course.hear(report, descriptor)? && !self.began {
                self.began = true;
                begun = Some(std::mem::take(&mut self.course.standing));
            }
        }
        if self.course.gone && !self.began {
            return Err(if self.course.stands { SandboxError::Killed } else { SandboxError::wordless() });
        }
        Ok(begun)
    }

    /// How it ended, once nothing of it is left.
    pub fn ended(&self) -> Option<Ended> {
        self.course.gone.then(|| self.course.ended())
    }

    /// Asks everything of it to end, with TERM. Whether it does is up to what runs in it.
    pub fn terminate(&self) {
        let _ = rustix::net::send(&self.reports, &[1], SendFlags::NOSIGNAL);
    }

    /// Kills everything of it.
    pub fn kill(&self) {
        let _ = rustix::net::shutdown(&self.reports, Shutdown::Write);
    }
}
