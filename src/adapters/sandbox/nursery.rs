//! `tidegate sandbox-init`: one a tidegate process, started with its first sandbox. It forks a helper for every sandbox, so that none of them pays
//! for loading and linking this binary again.
//!
//! ```text
//! tidegate ──one message a sandbox: two descriptors──▶ nursery ──fork──▶ helper (helper.rs)
//! ```
//!
//! - It runs nothing of anybody, reads no specification and keeps neither of the two descriptors: nothing of one sandbox can reach the next.
//! - It has one thread, no environment, and a session of its own (so that Ctrl-C reaches tidegate only).
//! - It ends when tidegate does: its stdin, the socket from tidegate, is closed then. The helpers have lifelines of their own and do not need it.

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
use super::{INIT_COMMAND, helper, init, program, seccomp, sys};

/// The nursery's `main`, and after a fork the helper's. Called before any thread exists.
pub fn init_main() -> ExitCode {
    let Ok(requests) = sys::take_stdin() else { return ExitCode::FAILURE };
    let _ = setsid();
    sys::forget_children(true);
    seccomp::prepare();
    if init::silence().is_err() {
        return ExitCode::FAILURE;
    }
    while let Ok(Some([control, output])) = receive(&requests) {
        match sys::fork(0) {
            Ok(None) => {
                drop(requests);
                return born(control, output);
            }
            Ok(Some(_)) => {}
            Err(error) => {
                let _ = send(&control, &Report::Failed(Stage::Namespaces.because("starting the sandbox's helper")(error)), None);
            }
        }
    }
    ExitCode::SUCCESS
}

/// The helper's first moments: what it says belongs to the sandbox's output, and it waits for its own child.
fn born(control: OwnedFd, output: OwnedFd) -> ExitCode {
    sys::forget_children(false);
    if sys::redirect(output.as_fd(), 1).and_then(|()| sys::redirect(output.as_fd(), 2)).is_err() {
        return ExitCode::FAILURE;
    }
    drop(output);
    helper::run(&control)
}

/// The two descriptors of one request; `None` when tidegate is gone.
fn receive(requests: &OwnedFd) -> io::Result<Option<[OwnedFd; 2]>> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = match recvmsg(requests, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        let rights = ancillary.drain().filter_map(|message| if let RecvAncillaryMessage::ScmRights(found) = message { Some(found) } else { None });
        // Anything else than two came from a process out of descriptors; whoever asked sees the sandbox's socket end.
        if let Ok(two) = <[OwnedFd; 2]>::try_from(rights.flatten().collect::<Vec<_>>()) {
            return Ok(Some(two));
        }
    }
}

/// Tidegate's end.
struct Nursery {
    requests: OwnedFd,
    process: Child,
}

static NURSERY: Mutex<Option<Nursery>> = Mutex::new(None);

/// Lets a helper be born that has these as its lifeline and as its stdout and stderr. Blocks no longer than a message to a socket
/// (and, once a process, a `posix_spawn`).
pub(super) fn ask(control: BorrowedFd<'_>, output: BorrowedFd<'_>) -> io::Result<()> {
    // A panic while the lock was held can not have left half a nursery.
    let mut place = NURSERY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(nursery) = &mut *place {
        match request(&nursery.requests, control, output) {
            // Somebody has killed it: the next one takes over.
            Err(Errno::PIPE | Errno::CONNRESET) => {
                let _ = nursery.process.wait();
            }
            other => return Ok(other?),
        }
    }
    let nursery = place.insert(start()?);
    Ok(request(&nursery.requests, control, output)?)
}

fn start() -> io::Result<Nursery> {
    let (requests, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut command = Command::new(program::program());
    command.arg(INIT_COMMAND).env_clear().stdin(Stdio::from(far)).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Nursery { requests, process: command.spawn()? })
}

fn request(nursery: &OwnedFd, control: BorrowedFd<'_>, output: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let descriptors = [control, output];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    loop {
        match sendmsg(nursery, &[IoSlice::new(&[1])], &mut ancillary, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return other.map(|_| ()),
        }
    }
}
