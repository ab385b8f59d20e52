//! TERM to everybody in a container. An engine only tells the first process; but its processes are this machine's, in a PID namespace of their own.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Answers how many have been told. `first`: the container's first process as this machine counts; it is told as well where it `is_step`.
pub(super) fn terminate(first: i32, is_step: bool) -> usize {
    let Some(namespace) = namespace_of(first) else { return 0 };
    // Never our own, whatever the engine says.
    if Some(&namespace) == namespace_of(rustix::process::getpid().as_raw_nonzero().get()).as_ref() {
        return 0;
    }
    let pids = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| (is_step || *pid != first) && tell(*pid, &namespace).is_some()).count()
}

fn tell(pid: i32, namespace: &PathBuf) -> Option<()> {
    // Held before it is looked at: the number may be another's meanwhile, this is not.
    let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    if namespace_of(pid).as_ref() != Some(namespace) {
        return None;
    }
    pidfd_send_signal(&process, Signal::TERM).ok()
}

fn namespace_of(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
