//! TERM to everybody in a container. An engine only tells the first process; but its processes are this machine's, in a PID namespace of their own.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Answers how many have been told. `first`: the container's first process as this machine counts; it is told as well where it `is_step`.
pub(super) fn terminate(first: i32, is_step: bool) -> usize {
    // An ordinary user's supervisor may not look into an engine's namespaces. It may still end what is its own user's.
    let Some(namespace) = namespace_of(first) else { return terminate_below(first, is_step) };
    // Never our own, whatever the engine says.
    if Some(&namespace) == namespace_of(rustix::process::getpid().as_raw_nonzero().get()).as_ref() {
        return 0;
    }
    let in_it = |pid: i32| namespace_of(pid).as_ref() == Some(&namespace);
    processes().filter(|pid| (is_step || *pid != first) && tell(*pid, in_it).is_some()).count()
}

/// Everybody in a PID namespace has come from its first process, or was given to it.
fn terminate_below(first: i32, is_step: bool) -> usize {
    if !status(first, "NSpid:").is_some_and(|numbers| numbers.split_whitespace().count() > 1 && numbers.trim_end().ends_with("\t1")) {
        return 0;
    }
    let parent = |pid| status(pid, "PPid:")?.trim().parse::<i32>().ok();
    let parents: Vec<(i32, i32)> = processes().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let (mut below, mut told) = (vec![first], 0);
    while let Some(of) = below.pop() {
        let children: Vec<i32> = parents.iter().filter(|(_, its)| *its == of).map(|(pid, _)| *pid).collect();
        told += children.iter().filter(|pid| tell(**pid, |pid| parent(pid).is_some_and(|now| now == of || now == first)).is_some()).count();
        below.extend(children);
    }
    told + usize::from(is_step && tell(first, |_| true).is_some())
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn tell(pid: i32, is_meant: impl Fn(i32) -> bool) -> Option<()> {
    // Held before it is looked at: the number may be another's meanwhile, this is not.
    let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    if !is_meant(pid) {
        return None;
    }
    pidfd_send_signal(&process, Signal::TERM).ok()
}

fn namespace_of(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

fn status(pid: i32, key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.to_owned()))
}
