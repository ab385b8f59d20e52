//! Groups whose helper is dead are removed by the next start.

use std::fs;

use super::places::parents;
use super::remove;

const PREFIX: &str = "tidegate-";

/// The name of this process's group: no other process ever has the same.
pub(super) fn own_name() -> Option<String> {
    let pid = std::process::id();
    Some(format!("{PREFIX}{pid}-{}", birth_of(pid)?))
}

/// Removes the groups of helpers that do not live any more, with what may still be in them. Answers how many.
pub fn sweep() -> usize {
    let mut removed = 0;
    for parent in parents() {
        let Ok(groups) = fs::read_dir(&parent.folder) else { continue };
        for group in groups.filter_map(Result::ok) {
            let name = group.file_name();
            let Some((pid, birth)) = name.to_str().and_then(parse) else { continue };
            if birth_of(pid) != Some(birth) && remove(&group.path()).is_ok() {
                removed += 1;
            }
        }
    }
    removed
}

fn parse(name: &str) -> Option<(u32, u64)> {
    let (pid, birth) = name.strip_prefix(PREFIX)?.split_once('-')?;
    Some((pid.parse().ok()?, birth.parse().ok()?))
}

/// When a process began, in ticks since the machine did; `None` when it does not live.
fn birth_of(pid: u32) -> Option<u64> {
    birth(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// From its line of proc_pid_stat(5). One that is dead and has not been waited for (some machines have nobody who does) holds nothing any more.
fn birth(stat: &str) -> Option<u64> {
    // The name, in brackets, may hold anything. The third word is the state, the 22nd the birth.
    let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = words.next()?;
    if matches!(state, "Z" | "X") { None } else { words.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_group_it_is() {
        let name = own_name().unwrap();
        let (pid, birth) = parse(&name).unwrap();
        assert_eq!((pid, Some(birth)), (std::process::id(), birth_of(pid)));
        assert_eq!(parse("user.slice"), None);
        assert_eq!(parse("tidegate-x-1"), None);
    }

    #[test]
    fn a_dead_process_that_nobody_has_waited_for_has_no_group() {
        let stat = |state| format!("7 (a) b) {state} 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0");
        assert_eq!((birth(&stat("S")), birth(&stat("Z"))), (Some(4242), None));
    }
}
