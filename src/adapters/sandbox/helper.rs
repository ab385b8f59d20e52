//! `tidegate sandbox-init`: the process beside every sandbox. One thread, no environment, in a session of its own (so that Ctrl-C reaches tidegate only).
//!
//! It becomes unprivileged, clones init into new namespaces, and waits: for init to end, or for its stdin, the socket from tidegate, to be closed.
//! That happens when tidegate wants the sandbox dead, and also when tidegate itself was killed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, set_dumpable_behavior, setsid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::init::{self, Beginning};
use super::spec::{Isolation, SandboxSpec};
use super::wire::{Failure, Report, Stage, read_blocking, send};
use super::{sys, trees, unisolated};

/// The helper's `main`. Called before any thread exists.
pub fn init_main() -> ExitCode {
    let Ok(control) = sys::take_stdin() else { return ExitCode::FAILURE };
    let _ = setsid();
    match serve(&control) {
        Ok(last) => {
            let _ = send(&control, &last, None);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let _ = send(&control, &Report::Failed(failure), None);
            ExitCode::FAILURE
        }
    }
}

fn serve(control: &OwnedFd) -> Result<Report, Failure> {
    let stream = std::os::unix::net::UnixStream::from(control.try_clone().map_err(Stage::Specification.because("copying stdin"))?);
    let spec: SandboxSpec = read_blocking(&stream).map_err(Stage::Specification.because("reading the specification"))?;
    drop(stream);
    match spec.isolation {
        Isolation::Full => isolated(control, spec),
        Isolation::None => unisolated::run(control, &spec),
    }
}

fn isolated(control: &OwnedFd, spec: SandboxSpec) -> Result<Report, Failure> {
    let outer = trees::outer_uid();
    let trees = outer.map(|_| trees::open(&spec)).transpose()?;
    if let Some(uid) = outer {
        become_user(uid).map_err(Stage::Identity.because("becoming an unprivileged user"))?;
    }
    let plain = |error: io::Error| Failure { stage: Stage::Namespaces, why: error.to_string() };
    let (watched, alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| plain(error.into()))?;
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let namespaces = sys::NEW_USER | sys::NEW_MOUNT | sys::NEW_PID | sys::NEW_IPC | sys::NEW_UTS;
    let namespaces = if spec.host_network { namespaces } else { namespaces | sys::NEW_NETWORK };
    match sys::fork(namespaces).map_err(Stage::Namespaces.because("making namespaces"))? {
        None => {
            drop(alive);
            let control = control.try_clone().map_err(plain)?;
            init::run(Beginning { spec, trees, control, helper: watched, uid, gid })
        }
        Some(child) => {
            drop((watched, trees));
            let report = watch(control, child).map_err(plain);
            drop(alive);
            report
        }
    }
}

/// For good: no way back is left. (`dumpable` is set again because a change of user clears it, and init writes its own user map through `/proc`.)
fn become_user(uid: u32) -> rustix::io::Result<()> {
    let (user, group) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(uid));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    set_dumpable_behavior(DumpableBehavior::Dumpable)
}

/// Waits for the child's end, and brings it about when tidegate lets go of its end of the socket.
pub(super) fn watch(control: &OwnedFd, child: Pid) -> io::Result<Report> {
    init::silence()?;
    let process = pidfd_open(child, PidfdFlags::empty())?;
    let mut killed = false;
    loop {
        let lifeline = if killed { PollFlags::empty() } else { PollFlags::IN };
        let mut ends = [PollFd::new(&process, PollFlags::IN), PollFd::new(control, lifeline)];
        let ends = if killed { &mut ends[..1] } else { &mut ends[..] };
        match poll(ends, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if !ends[0].revents().is_empty() {
            break;
        }
        killed = true;
        pidfd_send_signal(process.as_fd(), Signal::KILL)?;
    }
    let ended = sys::wait(child.as_raw_nonzero().get())?.ok_or_else(|| io::Error::other("init is not a child"))?;
    Ok(Report::Gone { at_us: sys::monotonic_us(), exit: ended.exit, usage: ended.usage })
}
