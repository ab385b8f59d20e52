//! What a container took, counted above it. Whoever runs a container removes its group with it, and all numbers with that. A group above it that has nothing else
//! in it counts the same, and is there until somebody removes it: nobody has to be fast, and a step of no length at all is counted to the end.
//!
//! Such a group is not made here: whoever makes the container's makes what is above it on the way. It is only read, and removed when it is empty.

use std::fs;
use std::path::{Path, PathBuf};

use super::places::Mount;

/// Groups in groups, below one that is to be removed: engines make one or two.
const DEPTH: usize = 4;

/// One group, in every hierarchy of this machine.
#[derive(Debug)]
pub struct GroupAbove {
    /// With the version and the controllers of each.
    folders: Vec<(PathBuf, u8, Vec<String>)>,
}

/// What was counted. Absent is what nobody counts here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Microseconds of processors: for itself, and in the kernel.
    pub cpu_us: Option<(u64, u64)>,
    pub peak_memory_bytes: Option<u64>,
    /// Bytes read from storage, and written to it.
    pub storage: Option<(u64, u64)>,
}

/// Whether a process counts groups from the same root: only then their names mean the same to both.
pub fn has_our_groups(process: i32) -> bool {
    let root = |process: &str| fs::read_link(format!("/proc/{process}/ns/cgroup")).ok();
    root("self").is_some_and(|own| root(&process.to_string()) == Some(own))
}

impl GroupAbove {
    /// `path`: from the root of each hierarchy.
    pub fn at(path: &Path) -> Self {
        Self::among(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), path)
    }

    /// Those in each hierarchy's root whose names begin with this, once each.
    pub fn names(prefix: &str) -> Vec<String> {
        let roots = Self::at(Path::new(""));
        let entries = roots.folders.iter().filter_map(|(root, ..)| fs::read_dir(root).ok()).flatten().filter_map(Result::ok);
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with(prefix)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn among(mounts: &str, path: &Path) -> Self {
        let whole = mounts.lines().filter_map(Mount::parse).filter(|mount| mount.root == Path::new("/"));
        Self { folders: whole.map(|mount| (mount.at.join(path), mount.version, mount.options)).collect() }
    }

    /// All of it, when everything in it has ended.
    pub fn tally(&self) -> Tally {
        let first = |controller: &str| self.folders.iter().find(|(_, version, names)| *version == 1 && names.iter().any(|name| name == controller));
        let unified = self.folders.iter().find(|(_, version, _)| *version == 2).map(|(folder, ..)| folder.as_path());
        Tally {
            cpu_us: first("cpuacct").map_or_else(|| cpu_of_2(unified?), |(folder, ..)| cpu_of_1(folder)),
            peak_memory_bytes: first("memory").map_or_else(|| number(&unified?.join("memory.peak")), |(folder, ..)| peak_of_1(folder)),
            // Version 1 counts nothing that is written later, and newer kernels nothing at all.
            storage: if first("blkio").is_some() { None } else { unified.and_then(storage_of_2) },
        }
    }

    /// Whether there is no group in it any more, in no hierarchy.
    pub fn is_empty(&self) -> bool {
        let below = |folder: &PathBuf| fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).any(|entry| entry.path().is_dir());
        !self.folders.iter().any(|(folder, ..)| below(folder))
    }

    /// Where nothing is in it any more. False where something is.
    pub fn remove(&self) -> bool {
        // All of them, whatever the first says.
        self.folders.iter().filter(|(folder, ..)| !remove_empty(folder, 0)).count() == 0
    }
}

fn cpu_of_1(folder: &Path) -> Option<(u64, u64)> {
    let of = |name: &str| number(&folder.join(name));
    // The sum is exact; how it divides is known by samples only.
    let (whole, user, system) = (of("cpuacct.usage")? / 1000, of("cpuacct.usage_user"), of("cpuacct.usage_sys"));
    let (user, system) = (u128::from(user.unwrap_or(1)), u128::from(system.unwrap_or(0)));
    let own = u64::try_from(u128::from(whole) * user / (user + system).max(1)).unwrap_or(whole);
    Some(if user + system == 0 { (whole, 0) } else { (own, whole - own) })
}

fn cpu_of_2(folder: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(folder.join("cpu.stat")).ok()?;
    Some((word(&text, "user_usec ")?, word(&text, "system_usec ")?))
}

fn peak_of_1(folder: &Path) -> Option<u64> {
    // Older kernels have to be told that a group counts for those above it.
    (number(&folder.join("memory.use_hierarchy"))? == 1).then(|| number(&folder.join("memory.max_usage_in_bytes")))?
}

/// What is dirty when it has ended has been written by it as well: it is only not there yet.
fn storage_of_2(folder: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(folder.join("io.stat")).ok()?;
    let memory = fs::read_to_string(folder.join("memory.stat")).ok()?;
    let sum = |key: &str| {
        let numbers = text.split_ascii_whitespace().filter_map(|pair| pair.strip_prefix(key)?.parse::<u64>().ok());
        numbers.fold(0, u64::saturating_add)
    };
    Some((sum("rbytes="), sum("wbytes=").saturating_add(word(&memory, "file_dirty ")?)))
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn word(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

/// Never with force: a group with a process in it is not removed by the kernel.
fn remove_empty(folder: &Path, depth: usize) -> bool {
    match fs::remove_dir(folder) {
        Ok(()) => return true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return true,
        Err(_) if depth == DEPTH => return false,
        Err(_) => {}
    }
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let below = entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let emptied = below.filter(|entry| !remove_empty(&entry.path(), depth + 1)).count() == 0;
    emptied && fs::remove_dir(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(version: u8, controllers: &[&str], files: &[(&str, &str)]) -> (tempfile::TempDir, GroupAbove) {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        let folders = vec![(folder.path().to_owned(), version, controllers.iter().map(|name| (*name).to_owned()).collect())];
        (folder, GroupAbove { folders })
    }

    #[test]
    fn version_1_counts_processors_to_the_nanosecond_and_no_storage() {
        let all = ["cpuacct", "memory", "blkio"];
        let processors = [("cpuacct.usage", "3000000\n"), ("cpuacct.usage_user", "4000000\n"), ("cpuacct.usage_sys", "8000000\n")];
        let memory =
            [("memory.use_hierarchy", "1\n"), ("memory.max_usage_in_bytes", "65536\n"), ("blkio.throttle.io_service_bytes_recursive", "Total 0\n")];
        let (_folder, group) = group(1, &all, &[processors.as_slice(), memory.as_slice()].concat());
        assert_eq!(group.tally(), Tally { cpu_us: Some((1000, 2000)), peak_memory_bytes: Some(65_536), storage: None });
    }

    #[test]
    fn a_group_that_counts_for_itself_only_has_not_counted() {
        let (_folder, group) = group(1, &["cpuacct", "memory"], &[("memory.use_hierarchy", "0\n"), ("memory.max_usage_in_bytes", "0\n")]);
        assert_eq!(group.tally(), Tally::default());
        let (_folder, group) = self::group(1, &["cpuacct"], &[("cpuacct.usage", "1000"), ("cpuacct.usage_user", "0"), ("cpuacct.usage_sys", "0")]);
        assert_eq!(group.tally().cpu_us, Some((1, 0)));
    }

    #[test]
    fn version_2_counts_what_is_still_to_be_written() {
        let io = "254:0 rbytes=4096 wbytes=1000 rios=1 wios=1 dbytes=7 dios=0\n254:16 rbytes=1 wbytes=2\n";
        let stat = "usage_usec 30\nuser_usec 20\nsystem_usec 10\n";
        let (_folder, group) =
            group(2, &[], &[("cpu.stat", stat), ("memory.peak", "9\n"), ("io.stat", io), ("memory.stat", "file 5\nfile_dirty 500\n")]);
        assert_eq!(group.tally(), Tally { cpu_us: Some((20, 10)), peak_memory_bytes: Some(9), storage: Some((4097, 1502)) });
        // An older kernel has no peak; a group without the controller no traffic.
        let (_folder, group) = self::group(2, &[], &[("cpu.stat", stat)]);
        assert_eq!(group.tally(), Tally { cpu_us: Some((20, 10)), ..Tally::default() });
    }

    #[test]
    fn only_hierarchies_that_are_seen_whole_are_looked_at() {
        let mounts = "\
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
39 31 0:36 /docker/abc /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
        let found = GroupAbove::among(mounts, Path::new("tidegate.x"));
        let places: Vec<_> = found.folders.iter().map(|(folder, version, _)| (folder.to_str().unwrap(), *version)).collect();
        assert_eq!(places, [("/sys/fs/cgroup/cpuacct/tidegate.x", 1), ("/sys/fs/cgroup/unified/tidegate.x", 2)]);
    }

    #[test]
    fn what_is_not_empty_stays() {
        let (folder, group) = group(2, &[], &[]);
        fs::create_dir_all(folder.path().join("conmon")).unwrap();
        fs::create_dir_all(folder.path().join("libpod/with")).unwrap();
        fs::write(folder.path().join("libpod/with/a process"), "").unwrap();
        assert!(!group.remove() && !group.is_empty());
        assert!(!folder.path().join("conmon").exists() && folder.path().join("libpod/with").exists());
        fs::remove_file(folder.path().join("libpod/with/a process")).unwrap();
        assert!(group.remove() && group.remove(), "what is gone is removed");
    }
}
