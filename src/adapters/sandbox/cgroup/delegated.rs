//! A group of version 2 that was handed over to Tidegate (systemd's `Delegate=yes`, a container's own root): it may make groups there, but the kernel gives
//! controllers only to the groups of one that has no processes itself. So whoever is in it goes down into a leaf first: Tidegate, and what its first process
//! there has started. Where others are in it too, nobody is moved: they are not Tidegate's.

use std::fs;
use std::path::Path;

use super::places::{Controller, named_in};

/// Where they go. No sandbox's group has such a name, so that no sweep takes it for one.
pub(super) const LEAF: &str = "tidegate-self";

/// Generations that are looked at, and looks at what is in the group: whoever forks meanwhile is found by the next.
const GENERATIONS: usize = 64;
const LOOKS: usize = 10;

/// Whether whoever manages the groups has said that this one is for its processes to divide: systemd writes it on them.
pub(super) fn is_said(group: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0; 8];
        rustix::fs::getxattr(group, *name, &mut value[..]).is_ok_and(|length| value.get(..length) == Some(b"1"))
    })
}

/// Makes room in this process's own group. False where it is not to be had, and then nobody was moved, or to where it does no harm.
pub(super) fn settle(group: &Path) -> bool {
    // The first group of a machine has no type; it may have both, processes and groups with controllers.
    if group.ends_with(LEAF) || !group.join("cgroup.type").exists() {
        return false;
    }
    let available = named_in(&group.join("cgroup.controllers"));
    if ![Controller::Memory, Controller::Pids].iter().all(|needed| available.contains(needed)) {
        return false;
    }
    let leaf = group.join(LEAF);
    for _ in 0..LOOKS {
        let Some(inside) = processes(group) else { return false };
        if inside.is_empty() {
            return true;
        }
        if !are_one_family(std::process::id(), &inside, parent_of) {
            return false;
        }
        if fs::create_dir(&leaf).is_err_and(|error| error.kind() != std::io::ErrorKind::AlreadyExists) {
            return false;
        }
        for process in inside {
            // One that has ended is in no group.
            let _ = fs::write(leaf.join("cgroup.procs"), process.to_string());
        }
    }
    false
}

/// The processes in a group. One that this process can not see, outside of its container, is 0.
fn processes(group: &Path) -> Option<Vec<u32>> {
    fs::read_to_string(group.join("cgroup.procs")).ok()?.lines().map(|line| line.parse().ok()).collect()
}

/// Whether all of them come from the first in the group that this process comes from.
fn are_one_family(own: u32, inside: &[u32], parent: impl Fn(u32) -> Option<u32>) -> bool {
    let line = |process: u32| std::iter::successors(Some(process), |process| parent(*process)).take(GENERATIONS);
    let first = line(own).filter(|process| inside.contains(process)).last();
    // Nobody is left of them but others, where this process has been moved already.
    first.is_some_and(|first| inside.iter().all(|process| line(*process).any(|one| one == first)))
}

fn parent_of(process: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok()).filter(|parent| *parent != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 has started 2, 2 has started 3 and 5, 3 has started 4; 9 is somebody else's.
    fn parent(process: u32) -> Option<u32> {
        match process {
            2 | 9 => Some(1),
            3 | 5 => Some(2),
            4 => Some(3),
            _ => None,
        }
    }

    #[test]
    fn what_the_first_of_them_has_started_is_one_family() {
        assert!(are_one_family(3, &[3], parent));
        assert!(are_one_family(4, &[2, 3, 4, 5], parent));
        assert!(!are_one_family(4, &[3, 4, 5], parent), "5 was started from outside of the group");
        assert!(!are_one_family(3, &[3, 9], parent));
        assert!(!are_one_family(3, &[3, 0], parent), "one that can not be seen");
        assert!(!are_one_family(3, &[9], parent), "it is not in it itself");
    }

    #[test]
    fn nobody_is_moved_where_there_is_nothing_to_divide() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
        write("cgroup.procs", &std::process::id().to_string());
        write("cgroup.controllers", "cpu memory pids\n");
        assert!(!settle(place.path()), "the first group of all");
        write("cgroup.type", "domain\n");
        write("cgroup.controllers", "cpu\n");
        assert!(!settle(place.path()), "without the controllers");
        write("cgroup.controllers", "cpu memory pids\n");
        write("cgroup.procs", "0\n");
        assert!(!settle(place.path()), "others are in it");
        assert!(!place.path().join(LEAF).exists());
        write("cgroup.procs", "");
        assert!(settle(place.path()));
    }
}
