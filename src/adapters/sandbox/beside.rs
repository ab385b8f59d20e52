//! A process of ours that serves one sandbox from outside: forked by the supervisor, with as little of its rights as it can do with. It speaks with whatever
//! runs in the sandbox, so whoever takes it over must have nothing.
//!
//! No descriptor but those that it is given, one unprivileged user where its parent was root, no capability, no new privileges, the system calls of a sandbox,
//! no file but what a resolver reads, few resources. It dies with its parent, and is killed when its handle is dropped.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg};
use rustix::process::{DumpableBehavior, Pid, Signal, kill_process, set_dumpable_behavior, set_parent_process_death_signal};

use super::{helper, init, landlock, network, rlimits, seccomp, sys, trees};

#[derive(Debug)]
pub struct Beside {
    process: Pid,
}

/// Forks it. Only for a process with one thread. `kept` stays open in it; its exit code is what `work` answers.
pub fn beside(kept: &[BorrowedFd<'_>], work: impl FnOnce() -> ExitCode) -> std::io::Result<Beside> {
    let parent = rustix::process::getpid();
    match sys::fork(0)? {
        Some(process) => Ok(Beside { process }),
        None => {
            sys::close_all_but(kept.iter().map(|descriptor| descriptor.as_raw_fd()).collect());
            // Better nobody than somebody with rights.
            let code = if confine(parent).is_ok() { work() } else { ExitCode::FAILURE };
            sys::leave(code)
        }
    }
}

fn confine(parent: Pid) -> std::io::Result<()> {
    // Only who has them can do without them for good.
    init::bar_capabilities();
    if let Some(uid) = trees::outer_uid() {
        helper::leave_groups(Some(uid)).map_err(|failure| std::io::Error::other(failure.why))?;
        helper::become_user(uid, uid)?;
    }
    rustix::thread::set_no_new_privs(true)?;
    init::drop_capabilities()?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // Becoming somebody else has taken this back, so it comes behind; the parent may be gone already.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        return Err(std::io::Error::other("the supervisor is gone"));
    }
    rlimits::apply_beside()?;
    // Where the kernel has neither, the rest must do: it is what the record says of the sandbox as well.
    landlock::apply_beside().map_err(std::io::Error::other)?;
    seccomp::apply();
    Ok(())
}

/// Listens on the loopback of another network, which somebody else has made: that of a container, by its first process's `/proc/PID/ns/net`. Needs root
/// (of the user namespace that the network belongs to).
pub fn listen_inside(network: BorrowedFd<'_>, port: u16) -> std::io::Result<OwnedFd> {
    network::aside(|| {
        network::enter(network)?;
        init::listen_at(port)
    })
}

/// Gives a descriptor to the process at the other end.
pub fn hand_over(to: &UnixStream, descriptor: BorrowedFd<'_>) -> std::io::Result<()> {
    let descriptors = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(to, &[IoSlice::new(&[0])], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for what `hand_over` gives. An error when nobody will any more.
pub fn take_over(from: &UnixStream) -> std::io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::io::retry_on_intr(|| recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
    let rights = ancillary.drain().filter_map(|message| if let RecvAncillaryMessage::ScmRights(found) = message { Some(found) } else { None });
    rights.flatten().next().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = kill_process(self.process, Signal::KILL);
        let _ = sys::wait(self.process.as_raw_nonzero().get());
    }
}
