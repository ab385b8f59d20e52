//! `tidegate sandbox-init`: one a tidegate process, started with its first sandbox. It forks a helper for every sandbox, so that none of them pays
//! for loading and linking this binary again.
//!
//! ```text
//! tidegate ──one message a sandbox: what it shall be, descriptors──▶ nursery ──fork──▶ helper (helper.rs), or a supervisor (whoever called `init_main`)
//! ```
//!
//! - It keeps a few sandboxes ready that nobody has asked for yet (pool.rs).
//! - It runs nothing of anybody, reads no specification and keeps none of the descriptors: nothing of one sandbox can reach the next.
//! - It has one thread, no environment, and a session of its own (so that Ctrl-C reaches tidegate only).
//! - It ends when tidegate does: its stdin, the socket from tidegate, is closed then. Helpers have lifelines of their own and do not need it; supervisors go
//!   on by themselves.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::setsid;

use super::pool::{self, Pool};
use super::prepared::Prepared;
use super::wire::{Report, Stage, send};
use super::{INIT_COMMAND, cgroup, helper, init, program, seccomp, sys, template};

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
pub fn init_main(supervise: fn(Vec<OwnedFd>, Option<Waiting>) -> ExitCode) -> ExitCode {
    let Ok(requests) = sys::take_stdin() else { return ExitCode::FAILURE };
    let _ = setsid();
    sys::forget_children(true);
    seccomp::prepare();
    cgroup::prepare();
    sys::forget_children(false);
    template::become_able_to_mount();
    sys::forget_children(true);
    if init::silence().is_err() {
        return ExitCode::FAILURE;
    }
    let mut pool = Pool::new();
    loop {
        match someone_asks(&requests, pool.until_due()) {
            Ok(true) => {}
            Ok(false) => {
                pool.tend();
                continue;
            }
            Err(_) => return ExitCode::FAILURE,
        }
        let Ok(Some((asked, descriptors))) = receive(&requests) else { return ExitCode::SUCCESS };
        if template::refresh() {
            pool.empty();
        }
        let mut warm = asked.warm.then(|| pool.take()).flatten();
        if asked.kind == Kind::Helper
            && let Some(waiting) = warm.take()
            && pool::hand_over(&waiting, &descriptors.iter().map(AsFd::as_fd).collect::<Vec<_>>()).is_ok()
        {
            continue;
        }
        match sys::fork(0) {
            Ok(None) => {
                drop(requests);
                pool.empty();
                return match asked.kind {
                    Kind::Helper => {
                        let Ok([control, output]) = <[OwnedFd; 2]>::try_from(descriptors) else { return ExitCode::FAILURE };
                        born(control, output, None, None)
                    }
                    Kind::Supervisor => {
                        sys::forget_children(false);
                        let _ = setsid();
                        supervise(descriptors, warm.map(Waiting))
                    }
                };
            }
            Ok(Some(_)) => {}
            Err(error) if asked.kind == Kind::Helper => {
                let failure = Stage::Namespaces.because("starting the sandbox's helper")(error);
                let _ = descriptors.first().map(|control| send(control, &Report::Failed(failure), None));
            }
            // Whoever asked sees its descriptors closed.
            Err(_) => {}
        }
    }
}

/// A sandbox that waits for a supervisor's word.
#[derive(Debug)]
pub struct Waiting(pub(super) OwnedFd);

/// Whether somebody asks (or is gone) before the time is over.
fn someone_asks(requests: &OwnedFd, patience: Option<Duration>) -> io::Result<bool> {
    let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
    loop {
        match poll(&mut [PollFd::new(requests, PollFlags::IN)], patience.as_ref()) {
            Err(Errno::INTR) => {}
            other => return Ok(other? > 0),
        }
    }
}

/// The helper's first moments: what it says belongs to the sandbox's output, and it waits for its own child. It keeps `held` open as long as it lives.
pub(super) fn born(control: OwnedFd, output: OwnedFd, held: Option<OwnedFd>, prepared: Option<Prepared>) -> ExitCode {
    sys::forget_children(false);
    if sys::redirect(output.as_fd(), 1).and_then(|()| sys::redirect(output.as_fd(), 2)).is_err() {
        return ExitCode::FAILURE;
    }
    drop(output);
    helper::run(&control, held, prepared)
}

/// What a request says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    kind: Kind,
    /// Whether one that waits will do.
    warm: bool,
}

/// The next request; `None` when whoever could ask is gone.
pub(super) fn receive(requests: &OwnedFd) -> io::Result<Option<(Asked, Vec<OwnedFd>)>> {
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut said = [0; 2];
        let received = match recvmsg(requests, &mut [IoSliceMut::new(&mut said)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        let rights = ancillary.drain().filter_map(|message| if let RecvAncillaryMessage::ScmRights(found) = message { Some(found) } else { None });
        let kind = if said[0] == Kind::Helper as u8 { Kind::Helper } else { Kind::Supervisor };
        // Too few come to a process out of descriptors; whoever asked sees his socket end.
        return Ok(Some((Asked { kind, warm: said[1] == 1 }, rights.flatten().collect())));
    }
}

/// Tidegate's end.
struct Nursery {
    requests: OwnedFd,
    process: Child,
}

static NURSERY: Mutex<Option<Nursery>> = Mutex::new(None);

/// Lets somebody be born that has these descriptors. Blocks no longer than a message to a socket (and, once a process, a `posix_spawn`).
pub(super) fn ask(kind: Kind, warm: bool, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    // A panic while the lock was held can not have left half a nursery.
    let mut place = NURSERY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(nursery) = &mut *place {
        match request(&nursery.requests, kind, warm, descriptors) {
            // Somebody has killed it: the next one takes over.
            Err(Errno::PIPE | Errno::CONNRESET) => {
                let _ = nursery.process.wait();
            }
            other => return Ok(other?),
        }
    }
    let nursery = place.insert(start()?);
    Ok(request(&nursery.requests, kind, warm, descriptors)?)
}

/// Lets a supervisor be born that has these descriptors: at most four. `warm`: with a sandbox that waits, if there is one.
pub fn supervisor(descriptors: &[BorrowedFd<'_>], warm: bool) -> io::Result<()> {
    ask(Kind::Supervisor, warm, descriptors)
}

fn start() -> io::Result<Nursery> {
    let (requests, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut command = Command::new(program::program());
    command.arg(INIT_COMMAND).env_clear().stdin(Stdio::from(far)).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Nursery { requests, process: command.spawn()? })
}

pub(super) fn request(to: &OwnedFd, kind: Kind, warm: bool, descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    loop {
        match sendmsg(to, &[IoSlice::new(&[kind as u8, u8::from(warm)])], &mut ancillary, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return other.map(|_| ()),
        }
    }
}
