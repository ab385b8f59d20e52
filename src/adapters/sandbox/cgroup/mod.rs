//! A control group for every sandbox: what all of its processes together may take. Version 2 where the machine has it for this, version 1 otherwise; where
//! neither lets this process make groups (an ordinary user without a delegated subtree), there is none, and the record says what is not held.
//!
//! A group is named by the helper that made it, its process id and the moment of its birth, so that a later start knows which have outlived theirs (`sweep`).
//!
//! Nobody is ever moved into a group by somebody else: the kernel then waits until no processor looks at any process any more, for ten milliseconds and more. A
//! sandbox's first process is born in its group (version 2), or goes in by itself before it does anything else (version 1).

mod above;
mod delegated;
mod places;
mod sweep;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::sys;
use places::{Controller, Parent};

pub use above::{GroupAbove, Tally, has_our_groups};
pub use sweep::sweep as sweep_groups;

/// What the processes of one sandbox may take together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub memory_bytes: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_millis: Option<u32>,
    pub pids: Option<u32>,
    /// Bytes of one file, wherever it is: nothing that a group knows, but bounded with it.
    pub file_bytes: Option<u64>,
}

impl Limits {
    /// Whether a group is needed to hold them.
    pub(super) fn any(&self) -> bool {
        self.memory_bytes.is_some() || self.cpu_millis.is_some() || self.pids.is_some()
    }
}

/// A limit that was run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exceeded {
    Memory,
    Processes,
}

/// The processor time over which a share of processors is counted.
const PERIOD_US: u64 = 100_000;

/// One folder for each controller (version 1), or one for all (version 2).
#[derive(Debug)]
pub(super) struct Group {
    folders: Vec<(Parent, PathBuf)>,
    /// Of each, the way in.
    doors: Vec<File>,
}

/// Finds out where groups can be made. The nursery does it once, before it forks: no sandbox pays for it.
pub(super) fn prepare() {
    places::parents();
}

/// What a group says about its past.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    pub(super) peak_memory_bytes: Option<u64>,
    pub(super) exceeded: Option<Exceeded>,
}

impl Group {
    /// `None` where no group can be made.
    pub(super) fn make() -> Option<Self> {
        let name = sweep::own_name()?;
        let mut group = Self { folders: Vec::new(), doors: Vec::new() };
        for parent in places::parents() {
            let folder = parent.folder.join(&name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let door = if parent.version == 1 { File::options().write(true).open(folder.join("tasks")) } else { File::open(&folder) };
            group.folders.push((parent, folder));
            // One without a door is removed again with the others.
            group.doors.push(door.ok()?);
        }
        (!group.folders.is_empty()).then_some(group)
    }

    /// `sys::fork`, whose child is in the group, or goes in by `enter`. A group that the kernel does not let it in is none.
    pub(super) fn fork(group: &mut Option<Self>, namespaces: i32) -> io::Result<Option<Pid>> {
        if let Some(door) = group.as_ref().and_then(Self::unified) {
            match sys::fork_into(namespaces, door.as_fd()) {
                Err(_) => *group = None,
                forked => return forked,
            }
        }
        sys::fork(namespaces)
    }

    /// The child's first act. What it starts is in the group as well.
    pub(super) fn enter(mut self) -> io::Result<()> {
        // They are its parent's to remove.
        self.folders.clear();
        self.doors.iter().filter(|door| door.metadata().is_ok_and(|meta| meta.is_file())).try_for_each(|mut door| door.write_all(b"0"))
    }

    fn unified(&self) -> Option<&File> {
        self.doors.first().filter(|_| self.folders.iter().any(|(parent, _)| parent.version == 2))
    }

    /// Sets the limits, and answers which of them are held now, by name.
    pub(super) fn limit(&self, limits: &Limits) -> Vec<&'static str> {
        let mut held = Vec::new();
        let mut set = |controller, name, files: &[(&str, &str, String)]| {
            if self.of(controller).is_some_and(|(parent, folder)| {
                files.iter().all(|(first, second, value)| {
                    let file = if parent.version == 1 { first } else { second };
                    file.is_empty() || fs::write(folder.join(file), value).is_ok()
                })
            }) {
                held.push(name);
            }
        };
        if let Some(bytes) = limits.memory_bytes {
            set(Controller::Memory, "cgroup-memory", &[("memory.limit_in_bytes", "memory.max", bytes.to_string())]);
            // What is swapped out is used as well. Machines without swap, and older ones, have no such file.
            let swap = [("memory.memsw.limit_in_bytes", bytes.to_string()), ("memory.swap.max", "0".to_owned())];
            if let Some((parent, folder)) = self.of(Controller::Memory) {
                let (file, value) = &swap[usize::from(parent.version == 2)];
                let _ = fs::write(folder.join(file), value);
                let _ = fs::write(folder.join("memory.oom.group"), "1");
            }
        }
        if let Some(pids) = limits.pids {
            set(Controller::Pids, "cgroup-pids", &[("pids.max", "pids.max", pids.to_string())]);
        }
        if let Some(millis) = limits.cpu_millis {
            let quota = u64::from(millis) * PERIOD_US / 1000;
            let files = [
                ("cpu.cfs_period_us", "", PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", "", quota.to_string()),
                ("", "cpu.max", format!("{quota} {PERIOD_US}")),
            ];
            let version = self.of(Controller::Cpu).map_or(1, |(parent, _)| parent.version);
            let files: Vec<_> = files.into_iter().filter(|(first, ..)| first.is_empty() == (version == 2)).collect();
            set(Controller::Cpu, "cgroup-cpu", &files);
        }
        held
    }

    pub(super) fn past(&self) -> Past {
        let text = |controller, first: &str, second: &str| {
            let (parent, folder) = self.of(controller)?;
            fs::read_to_string(folder.join(if parent.version == 1 { first } else { second })).ok()
        };
        let count = |text: Option<String>, word: &str| {
            let text = text.unwrap_or_default();
            text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        let peak = text(Controller::Memory, "memory.max_usage_in_bytes", "memory.peak").and_then(|text| text.trim().parse().ok());
        let killed = count(text(Controller::Memory, "memory.oom_control", "memory.events"), "oom_kill ");
        let refused = count(text(Controller::Pids, "pids.events", "pids.events"), "max ");
        let exceeded = if killed > 0 { Some(Exceeded::Memory) } else { (refused > 0).then_some(Exceeded::Processes) };
        Past { peak_memory_bytes: peak, exceeded }
    }

    fn of(&self, controller: Controller) -> Option<(&Parent, &Path)> {
        self.folders.iter().find(|(parent, _)| parent.controllers.contains(&controller)).map(|(parent, folder)| (parent, folder.as_path()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for (_, folder) in &self.folders {
            let _ = remove(folder);
        }
    }
}

/// Kills what is in a group, and removes it. The last of its processes takes a moment to be gone.
fn remove(folder: &Path) -> io::Result<()> {
    for _ in 0..200 {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                if fs::write(folder.join("cgroup.kill"), "1").is_err() {
                    for process in fs::read_to_string(folder.join("cgroup.procs"))?.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
                        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(()),
        }
    }
    Err(io::Error::other("it does not empty"))
}

/// Lets a group hold these limits. Answers which are held.
pub(super) fn hold(group: Option<&Group>, limits: &Limits) -> Vec<&'static str> {
    group.map(|group| group.limit(limits)).unwrap_or_default()
}
