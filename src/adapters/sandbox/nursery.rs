//! `tidegate sandbox-init`: one a tidegate process, started with its first sandbox. It forks a helper for every sandbox, so that none of them pays
//! for loading and linking this binary again.
//!
//! ```text
//! tidegate ──one message a sandbox: what it shall be, descriptors──▶ nursery ──fork──▶ helper (helper.rs), or a supervisor (whoever called `init_main`)
//! ```
//!
//! - It runs nothing of anybody, reads no specification and keeps none of the descriptors: nothing of one sandbox can reach the next.
//! - It has one thread, no environment, and a session of its own (so that Ctrl-C reaches tidegate only).
//! - It ends when tidegate does: its stdin, the socket from tidegate, is closed then. Helpers have lifelines of their own and do not need it; supervisors go
//!   on by themselves.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::setsid;

use super::wire::{Report, Stage, send};
use super::{INIT_COMMAND, helper, init, program, seccomp, sys, template};

/// What shall be born.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A helper, with the socket from tidegate and the sandbox's output. It ends when tidegate does.
    Helper = 1,
    /// A supervisor. What its descriptors are is its own matter.
    Supervisor = 2,
}

/// As many descriptors as a message may bring.
pub(super) const DESCRIPTORS: usize = 4;

/// The nursery's `main`, and after a fork the helper's or the supervisor's. Called before any thread exists.
pub fn init_main(supervise: fn(Vec<OwnedFd>) -> ExitCode) -> ExitCode {
    let Ok(requests) = sys::take_stdin() else { return ExitCode::FAILURE };
    let _ = setsid();
    sys::forget_children(true);
    seccomp::prepare();
    sys::forget_children(false);
    template::become_able_to_mount();
    sys::forget_children(true);
    if init::silence().is_err() {
        return ExitCode::FAILURE;
    }
    while let Ok(Some((kind, descriptors))) = receive(&requests) {
        template::refresh();
        match (sys::fork(0), kind) {
            (Ok(None), Kind::Helper) => {
                drop(requests);
                let Ok([control, output]) = <[OwnedFd; 2]>::try_from(descriptors) else { return ExitCode::FAILURE };
                return born(control, output, None);
            }
            (Ok(None), Kind::Supervisor) => {
                drop(requests);
                sys::forget_children(false);
                let _ = setsid();
                return supervise(descriptors);
            }
            (Ok(Some(_)), _) => {}
            (Err(error), Kind::Helper) => {
                let failure = Stage::Namespaces.because("starting the sandbox's helper")(error);
                let _ = descriptors.first().map(|control| send(control, &Report::Failed(failure), None));
            }
            // Whoever asked sees its descriptors closed.
            (Err(_), Kind::Supervisor) => {}
        }
    }
    ExitCode::SUCCESS
}

/// The helper's first moments: what it says belongs to the sandbox's output, and it waits for its own child. It keeps `held` open as long as it lives.
pub(super) fn born(control: OwnedFd, output: OwnedFd, held: Option<OwnedFd>) -> ExitCode {
    sys::forget_children(false);
    if sys::redirect(output.as_fd(), 1).and_then(|()| sys::redirect(output.as_fd(), 2)).is_err() {
        return ExitCode::FAILURE;
    }
    drop(output);
    helper::run(&control, held)
}

/// The next request; `None` when tidegate is gone.
fn receive(requests: &OwnedFd) -> io::Result<Option<(Kind, Vec<OwnedFd>)>> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut kind = [0];
        let received = match recvmsg(requests, &mut [IoSliceMut::new(&mut kind)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        let rights = ancillary.drain().filter_map(|message| if let RecvAncillaryMessage::ScmRights(found) = message { Some(found) } else { None });
        let kind = if kind[0] == Kind::Helper as u8 { Kind::Helper } else { Kind::Supervisor };
        // Too few come to a process out of descriptors; whoever asked sees his socket end.
        return Ok(Some((kind, rights.flatten().collect())));
    }
}

/// Tidegate's end.
struct Nursery {
    requests: OwnedFd,
    process: Child,
}

static NURSERY: Mutex<Option<Nursery>> = Mutex::new(None);

/// Lets somebody be born that has these descriptors. Blocks no longer than a message to a socket (and, once a process, a `posix_spawn`).
pub(super) fn ask(kind: Kind, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    // A panic while the lock was held can not have left half a nursery.
    let mut place = NURSERY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(nursery) = &mut *place {
        match request(&nursery.requests, kind, descriptors) {
            // Somebody has killed it: the next one takes over.
            Err(Errno::PIPE | Errno::CONNRESET) => {
                let _ = nursery.process.wait();
            }
            other => return Ok(other?),
        }
    }
    let nursery = place.insert(start()?);
    Ok(request(&nursery.requests, kind, descriptors)?)
}

/// Lets a supervisor be born that has these descriptors: at most four.
pub fn supervisor(descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    ask(Kind::Supervisor, descriptors)
}

fn start() -> io::Result<Nursery> {
    let (requests, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut command = Command::new(program::program());
    command.arg(INIT_COMMAND).env_clear().stdin(Stdio::from(far)).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Nursery { requests, process: command.spawn()? })
}

fn request(nursery: &OwnedFd, kind: Kind, descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    loop {
        match sendmsg(nursery, &[IoSlice::new(&[kind as u8])], &mut ancillary, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return other.map(|_| ()),
        }
    }
}
