//! Protections that must be there: what of them a sandbox needs, and whether it has them before its process begins.

use super::cgroup::Limits;
use super::wire::{Failure, Stage};

/// By name, what a sandbox with these limits must have when `required` is (`cgroup` stands for all limits that a control group holds). A limit that nobody has
/// asked for needs nobody to hold it.
pub fn required_for(required: &[String], limits: &Limits) -> Vec<String> {
    let groups =
        [("cgroup-memory", limits.memory_bytes.is_some()), ("cgroup-pids", limits.pids.is_some()), ("cgroup-cpu", limits.cpu_millis.is_some())];
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    for name in required {
        match groups.iter().find(|(group, _)| group == name) {
            _ if name == "cgroup" => groups.iter().filter(|(_, wanted)| *wanted).for_each(|(group, _)| add(group)),
            Some((_, false)) => {}
            _ => add(name),
        }
    }
    names
}

/// Which of the required ones are not in force.
pub(super) fn missing(required: &[String], isolation: &[String]) -> Vec<String> {
    required.iter().filter(|name| !isolation.contains(name)).cloned().collect()
}

/// The last thing before the process begins.
pub(super) fn insist(required: &[String], isolation: &[String]) -> Result<(), Failure> {
    let missing = missing(required, isolation);
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!("it was not begun: the settings require {}, which could not be put in force", missing.join(", "));
    Err(Failure { stage: Stage::Required, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_limit_that_nobody_asked_for_is_not_missed() {
        let limits = Limits { memory_bytes: Some(1), pids: Some(1), ..Limits::default() };
        assert_eq!(required_for(&names(&["seccomp", "cgroup"]), &limits), ["seccomp", "cgroup-memory", "cgroup-pids"]);
        assert_eq!(required_for(&names(&["cgroup-cpu", "cgroup-pids", "cgroup"]), &limits), ["cgroup-pids", "cgroup-memory"]);
        assert_eq!(required_for(&names(&["cgroup"]), &Limits { cpu_millis: Some(1), ..Limits::default() }), ["cgroup-cpu"]);
    }

    #[test]
    fn whoever_insists_is_told_what_is_missing() {
        assert_eq!(insist(&names(&["seccomp"]), &names(&["rlimits", "seccomp"])), Ok(()));
        let failure = insist(&names(&["landlock", "seccomp"]), &names(&["seccomp"])).unwrap_err();
        assert!(failure.why.contains("landlock") && !failure.why.contains("seccomp"), "{}", failure.why);
    }
}
