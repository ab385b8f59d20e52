//! `Isolation::None`: the process on the bare machine, for machines that have no namespaces and people who said that they want it.
//!
//! What is left of the promises: a session of its own, a scrubbed environment, a private copy of the workspace, and that nothing survives. The helper
//! adopts every orphan (it is a subreaper), so all that the process started stays in the tree below it and is killed in the end.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, Signal, kill_process, set_child_subreaper};

use super::cgroup::Past;
use super::spec::SandboxSpec;
use super::wire::{Failure, Report, Stage, send};
use super::{exec, init, sys};

/// Runs it; the helper watches the lifeline, as it does for a sandbox.
pub(super) fn run(control: &OwnedFd, spec: &SandboxSpec) -> Result<Report, Failure> {
    let plain = |error: io::Error| Failure { stage: Stage::Namespaces, why: error.to_string() };
    if spec.listen.is_some() {
        let why = "a listening socket inside needs a network of its own: without isolation, listen yourself".to_owned();
        return Err(Failure { stage: Stage::Network, why });
    }
    super::required::insist(&spec.required, &[])?;
    let cwd = spec
        .overlay
        .as_ref()
        .map_or(spec.cwd.clone(), |overlay| spec.cwd.strip_prefix(&overlay.target).map_or(spec.cwd.clone(), |below| overlay.upper.join(below)));
    set_child_subreaper(Pid::from_raw(1)).map_err(Stage::Namespaces.because("adopting orphans"))?;
    send(control, &Report::Ready { at_us: sys::monotonic_us(), isolation: Vec::new() }, None).map_err(plain)?;
    let counters = sys::storage_counters();
    let before = sys::storage_traffic(counters.as_ref());
    sys::default_signals();
    let process = exec::start(spec, &cwd)?;
    send(control, &Report::Started { at_us: sys::monotonic_us() }, None).map_err(plain)?;
    let process = Pid::from_raw(process).ok_or_else(|| plain(io::Error::other("no process")))?;
    init::silence().map_err(plain)?;
    let report = super::helper::watch(control, process, || signal_descendants(Signal::TERM)).map_err(plain)?;
    kill_descendants().map_err(plain)?;
    let Report::Gone { at_us, exit, .. } = report else { return Ok(report) };
    let usage = sys::usage_since(before, counters.as_ref());
    send(control, &Report::Exited { at_us, exit, usage }, None).map_err(plain)?;
    Ok(Report::Gone { at_us: sys::monotonic_us(), exit, usage, past: Past::default() })
}

/// Kills until there is no child left. What forks while it is hunted is found by the next look.
fn kill_descendants() -> io::Result<()> {
    loop {
        signal_descendants(Signal::KILL)?;
        if sys::wait(-1)?.is_none() {
            return Ok(());
        }
    }
}

fn signal_descendants(signal: Signal) -> io::Result<()> {
    for pid in descendants()?.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
    Ok(())
}

/// All processes below this one, by the parents that `/proc` names.
fn descendants() -> io::Result<HashSet<i32>> {
    let parents: HashMap<i32, i32> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name, in brackets, may hold anything; the parent is the second word after it.
            let parent = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut below = HashSet::from([own]);
    while let before = below.len()
        && {
            below.extend(parents.iter().filter(|(_, parent)| below.contains(parent)).map(|(pid, _)| *pid).collect::<Vec<_>>());
            below.len() > before
        }
    {}
    below.remove(&own);
    Ok(below)
}

/// Copies a tree over what is there already; the later one wins. Links stay links.
pub fn copy(from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        let there = fs::symlink_metadata(&target).ok();
        if let Some(there) = &there
            && !(there.is_dir() && kind.is_dir())
        {
            if there.is_dir() { fs::remove_dir_all(&target)? } else { fs::remove_file(&target)? }
        }
        if kind.is_dir() {
            copy(&source, &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
