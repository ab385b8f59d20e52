//! What holds a step beside its namespaces: seccomp, Landlock and control groups. Steps run without them, and the record then says so.

use std::fs;
use std::io;

use super::checks::Check;
use crate::adapters::sandbox;

/// What was looked at.
#[derive(Debug)]
struct Seen<'a> {
    /// What held a sandbox that was made for this, by the names in an invocation's record.
    held: &'a [String],
    landlock: io::Result<i64>,
    /// `/proc/self/mountinfo`.
    mounts: &'a str,
    root: bool,
}

/// Nothing where no sandbox can be made: that is another check's news.
pub(super) fn all() -> Vec<Check> {
    let Some(held) = sandbox::try_everything() else { return Vec::new() };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = rustix::process::geteuid().is_root();
    let seen = Seen { held: &held, landlock: sandbox::landlock_version(), mounts: &mounts, root };
    vec![seccomp(&seen), landlock(&seen), cgroups(&seen)]
}

impl Seen<'_> {
    fn holds(&self, name: &str) -> bool {
        self.held.iter().any(|held| held == name)
    }
}

fn seccomp(seen: &Seen<'_>) -> Check {
    if seen.holds("seccomp") {
        return Check::good("seccomp", "system calls that a step has no need of are refused");
    }
    Check::advice(
        "seccomp",
        "this kernel takes no filter: a step can make every system call",
        "use a kernel with CONFIG_SECCOMP_FILTER, on x86-64 or aarch64; in a container, one whose own profile allows `seccomp`",
    )
}

fn landlock(seen: &Seen<'_>) -> Check {
    let newest = "signals and abstract sockets of others are out of reach";
    match (&seen.landlock, seen.holds("landlock")) {
        (Ok(version @ 6..), true) => Check::good("landlock", format!("version {version}: what may be written is checked twice, {newest}")),
        (Ok(version), true) => Check::advice(
            "landlock",
            format!("version {version}: what may be written is checked twice"),
            format!("with Linux 6.12 or newer also {newest}; it matters for steps with `network: open`"),
        ),
        (Err(error), _) if error.raw_os_error() == Some(OFF) => Check::advice(
            "landlock",
            "is in this kernel and switched off",
            "add `landlock` to the kernel's parameter `lsm=`, and restart the machine",
        ),
        _ => Check::advice("landlock", "is not in this kernel", "use Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK"),
    }
}

/// `EOPNOTSUPP`.
const OFF: i32 = 95;

fn cgroups(seen: &Seen<'_>) -> Check {
    let parts = [("cgroup-memory", "memory"), ("cgroup-pids", "processes"), ("cgroup-cpu", "processors")];
    let (held, free): (Vec<_>, Vec<_>) = parts.into_iter().partition(|(name, _)| seen.holds(name));
    let names = |parts: &[(&str, &'static str)]| parts.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
    let version = version(seen.mounts);
    let which = version.map_or("none are mounted".to_owned(), |version| format!("version {version}"));
    if free.is_empty() {
        return Check::good("cgroups", format!("{which}: limits of {} are held", names(&held)));
    }
    let holds = if held.is_empty() { String::new() } else { format!("limits of {} are held, ", names(&held)) };
    let remedy = match (version, seen.root) {
        (None, _) => "mount them: `sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup`",
        (Some(2), false) => {
            "start it where groups are yours: `systemd-run --user --scope -p Delegate=yes tidegate …`, or a service with `Delegate=yes`"
        }
        (Some(2), true) => {
            "start it in a group that may have others below: `systemd-run --scope -p Delegate=yes tidegate …`; in a container, with /sys/fs/cgroup writable"
        }
        (Some(_), false) => {
            "version 1 gives no groups to an ordinary user: run tidegate as root (steps are somebody without rights all the same), or start the machine with version 2"
        }
        (Some(_), true) => "are the controllers memory, pids and cpu mounted and writable? In a container: with /sys/fs/cgroup writable",
    };
    Check::advice("cgroups", format!("{which}: {holds}limits of {} are not", names(&free)), remedy)
}

/// Which version has the controllers. Beside version 1, an empty tree of version 2 is often mounted as well.
fn version(mounts: &str) -> Option<u8> {
    let kinds = || mounts.lines().filter_map(|line| line.split_once(" - ")).map(|(_, after)| after);
    if kinds().any(|after| after.starts_with("cgroup ") && after.contains("memory")) {
        return Some(1);
    }
    kinds().any(|after| after.starts_with("cgroup2 ")).then_some(2)
}

#[cfg(test)]
mod tests {
    use super::super::checks::State;
    use super::*;

    const FIRST: &str =
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const SECOND: &str = "25 30 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn checks(held: &str, landlock: Result<i64, i32>, mounts: &str, root: bool) -> Vec<Check> {
        let held: Vec<String> = held.split_ascii_whitespace().map(str::to_owned).collect();
        let seen = Seen { held: &held, landlock: landlock.map_err(io::Error::from_raw_os_error), mounts, root };
        vec![seccomp(&seen), super::landlock(&seen), cgroups(&seen)]
    }

    #[test]
    fn where_all_is_there_nothing_is_to_do() {
        for (mounts, version) in [(FIRST, "version 1: "), (SECOND, "version 2: ")] {
            let all = checks("seccomp landlock cgroup-memory cgroup-pids cgroup-cpu", Ok(7), mounts, true);
            assert!(all.iter().all(|check| check.state == State::Good && check.remedy.is_none()), "{all:?}");
            assert_eq!(all[2].detail, format!("{version}limits of memory, processes, processors are held"));
        }
    }

    #[test]
    fn what_is_not_held_is_named_with_what_to_do() {
        let told = |held, mounts, root| {
            let check = checks(held, Ok(7), mounts, root).pop().unwrap();
            assert_eq!(check.state, State::Advice);
            (check.detail, check.remedy.unwrap())
        };
        let (detail, remedy) = told("", SECOND, false);
        assert_eq!(detail, "version 2: limits of memory, processes, processors are not");
        assert!(remedy.contains("systemd-run --user --scope -p Delegate=yes"), "{remedy}");
        let (detail, _) = told("cgroup-memory cgroup-pids", SECOND, true);
        assert_eq!(detail, "version 2: limits of memory, processes are held, limits of processors are not");
        assert!(told("", FIRST, false).1.contains("run tidegate as root"));
        assert!(told("", FIRST, true).1.contains("writable"));
        assert!(told("", "", true).0.starts_with("none are mounted") && told("", "", true).1.contains("mount -t cgroup2"));
    }

    #[test]
    fn a_kernel_without_a_wall_is_told_apart_from_one_that_has_it_switched_off() {
        let landlock = |held, found| checks(held, found, FIRST, true).swap_remove(1);
        assert!(landlock("", Err(95)).remedy.unwrap().contains("lsm="));
        assert!(landlock("", Err(38)).remedy.unwrap().contains("Linux 5.13"));
        let old = landlock("landlock", Ok(3));
        assert_eq!((old.state, old.detail.as_str()), (State::Advice, "version 3: what may be written is checked twice"));
        assert_eq!(checks("", Ok(7), FIRST, true)[0].state, State::Advice);
    }
}
