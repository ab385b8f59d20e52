//! What is said of limits: which of them this machine could not hold, and which a step ran into.

use super::disk::{Excess, Quota};
use crate::adapters::sandbox::{Exceeded, Limits};
use crate::model::egress::Policy;
use crate::model::outcome::Exit;

/// What is in force, when the only way out of its network leads through a proxy.
pub(in super::super) fn isolation(mut names: Vec<String>, policy: Option<&Policy>) -> Vec<String> {
    if policy.is_some() {
        names.iter_mut().filter(|name| *name == "no-network").for_each(|name| *name = "egress-proxy".to_owned());
    }
    names
}

/// Protections that every step should have and this one had not.
pub(in super::super) fn unheld(limits: &Limits, filtered: bool, isolation: &[String]) -> Vec<String> {
    let wanted = [
        ("user-namespace", true),
        ("egress-proxy", filtered),
        ("seccomp", true),
        ("landlock", true),
        ("rlimits", true),
        ("cgroup-memory", limits.memory_bytes.is_some()),
        ("cgroup-pids", limits.pids.is_some()),
        ("cgroup-cpu", limits.cpu_millis.is_some()),
    ];
    wanted.into_iter().filter(|(name, wanted)| *wanted && !isolation.iter().any(|held| held == name)).map(|(name, _)| name.to_owned()).collect()
}

pub(in super::super) fn too_much_written(excess: Excess, quota: Quota) -> String {
    match excess {
        Excess::Bytes => {
            format!("wrote more than its limit of {} to its workspace: raise `resources: {{ disk: … }}`, or write to /tmp", shown(quota.bytes))
        }
        Excess::Files => format!("made more files in its workspace than its limit of {}: pack them into one", quota.files),
        Excess::Depth => "made folders in its workspace so deep that what is in them can not be counted: make them less deep".to_owned(),
    }
}

/// Why it failed, if that was a limit.
pub(in super::super) fn exceeded(exceeded: Option<Exceeded>, exit: Exit, limits: &Limits, quota: Quota) -> Option<String> {
    // SIGXFSZ, which a shell says as 128 + 25: a file was about to become larger than any may.
    if matches!(exit, Exit::Signal(25) | Exit::Code(153)) {
        return Some(too_much_written(Excess::Bytes, quota));
    }
    match exceeded? {
        Exceeded::Memory => {
            Some(format!("needed more memory than its limit of {}: raise `resources: {{ memory: … }}`", shown(limits.memory_bytes.unwrap_or(0))))
        }
        Exceeded::Processes => {
            Some(format!("wanted more processes at once than its limit of {}: raise `resources: {{ pids: … }}`", limits.pids.unwrap_or(0)))
        }
    }
}

pub(super) fn shown(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 10 << 30 => format!("{} GiB", bytes >> 30),
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_could_not_hold_is_named() {
        let limits = Limits { memory_bytes: Some(1), pids: Some(1), ..Limits::default() };
        let held = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = held(&["user-namespace", "rlimits", "seccomp", "landlock", "cgroup-memory", "cgroup-pids"]);
        assert_eq!(unheld(&limits, false, &all), [""; 0]);
        assert_eq!(unheld(&limits, false, &all[..4]), ["cgroup-memory", "cgroup-pids"]);
        assert_eq!(unheld(&Limits { cpu_millis: Some(500), ..limits }, false, &all), ["cgroup-cpu"]);
    }
}
