//! The system calls that a process may make: an allowlist near Docker's default profile. A hole in a call that is not on it is no hole in the sandbox.
//!
//! - What is not listed is answered with EPERM, as if a privilege were missing: programs know what to do then.
//! - `clone3` and what is newer than this list are answered with ENOSYS, as by an older kernel: the C library falls back (`clone3` hides its flags in
//!   memory, where no filter can look).
//! - A call of another architecture (i386) kills the process; one of x32 has a number that is not on the list.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch};

use super::syscalls;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters in the order of their installation: where both refuse, the later one's answer counts.
type Filters = [BpfProgram; 2];

static FILTERS: OnceLock<Option<Filters>> = OnceLock::new();

/// Compiles the filters. The nursery does it once, before it forks: no sandbox pays for it.
pub(super) fn prepare() {
    FILTERS.get_or_init(|| filters().ok());
}

/// Puts the filters in force, for this process and all that come of it. `false` where the kernel or the architecture has none.
pub(super) fn apply() -> bool {
    prepare();
    FILTERS
        .get()
        .is_some_and(|filters| filters.as_ref().is_some_and(|filters| filters.iter().all(|filter| seccompiler::apply_filter(filter).is_ok())))
}

fn filters() -> Result<Filters, BackendError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let compiled = |rules, otherwise, matched| SeccompFilter::new(rules, otherwise, matched, architecture)?.try_into();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let newer = std::iter::once(libc::SYS_clone3).chain(syscalls::NEWER).map(|call| (call, Vec::new())).collect();
    Ok([compiled(allowed()?, refused, SeccompAction::Allow)?, compiled(newer, SeccompAction::Allow, unknown)?])
}

fn allowed() -> Result<Rules, BackendError> {
    let mut rules: Rules = syscalls::HARMLESS.iter().chain(syscalls::OLD).map(|call| (*call, Vec::new())).collect();
    // No namespace may be made; the low half is all that the kernel reads.
    let namespaces = u64::try_from(
        libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET,
    );
    rules.insert(libc::SYS_clone, vec![rule(&[(0, MaskedEq(namespaces.unwrap_or(u64::MAX)), 0)])?]);
    // Nothing may be typed into a terminal. The kernel compares 32 bits: so does this, or a number with more would pass.
    rules.insert(libc::SYS_ioctl, vec![rule(&[(1, Ne, TIOCSTI), (1, Ne, TIOCLINUX)])?]);
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6].into_iter().map(|family| rule(&[(0, Eq, number(family))]));
    let routes = rule(&[(0, Eq, number(libc::AF_NETLINK)), (2, Eq, number(libc::NETLINK_ROUTE))]);
    rules.insert(libc::SYS_socket, families.chain([routes]).collect::<Result<_, _>>()?);
    rules.insert(libc::SYS_socketpair, vec![rule(&[(0, Eq, number(libc::AF_UNIX))])?]);
    // Linux, 32 bits, an old version's name, both; and the question which it is.
    let personalities = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff].map(|personality| rule(&[(0, Eq, personality)]));
    rules.insert(libc::SYS_personality, personalities.into_iter().collect::<Result<_, _>>()?);
    Ok(rules)
}

const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

fn number(constant: i32) -> u64 {
    u64::from(constant.unsigned_abs())
}

/// All of these must hold: the low half of an argument, compared with a value.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.iter().map(|(argument, operator, value)| SeccompCondition::new(*argument, Dword, operator.clone(), *value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_can_be_compiled_and_fit_the_kernel() {
        let filters = filters().unwrap();
        assert!(filters.iter().all(|filter| filter.len() < 4096));
    }

    #[test]
    fn what_reaches_out_is_not_on_the_list() {
        let rules = allowed().unwrap();
        for call in [libc::SYS_mount, libc::SYS_bpf, libc::SYS_keyctl, libc::SYS_io_uring_setup, libc::SYS_unshare, libc::SYS_setns, libc::SYS_clone3]
        {
            assert!(!rules.contains_key(&call), "{call}");
        }
        assert!(rules[&libc::SYS_read].is_empty() && !rules[&libc::SYS_socket].is_empty());
        assert!(syscalls::NEWER.clone().all(|call| !rules.contains_key(&call)));
    }
}
