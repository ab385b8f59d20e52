//! A network that several sandboxes share, and nobody else: an empty one with loopback, made aside. Whoever makes it stays in its own.
//!
//! It belongs to the user namespace of who made it, not to those of the sandboxes: none of them may change anything about it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{init, sys};

/// It is gone with the last process in it, and this.
#[derive(Debug)]
pub struct PrivateNetwork {
    namespace: OwnedFd,
}

impl PrivateNetwork {
    /// Only where sandboxes can be made by the caller, as an ordinary user in a user namespace of its own (the nursery's).
    pub fn make() -> io::Result<Self> {
        let make = || {
            sys::unshare(sys::NEW_NETWORK)?;
            init::loopback_up()?;
            // Nobody else is in there whom a low port could deceive. Where the kernel knows no such thing, they stay closed.
            let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
            let namespace = rustix::fs::openat(CWD, "/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            Ok(Self { namespace })
        };
        aside(make)
    }

    /// Whether somebody listens there.
    pub fn answers(&self, address: Ipv4Addr, port: u16, patience: Duration) -> bool {
        let there = || {
            self.enter()?;
            TcpStream::connect_timeout(&SocketAddr::from((address, port)), patience).map(drop)
        };
        aside(there).is_ok()
    }

    /// For good: this thread is there then.
    pub(super) fn enter(&self) -> io::Result<()> {
        enter(self.namespace.as_fd())
    }
}

/// For good.
pub(super) fn enter(network: BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(network, Some(LinkNameSpaceType::Network))?)
}

/// A thread goes there and does not come back: this one stays where it is.
pub(super) fn aside<T: Send>(there: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let died = || Err(io::Error::other("the thread that went to another network has died"));
    std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, there) {
        Ok(thread) => thread.join().unwrap_or_else(|_| died()),
        Err(error) => Err(error),
    })
}
