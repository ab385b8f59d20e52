//! The terminal of a person, and one that is made for somebody in a sandbox: what is typed at the first goes to the second, what the second says is shown on
//! the first. Whoever is inside never has the person's own, so can type nothing there, read nothing there, and leave it in no other state.

use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// Whether somebody sits there: can type and see.
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// A pair: what is written to one end is read from the other.
#[derive(Debug)]
pub struct Pair {
    near: OwnedFd,
    far: Option<OwnedFd>,
}

impl Pair {
    /// As wide and high as the person's.
    pub fn make() -> io::Result<Self> {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&near)?;
        unlockpt(&near)?;
        let name = ptsname(&near, Vec::new())?;
        let far = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let pair = Self { near, far: Some(far) };
        pair.fit();
        Ok(pair)
    }

    /// The end for somebody else.
    pub fn far(&self) -> Option<BorrowedFd<'_>> {
        self.far.as_ref().map(AsFd::as_fd)
    }

    /// Somebody else has it: its end is then theirs alone.
    pub fn let_go(&mut self) {
        self.far = None;
    }

    /// The person's window may have changed.
    pub fn fit(&self) {
        if let Ok(size) = tcgetwinsize(io::stdin()) {
            let _ = tcsetwinsize(&self.near, size);
        }
    }

    /// Another hold on the near end, for `relay`.
    pub fn near(&self) -> io::Result<OwnedFd> {
        self.near.try_clone()
    }
}

/// The person's terminal, every key of which goes to somebody else. Dropped, it is as it was.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
}

impl Raw {
    pub fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Passes on what is typed and what is said until nobody has the far end any more, or the person's terminal is gone. Blocks.
pub fn relay(near: &OwnedFd) {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let mut buffer = vec![0; 1 << 14];
    loop {
        let mut ends = [PollFd::new(near, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut ends, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let (said, typed) = (!ends[0].revents().is_empty(), !ends[1].revents().is_empty());
        // EIO is the end of the last one who had the far end; by then all that was said has been read.
        if said && !pass(near.as_fd(), stdout.as_fd(), &mut buffer) {
            return;
        }
        if typed && !pass(stdin.as_fd(), near.as_fd(), &mut buffer) {
            return;
        }
    }
}

/// One read and as many writes as it takes; false at an end.
fn pass(from: BorrowedFd<'_>, to: BorrowedFd<'_>, buffer: &mut [u8]) -> bool {
    let length = match rustix::io::read(from, &mut *buffer) {
        Err(Errno::INTR | Errno::AGAIN) => return true,
        Ok(0) | Err(_) => return false,
        Ok(length) => length,
    };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Err(Errno::INTR) => {}
            Err(_) => return false,
            Ok(written) => rest = &rest[written..],
        }
    }
    true
}
