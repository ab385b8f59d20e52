//! The system calls that no safe crate offers, each as one small function. All `unsafe` of the crate is here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::process::Pid;

use super::wire::Usage;
use crate::model::outcome::Exit;

pub(super) const NEW_USER: i32 = libc::CLONE_NEWUSER;
pub(super) const NEW_MOUNT: i32 = libc::CLONE_NEWNS;
pub(super) const NEW_PID: i32 = libc::CLONE_NEWPID;
pub(super) const NEW_NETWORK: i32 = libc::CLONE_NEWNET;
pub(super) const NEW_IPC: i32 = libc::CLONE_NEWIPC;
pub(super) const NEW_UTS: i32 = libc::CLONE_NEWUTS;

pub(super) const READ_ONLY: u64 = 0x1;
pub(super) const NO_SETUID: u64 = 0x2;
pub(super) const NO_DEVICES: u64 = 0x4;

fn check(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Microseconds of the clock that all processes of a machine share.
#[expect(unsafe_code, reason = "clock_gettime fills a plain struct")]
pub fn monotonic_us() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live local of the right type.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let whole = Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0));
    u64::try_from(whole.as_micros()).unwrap_or(u64::MAX)
}

/// `fork` with new namespaces. `None` in the child. Only for a process with one thread: the child goes on with everything as it was.
#[expect(unsafe_code, reason = "clone without a stack of its own is a fork")]
pub(super) fn fork(namespaces: i32) -> io::Result<Option<Pid>> {
    let flags = i64::from(namespaces | libc::SIGCHLD);
    // SAFETY: no CLONE_VM and no stack: the child gets a copy of the memory, as by fork. The callers have no other threads, so no lock is left held.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, 0_i64, 0_i64, 0_i64, 0_i64) })?;
    Ok(i32::try_from(pid).ok().and_then(Pid::from_raw))
}

/// The same, into a control group of version 2 (its folder).
#[expect(unsafe_code, reason = "only clone3 takes a control group")]
pub(super) fn fork_into(namespaces: i32, group: BorrowedFd<'_>) -> io::Result<Option<Pid>> {
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup
    let mut arguments = [0_u64; 11];
    arguments[0] = u64::from(namespaces.unsigned_abs()) | INTO_CGROUP;
    arguments[4] = u64::from(libc::SIGCHLD.unsigned_abs());
    arguments[10] = u64::try_from(group.as_raw_fd()).unwrap_or(u64::MAX);
    // SAFETY: eleven u64 are the layout of the kernel's struct, and the size is given; otherwise as `fork`.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) })?;
    Ok(i32::try_from(pid).ok().and_then(Pid::from_raw))
}

/// Ends a forked process here: nothing that its parent has on the stack is dropped or flushed a second time.
#[expect(unsafe_code, reason = "std's exit would run what the parent registered")]
pub(super) fn leave(code: std::process::ExitCode) -> ! {
    let code = i32::from(code != std::process::ExitCode::SUCCESS);
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// New namespaces for this process itself. Only for a process with one thread.
#[expect(unsafe_code, reason = "unshare has no safe wrapper")]
pub(super) fn unshare(namespaces: i32) -> io::Result<()> {
    // SAFETY: never CLONE_FILES: descriptors stay what they are.
    check(i64::from(unsafe { libc::unshare(namespaces) }))?;
    Ok(())
}

/// Sets mount attributes, and takes the mount out of every propagation group.
#[expect(unsafe_code, reason = "mount_setattr has no wrapper")]
pub(super) fn set_mount(tree: BorrowedFd<'_>, set: u64) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let attributes = MountAttr { set, clear: 0, propagation: libc::MS_PRIVATE, user_namespace: 0 };
    let flags = i64::from(libc::AT_EMPTY_PATH) | 0x8000; // AT_RECURSIVE
    // SAFETY: the path is a C string, the struct is the kernel's first version of it and its size is given.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, tree.as_raw_fd(), c"".as_ptr(), flags, &raw const attributes, size_of::<MountAttr>()) })?;
    Ok(())
}

/// What one wait brought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaped {
    pub(super) pid: i32,
    pub(super) exit: Exit,
    pub(super) usage: Usage,
}

/// Waits for a child: a certain one, or any (`-1`). `None` when there is no child left.
#[expect(unsafe_code, reason = "only wait4 brings a child's usage")]
pub(super) fn wait(pid: i32) -> io::Result<Option<Reaped>> {
    loop {
        let mut status = 0;
        // SAFETY: both are plain structs of integers; wait4 fills them.
        let (pid, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(pid, &raw mut status, libc::__WALL, &raw mut usage), usage)
        };
        match check(i64::from(pid)) {
            Ok(_) => return Ok(Some(Reaped { pid, exit: exit_of(status), usage: usage_of(&usage) })),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn exit_of(status: i32) -> Exit {
    if libc::WIFEXITED(status) { Exit::Code(libc::WEXITSTATUS(status)) } else { Exit::Signal(libc::WTERMSIG(status)) }
}

/// What all reaped children took together.
#[expect(unsafe_code, reason = "getrusage fills a plain struct")]
fn children_usage() -> Usage {
    // SAFETY: a plain struct of integers, filled by the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    usage_of(&usage)
}

fn usage_of(usage: &libc::rusage) -> Usage {
    let micros = |time: libc::timeval| u64::try_from(time.tv_sec * 1_000_000 + time.tv_usec).unwrap_or(0);
    Usage {
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        peak_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        ..Usage::default()
    }
}

/// The file in which the kernel counts what this process and those that it waited for had read from and written to storage.
/// Opened early: a process that can not be traced may not open it any more, not even its own.
pub(super) fn storage_counters() -> Option<std::fs::File> {
    std::fs::File::open("/proc/self/io").ok()
}

/// Bytes read and written until now, by a file of `storage_counters`.
pub(super) fn storage_traffic(counters: Option<&std::fs::File>) -> (u64, u64) {
    use std::os::unix::fs::FileExt as _;
    let mut text = [0; 512];
    let length = counters.and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
    let text = std::str::from_utf8(&text[..length]).unwrap_or_default();
    let count = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0);
    (count("read_bytes:"), count("write_bytes:"))
}

/// What all reaped children took together, with the traffic since `before`.
pub(super) fn usage_since(before: (u64, u64), counters: Option<&std::fs::File>) -> Usage {
    let (read, written) = storage_traffic(counters);
    Usage { read_bytes: read.saturating_sub(before.0), written_bytes: written.saturating_sub(before.1), ..children_usage() }
}

/// Marks every descriptor from 3 on to be closed at exec.
#[expect(unsafe_code, reason = "close_range has no wrapper")]
pub(super) fn close_all_at_exec() -> io::Result<()> {
    // SAFETY: changes flags of descriptors, closes none.
    check(unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) })?;
    Ok(())
}

/// In a forked process that never returns to what its parent was doing: closes every descriptor from 3 on but these.
#[expect(unsafe_code, reason = "close_range has no wrapper")]
pub(super) fn close_all_but(mut kept: Vec<RawFd>) {
    kept.sort_unstable();
    let mut from = 3;
    for end in kept.into_iter().chain([RawFd::MAX]) {
        if from < end {
            // SAFETY: whatever owns one of these here is never used or dropped again: the caller leaves by `leave`.
            unsafe { libc::syscall(libc::SYS_close_range, from, end - 1, 0) };
        }
        from = end.saturating_add(1);
    }
}

/// Lets `number` (0, 1 or 2) mean what `from` means.
#[expect(unsafe_code, reason = "dup2 onto a standard descriptor")]
pub(super) fn redirect(from: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: nothing in this program owns 0, 1 or 2 as an `OwnedFd` once the helper runs.
    check(i64::from(unsafe { libc::dup2(from.as_raw_fd(), number) }))?;
    Ok(())
}

/// The nursery's stdin as a descriptor of its own.
#[expect(unsafe_code, reason = "fcntl gives a new descriptor")]
pub(super) fn take_stdin() -> io::Result<OwnedFd> {
    // SAFETY: the call makes a new descriptor that nobody else owns.
    let number = check(i64::from(unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3) }))?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(number).unwrap_or(-1)) })
}

/// Whether children that end are taken away without a wait. By default they are not.
#[expect(unsafe_code, reason = "signal dispositions have no wrapper")]
pub(super) fn forget_children(forget: bool) {
    // SAFETY: neither disposition runs code of ours.
    unsafe { libc::signal(libc::SIGCHLD, if forget { libc::SIG_IGN } else { libc::SIG_DFL }) };
}

/// Every signal as a fresh process has it. (Rust ignores SIGPIPE; that would be inherited.)
#[expect(unsafe_code, reason = "signal dispositions have no wrapper")]
pub(super) fn default_signals() {
    // SAFETY: SIG_DFL runs no code of ours; the mask is a live local.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// A new, empty session keyring: the caller's keys stay the caller's. Kernels without keyrings have nothing to hide.
#[expect(unsafe_code, reason = "keyctl has no wrapper")]
pub(super) fn fresh_keyring() {
    // SAFETY: KEYCTL_JOIN_SESSION_KEYRING (1) with no name.
    unsafe { libc::syscall(libc::SYS_keyctl, 1_i64, 0_i64) };
}

/// The kernel's version of Landlock. Fails with `ENOSYS` where it has none, with `EOPNOTSUPP` where that is switched off.
#[expect(unsafe_code, reason = "the question has no wrapper")]
pub fn landlock_version() -> io::Result<i64> {
    const VERSION: u32 = 1;
    // SAFETY: with this flag there is no structure, and nothing is made.
    check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) })
}

/// Switches the loopback interface of this network namespace on.
#[expect(unsafe_code, reason = "an ioctl on a socket")]
pub(super) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a plain struct; zero is a value of all its fields.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = i8::try_from(b'l').unwrap_or(0) as libc::c_char;
    request.ifr_name[1] = i8::try_from(b'o').unwrap_or(0) as libc::c_char;
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
    // SAFETY: SIOCSIFFLAGS reads the struct that it is given.
    check(i64::from(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }))?;
    Ok(())
}

/// As PID 1, kills every process that this one may kill, itself excepted. That is the whole sandbox, and nothing else.
#[expect(unsafe_code, reason = "kill(-1) has no wrapper")]
pub(super) fn kill_everything() {
    // SAFETY: sends a signal; touches no memory. Anywhere but as PID 1 "every process" would be the machine's.
    unsafe {
        if libc::getpid() == 1 {
            libc::kill(-1, libc::SIGKILL);
        }
    }
}

/// From now on a TERM to this process goes on to every other one that it may signal. As PID 1 that is the whole sandbox.
#[expect(unsafe_code, reason = "signal handlers have no wrapper")]
pub(super) fn pass_on_termination() {
    extern "C" fn pass_on(_: libc::c_int) {
        // SAFETY: both may be called in a signal handler, and touch no memory. Anywhere but as PID 1 "every other one" would be the machine.
        unsafe {
            if libc::getpid() == 1 {
                libc::kill(-1, libc::SIGTERM);
            }
        }
    }
    let handler: extern "C" fn(libc::c_int) = pass_on;
    // SAFETY: the handler only makes system calls; what waits goes on waiting (SA_RESTART).
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut());
    }
}

/// Makes the root of the file tree read-only, and nothing that is mounted below it.
#[expect(unsafe_code, reason = "mount_setattr has no wrapper")]
pub(super) fn set_root_read_only(root: BorrowedFd<'_>) -> io::Result<()> {
    let attributes: [u64; 4] = [READ_ONLY, 0, 0, 0];
    // SAFETY: four u64 are the layout of the kernel's struct (set, clear, propagation, user namespace), and the size is given.
    check(unsafe {
        libc::syscall(libc::SYS_mount_setattr, root.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, attributes.as_ptr(), size_of_val(&attributes))
    })?;
    Ok(())
}
