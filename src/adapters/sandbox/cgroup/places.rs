//! Where this process may make groups: found from what is mounted and from the group that it is in itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::delegated;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Pids,
    Cpu,
}

const CONTROLLERS: [(Controller, &str); 3] = [(Controller::Memory, "memory"), (Controller::Pids, "pids"), (Controller::Cpu, "cpu")];

/// A group in which groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) folder: PathBuf,
    pub(super) version: u8,
    pub(super) controllers: Vec<Controller>,
}

/// One place for all controllers (version 2), or one for each.
pub(super) fn parents() -> Vec<Parent> {
    static PARENTS: OnceLock<Vec<Parent>> = OnceLock::new();
    PARENTS
        .get_or_init(|| {
            let text = |path| fs::read_to_string(path).unwrap_or_default();
            find(&text("/proc/self/mountinfo"), &text("/proc/self/cgroup"), &Kernel)
        })
        .clone()
}

/// What is asked of groups of version 2, and done to them.
trait Groups {
    /// What groups made in a folder have.
    fn enabled(&self, folder: &Path) -> Vec<Controller>;
    /// Whether somebody has said that this process's group is its own to divide.
    fn is_delegated(&self, own: &Path) -> bool;
    /// Makes room in this process's own group, and answers what groups made there then have.
    fn settle(&self, own: &Path) -> Vec<Controller>;
}

struct Kernel;

impl Groups for Kernel {
    fn enabled(&self, folder: &Path) -> Vec<Controller> {
        enabled_below(folder)
    }
    fn is_delegated(&self, own: &Path) -> bool {
        delegated::is_said(own)
    }
    fn settle(&self, own: &Path) -> Vec<Controller> {
        if delegated::settle(own) { enabled_below(own) } else { Vec::new() }
    }
}

fn find(mounts: &str, own: &str, groups: &impl Groups) -> Vec<Parent> {
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    if let Some(mount) = mounts.iter().find(|mount| mount.version == 2) {
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        if let Some(parent) = find_unified(mount, &mount.folder_of(own), groups) {
            return vec![parent];
        }
    }
    let parent = |(controller, name): (Controller, &str)| {
        let mount = mounts.iter().find(|mount| mount.version == 1 && mount.options.iter().any(|option| option == name))?;
        let own = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            parts.next()?.split(',').any(|found| found == name).then(|| parts.next())?
        })?;
        Some(Parent { folder: mount.folder_of(own), version: 1, controllers: vec![controller] })
    };
    CONTROLLERS.into_iter().filter_map(parent).collect()
}

/// What was handed over comes first: whoever did so may have set limits to it, which shall hold for everything that is made. Otherwise it is the next group above
/// that may have others: a group with processes in it has none with controllers below, so it is mostly not its own. Last, its own without a word.
fn find_unified(mount: &Mount, own: &Path, groups: &impl Groups) -> Option<Parent> {
    let usable = |folder: &Path, controllers: Vec<Controller>| {
        let enough = controllers.contains(&Controller::Memory) && controllers.contains(&Controller::Pids);
        enough.then(|| Parent { folder: folder.to_owned(), version: 2, controllers })
    };
    let settled = || usable(own, groups.settle(own));
    let above = || own.ancestors().take_while(|folder| folder.starts_with(&mount.at)).find_map(|folder| usable(folder, groups.enabled(folder)));
    let said = if groups.is_delegated(own) { settled() } else { None };
    said.or_else(above).or_else(settled)
}

/// The controllers that a file of a group names.
pub(super) fn named_in(file: &Path) -> Vec<Controller> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let is_named = |name: &str| text.split_ascii_whitespace().any(|found| found == name);
    CONTROLLERS.into_iter().filter(|(_, name)| is_named(name)).map(|(controller, _)| controller).collect()
}

/// What is enabled for the groups in a folder; for root, also what can be.
fn enabled_below(folder: &Path) -> Vec<Controller> {
    let file = folder.join("cgroup.subtree_control");
    let read = || named_in(&file);
    // Both or none: in a group with processes the kernel refuses memory only, and would take the rest as the wish that its processes be divided by threads, which
    // closes it to all groups below.
    let both = [Controller::Memory, Controller::Pids].iter().all(|needed| read().contains(needed)) || fs::write(&file, "+memory +pids").is_ok();
    if both && !read().contains(&Controller::Cpu) {
        let _ = fs::write(&file, "+cpu");
    }
    // Not everybody who may read it may make groups.
    if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok() { read() } else { Vec::new() }
}

#[derive(Debug)]
pub(super) struct Mount {
    /// What of the hierarchy is mounted, and where.
    pub(super) root: PathBuf,
    pub(super) at: PathBuf,
    pub(super) version: u8,
    pub(super) options: Vec<String>,
}

impl Mount {
    /// A line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, at) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let version = match after.next()? {
            "cgroup" => 1,
            "cgroup2" => 2,
            _ => return None,
        };
        let options = after.nth(1)?.split(',').map(str::to_owned).collect();
        Some(Self { root: root.into(), at: at.into(), version, options })
    }

    fn folder_of(&self, own: &str) -> PathBuf {
        let below = Path::new(own).strip_prefix(&self.root).or_else(|_| Path::new(own).strip_prefix("/"));
        below.map_or_else(|_| self.at.clone(), |below| if below.as_os_str().is_empty() { self.at.clone() } else { self.at.join(below) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(parents: Vec<Parent>) -> Vec<String> {
        parents.into_iter().map(|parent| format!("{} {} {:?}", parent.version, parent.folder.display(), parent.controllers)).collect()
    }

    /// Folders, by the end of their names: which have controllers for groups below, which are handed over, and which would have room.
    #[derive(Default)]
    struct Machine {
        enabled: &'static [&'static str],
        delegated: &'static [&'static str],
        roomy: &'static [&'static str],
    }

    impl Machine {
        fn both(folder: &Path, among: &[&str]) -> Vec<Controller> {
            if among.iter().any(|name| folder.ends_with(name)) { vec![Controller::Memory, Controller::Pids] } else { Vec::new() }
        }
    }

    impl Groups for Machine {
        fn enabled(&self, folder: &Path) -> Vec<Controller> {
            Self::both(folder, self.enabled)
        }
        fn is_delegated(&self, own: &Path) -> bool {
            self.delegated.iter().any(|name| own.ends_with(name))
        }
        fn settle(&self, own: &Path) -> Vec<Controller> {
            Self::both(own, self.roomy)
        }
    }

    const UNIFIED: &str = "25 30 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn with_version_2_it_is_the_next_group_above_that_has_the_controllers() {
        let own = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope\n";
        let machine = Machine { enabled: &["app.slice", "user.slice"], roomy: &["run-1.scope"], ..Machine::default() };
        let expected = ["2 /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice [Memory, Pids]"];
        assert_eq!(places(find(UNIFIED, own, &machine)), expected);
        assert_eq!(places(find(UNIFIED, own, &Machine::default())), [""; 0], "nobody has let it");
    }

    #[test]
    fn what_was_handed_over_is_divided_before_anything_above() {
        let own = "0::/system.slice/ci.service\n";
        let (enabled, roomy): (&[_], &[_]) = (&["system.slice"], &["ci.service"]);
        let place = |machine| places(find(UNIFIED, own, &machine));
        let (inside, above) = (["2 /sys/fs/cgroup/system.slice/ci.service [Memory, Pids]"], ["2 /sys/fs/cgroup/system.slice [Memory, Pids]"]);
        assert_eq!(place(Machine { enabled, roomy, delegated: &["ci.service"] }), inside);
        assert_eq!(place(Machine { enabled, roomy, delegated: &[] }), above, "a service is not its own to divide");
        assert_eq!(place(Machine { enabled, roomy: &[], delegated: &["ci.service"] }), above, "others are in it");
        assert_eq!(place(Machine { enabled: &[], roomy, delegated: &[] }), inside, "it may, and may nothing above");
        // Whoever is in the leaf already finds the group above it.
        let leaf = "0::/system.slice/ci.service/tidegate-self\n";
        assert_eq!(places(find(UNIFIED, leaf, &Machine { enabled: &["ci.service", "system.slice"], ..Machine::default() })), inside);
    }

    #[test]
    fn with_version_1_every_controller_has_its_own_place_also_beside_an_empty_version_2() {
        let mounts = "\
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 /docker/abc /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
        let own = "9:pids:/docker/abc/x\n8:memory:/jobs/7\n4:cpu,cpuacct:/\n0::/\n";
        let expected = ["1 /sys/fs/cgroup/memory/jobs/7 [Memory]", "1 /sys/fs/cgroup/pids/x [Pids]", "1 /sys/fs/cgroup/cpu,cpuacct [Cpu]"];
        assert_eq!(places(find(mounts, own, &Machine::default())), expected);
    }
}
