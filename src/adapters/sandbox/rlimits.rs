//! Bounds per process, for what no namespace bounds. Not the number of processes: the kernel counts those by user, and all sandboxes may share one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Hard limits; a caller's lower one stays.
const LIMITS: [(Resource, u64); 7] = [
    (Resource::Core, 0),
    (Resource::Nofile, 65_536),
    (Resource::Memlock, 8 << 20),
    (Resource::Msgqueue, 819_200),
    (Resource::Sigpending, 4096),
    // Neither real-time nor more than the usual share of a processor.
    (Resource::Rtprio, 0),
    (Resource::Nice, 0),
];

/// For a process of ours beside a sandbox: it serves connections, starts nothing and writes no file.
pub(super) fn apply_beside() -> rustix::io::Result<()> {
    let own = [(Resource::Nofile, 2_048), (Resource::Fsize, 0), (Resource::As, 2 << 30)];
    own.into_iter().try_for_each(|(resource, most)| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }))?;
    apply(None)
}

/// Only ever lowers, which everybody may.
pub(super) fn apply(file_bytes: Option<u64>) -> rustix::io::Result<()> {
    let file = file_bytes.map(|bytes| (Resource::Fsize, bytes));
    LIMITS.into_iter().chain(file).try_for_each(|(resource, most)| {
        let inherited = getrlimit(resource);
        let bounded = |value: Option<u64>| Some(value.map_or(most, |value| value.min(most)));
        setrlimit(resource, Rlimit { current: bounded(inherited.current), maximum: bounded(inherited.maximum) })
    })
}
