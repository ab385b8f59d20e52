//! The process beside every sandbox, born in the nursery. One thread, no environment, a session of its own.
//!
//! It clones init into new namespaces, says who init is outside, becomes that unprivileged user itself, and waits: for init to end, or for the socket
//! from tidegate to be closed. That happens when tidegate wants the sandbox dead, and also when tidegate itself was killed.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::RecvFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal, setsid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::cgroup::{self, Group, Past};
use super::init::{self, Beginning};
use super::prepared::{self, Begun, Prepared};
use super::spec::{Isolation, NetworkOf, Protection, SandboxSpec};
use super::wire::{Failure, Report, Stage, read_blocking, send};
use super::{INNER_UID, sys, template, trees, unisolated};

/// All of a helper's life, from its birth in the nursery. It has one thread. `held` stays open until nothing of the sandbox is left.
pub(super) fn run(control: &OwnedFd, held: Option<OwnedFd>, prepared: Option<Prepared>) -> ExitCode {
    let _ = setsid();
    match serve(control, held, prepared) {
        Ok(last) => {
            let _ = send(control, &last.report, None);
            // Takes its time; nobody waits for it any more.
            if last.group.is_some() && trees::outer_uid().is_some() {
                let root = rustix::fs::Uid::ROOT;
                let _ = set_thread_res_uid(root, root, root);
            }
            drop(last);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let _ = send(control, &Report::Failed(failure), None);
            ExitCode::FAILURE
        }
    }
}

/// The last word of a helper, and what is closed after it.
struct Last {
    report: Report,
    group: Option<Group>,
    _mounts: Option<OwnedFd>,
    _held: Option<OwnedFd>,
}

fn serve(control: &OwnedFd, held: Option<OwnedFd>, prepared: Option<Prepared>) -> Result<Last, Failure> {
    let stream = std::os::unix::net::UnixStream::from(control.try_clone().map_err(Stage::Specification.because("copying the socket"))?);
    let spec: SandboxSpec = read_blocking(&stream).map_err(Stage::Specification.because("reading the specification"))?;
    drop(stream);
    match spec.isolation {
        Isolation::Full => isolated(control, spec, held, prepared),
        Isolation::None => Ok(Last { report: unisolated::run(control, &spec)?, group: None, _mounts: None, _held: held }),
    }
}

fn isolated(control: &OwnedFd, spec: SandboxSpec, held: Option<OwnedFd>, prepared: Option<Prepared>) -> Result<Last, Failure> {
    let outer = trees::outer_uid();
    let plain = |error: io::Error| Failure { stage: Stage::Namespaces, why: error.to_string() };
    let make = || prepared.map_or_else(|| prepared::prepare(spec.limits.any()), Ok);
    let begun = (template::fits(&spec) && template::exists()).then(|| make()?.begin(&spec, control.as_fd(), io::stdout().as_fd()));
    // What can not be made of the template is built on its own, and says why when that fails too.
    let Some(Ok(Begun { init, alive, mounts, group })) = begun else { return built(control, spec, held) };
    become_outer_user(outer, group.is_some())?;
    init::silence().map_err(plain)?;
    let report = watch(control, init, || Ok(kill_process(init, Signal::TERM)?)).map_err(plain)?;
    drop(alive);
    Ok(Last { report: with_past(report, group.as_ref()), group, _mounts: Some(mounts), _held: held })
}

fn with_past(report: Report, group: Option<&Group>) -> Report {
    match (report, group) {
        (Report::Gone { at_us, exit, usage, .. }, Some(group)) => Report::Gone { at_us, exit, usage, past: group.past() },
        (report, _) => report,
    }
}

/// Before anybody is cloned: root's groups are nobody else's.
pub(super) fn leave_groups(outer: Option<u32>) -> Result<(), Failure> {
    if outer.is_some() { set_thread_groups(&[]).map_err(Stage::Identity.because("leaving root's groups")) } else { Ok(()) }
}

/// Whoever watches needs no rights but to end what it watches. For good, unless a control group has to be removed in the end: that is root's.
fn become_outer_user(outer: Option<u32>, to_return: bool) -> Result<(), Failure> {
    let Some(uid) = outer else { return Ok(()) };
    if to_return {
        let (user, root) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Uid::ROOT);
        return set_thread_res_uid(user, user, root).map_err(Stage::Identity.because("becoming an unprivileged user"));
    }
    become_user(uid, uid).map_err(Stage::Identity.because("becoming an unprivileged user"))
}

/// A sandbox with a file tree of its own.
fn built(control: &OwnedFd, spec: SandboxSpec, held: Option<OwnedFd>) -> Result<Last, Failure> {
    let outer = trees::outer_uid();
    let trees = outer.map(|_| trees::open(&spec)).transpose()?;
    leave_groups(outer)?;
    let plain = |error: io::Error| Failure { stage: Stage::Namespaces, why: error.to_string() };
    let (watched, alive) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| plain(error.into()))?;
    let mut group = spec.limits.any().then(Group::make).flatten();
    let limits = cgroup::hold(group.as_ref(), &spec.limits);
    match Group::fork(&mut group, namespaces(&spec)).map_err(Stage::Namespaces.because("making namespaces"))? {
        None => {
            drop((alive, held));
            let control = control.try_clone().map_err(plain)?;
            let limits = limits.into_iter().filter(|_| group.is_some()).map(str::to_owned).collect();
            init::run(Beginning { spec, trees, control, helper: watched, held: limits, group })
        }
        Some(child) => {
            drop((watched, trees));
            let mut alive = File::from(alive);
            // An early end of this process is the child's as well: it waits for the byte that says that it is somebody.
            let mounts = prepared::mounts_of(child)?;
            map_user(child, outer)?;
            become_outer_user(outer, group.is_some())?;
            alive.write_all(&[1]).map_err(plain)?;
            init::silence().map_err(plain)?;
            // Init passes it on to everybody inside.
            let report = watch(control, child, || Ok(kill_process(child, Signal::TERM)?)).map_err(plain)?;
            drop(alive);
            Ok(Last { report: with_past(report, group.as_ref()), group, _mounts: Some(mounts), _held: held })
        }
    }
}

fn namespaces(spec: &SandboxSpec) -> i32 {
    let wanted = [
        (sys::NEW_PID, spec.keeps(Protection::PidNamespace)),
        (sys::NEW_IPC, spec.keeps(Protection::IpcNamespace)),
        (sys::NEW_NETWORK, spec.network == NetworkOf::Own),
    ];
    let always = sys::NEW_USER | sys::NEW_MOUNT | sys::NEW_UTS;
    wanted.into_iter().filter(|(_, wanted)| *wanted).fold(always, |all, (one, _)| all | one)
}

/// One user and one group inside, which is an unprivileged one outside. So a file of anybody else stays out of reach, whatever its mode.
pub(super) fn map_user(child: Pid, outer: Option<u32>) -> Result<(), Failure> {
    let uid = outer.unwrap_or(rustix::process::geteuid().as_raw());
    let gid = outer.unwrap_or(rustix::process::getegid().as_raw());
    let pid = child.as_raw_nonzero();
    for (file, text) in [("setgroups", "deny".to_owned()), ("uid_map", format!("{INNER_UID} {uid} 1")), ("gid_map", format!("{INNER_UID} {gid} 1"))] {
        std::fs::write(format!("/proc/{pid}/{file}"), text).map_err(Stage::UserMap.because(format_args!("writing {file}")))?;
    }
    Ok(())
}

/// For good: no way back is left.
pub(super) fn become_user(uid: u32, gid: u32) -> rustix::io::Result<()> {
    let (user, group) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)
}

/// Waits for the child's end. A byte from tidegate is the wish that it ends (`terminate` says so to those whom it concerns); when tidegate lets go of
/// its end of the socket, the child is killed.
pub(super) fn watch(control: &OwnedFd, child: Pid, terminate: impl Fn() -> io::Result<()>) -> io::Result<Report> {
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
        if rustix::net::recv(control, &mut [0; 1], RecvFlags::empty()).is_ok_and(|(_, received)| received > 0) {
            // Best effort: whoever wants it gone kills it when it does not go.
            let _ = terminate();
            continue;
        }
        killed = true;
        pidfd_send_signal(process.as_fd(), Signal::KILL)?;
    }
    let ended = sys::wait(child.as_raw_nonzero().get())?.ok_or_else(|| io::Error::other("init is not a child"))?;
    Ok(Report::Gone { at_us: sys::monotonic_us(), exit: ended.exit, usage: ended.usage, past: Past::default() })
}
