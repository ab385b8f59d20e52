//! The system calls that a process may make: an allowlist near Docker's default profile, with what its arguments may be where that matters.
//!
//! Two filters, as the kernel runs all that are installed and the strictest answer counts. The first looks at the number only, by bisection: the kernel tries
//! every number on a filter when it is installed, and a list would cost each sandbox a millisecond. The second looks at the arguments of a few calls.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{self, Eq, MaskedEq, Ne};
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, TargetArch, sock_filter};

use super::syscalls;

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
    // Also where numbers mean something else (32-bit calls of a 64-bit process): it ends the process.
    let arguments = SeccompFilter::new(forbidden()?, SeccompAction::Allow, refused(), architecture)?.try_into()?;
    Ok([by_number(&answers()), arguments])
}

fn refused() -> SeccompAction {
    SeccompAction::Errno(libc::EPERM.unsigned_abs())
}

/// From this number on (up to the next), this is the answer. Sorted; the first is 0.
fn answers() -> Vec<(u32, SeccompAction)> {
    let number = |call: i64| u32::try_from(call).unwrap_or(u32::MAX);
    // A program that asks for what is newer than this list shall find it missing, and do without.
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let mut known: BTreeMap<u32, SeccompAction> = syscalls::NEWER.map(|call| (number(call), unknown.clone())).collect();
    // Its arguments are in memory, where no filter sees them. `clone` does the same.
    known.insert(number(libc::SYS_clone3), unknown);
    let allowed = syscalls::HARMLESS.iter().chain(syscalls::OLD).chain(&LOOKED_AT);
    known.extend(allowed.map(|call| (number(*call), SeccompAction::Allow)));
    let mut answers = vec![(0, refused())];
    for (number, answer) in known {
        match answers.last_mut() {
            Some((from, last)) if *from == number => *last = answer,
            _ => answers.push((number, answer)),
        }
        answers.push((number + 1, refused()));
    }
    answers.dedup_by(|later, earlier| later.1 == earlier.1);
    answers
}

/// A program of the kernel's filter machine that finds the answer for a number.
fn by_number(answers: &[(u32, SeccompAction)]) -> BpfProgram {
    // struct seccomp_data begins with the number.
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    program.extend(bisect(answers));
    program
}

fn bisect(answers: &[(u32, SeccompAction)]) -> BpfProgram {
    if let [(_, only)] = answers {
        return vec![statement(libc::BPF_RET | libc::BPF_K, u32::from(only.clone()))];
    }
    let (lower, upper) = answers.split_at(answers.len() / 2);
    let (below, above) = (bisect(lower), bisect(upper));
    // A conditional jump reaches 255 statements; an unconditional one anywhere.
    let mut program = vec![
        sock_filter { jt: 0, jf: 1, ..statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, upper.first().map_or(0, |(from, _)| *from)) },
        statement(libc::BPF_JMP | libc::BPF_JA, u32::try_from(below.len()).unwrap_or(0)),
    ];
    program.extend(below);
    program.extend(above);
    program
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: u16::try_from(code).unwrap_or(0), jt: 0, jf: 0, k }
}

/// Allowed by their number, and then looked at.
const LOOKED_AT: [i64; 5] = [libc::SYS_clone, libc::SYS_ioctl, libc::SYS_socket, libc::SYS_socketpair, libc::SYS_personality];

/// What they may not be asked. The kernel reads 32 bits of these arguments: so does this, or a number with more would pass.
fn forbidden() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let namespaces = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    let clone = namespaces.map(|flag| rule(&[(0, MaskedEq(number(flag)), number(flag))]));
    // Nothing may be typed into a terminal.
    let ioctl = [TIOCSTI, TIOCLINUX].map(|request| rule(&[(1, Eq, request)]));
    let family = |family| (0, Ne, number(family));
    let families = rule(&[family(libc::AF_UNIX), family(libc::AF_INET), family(libc::AF_INET6), family(libc::AF_NETLINK)]);
    let netlink = rule(&[(0, Eq, number(libc::AF_NETLINK)), (2, Ne, number(libc::NETLINK_ROUTE))]);
    let pair = rule(&[family(libc::AF_UNIX)]);
    // Linux, 32 bits, an old version's name, both; and the question which it is.
    let personality = rule(&[0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff].map(|known| (0, Ne, known)));
    Ok([
        (libc::SYS_clone, clone.into_iter().collect::<Result<_, _>>()?),
        (libc::SYS_ioctl, ioctl.into_iter().collect::<Result<_, _>>()?),
        (libc::SYS_socket, vec![families?, netlink?]),
        (libc::SYS_socketpair, vec![pair?]),
        (libc::SYS_personality, vec![personality?]),
    ]
    .into())
}

const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

fn number(constant: i32) -> u64 {
    u64::from(constant.unsigned_abs())
}

/// All of these hold: the low half of an argument, compared with a value.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.iter().map(|(argument, operator, value)| SeccompCondition::new(*argument, Dword, operator.clone(), *value));
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers to a number, by running it.
    fn run(program: &BpfProgram, number: u32) -> u32 {
        let mut at = 0;
        loop {
            let statement = &program[at];
            at += 1;
            match u32::from(statement.code) {
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {}
                code if code == libc::BPF_RET | libc::BPF_K => return statement.k,
                code if code == libc::BPF_JMP | libc::BPF_JA => at += statement.k as usize,
                _ => at += usize::from(if number >= statement.k { statement.jt } else { statement.jf }),
            }
        }
    }

    #[test]
    fn every_number_is_answered_as_the_lists_say() {
        let program = by_number(&answers());
        assert!(program.len() < 1000);
        let allowed = |number: u32| syscalls::HARMLESS.iter().chain(syscalls::OLD).chain(&LOOKED_AT).any(|call| *call == i64::from(number));
        let unknown = |number: u32| syscalls::NEWER.contains(&i64::from(number)) || i64::from(number) == libc::SYS_clone3;
        for number in (0..1024).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
            let expected = match number {
                number if allowed(number) => SeccompAction::Allow,
                number if unknown(number) => SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
                _ => refused(),
            };
            assert_eq!(run(&program, number), u32::from(expected), "{number}");
        }
    }

    #[test]
    fn what_reaches_out_is_not_on_the_list() {
        let program = by_number(&answers());
        for call in [libc::SYS_mount, libc::SYS_bpf, libc::SYS_keyctl, libc::SYS_io_uring_setup, libc::SYS_unshare, libc::SYS_setns, libc::SYS_clone3]
        {
            assert_ne!(run(&program, u32::try_from(call).unwrap()), u32::from(SeccompAction::Allow), "{call}");
        }
    }
}
