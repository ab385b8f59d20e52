//! Sandboxes that wait for somebody: the warm pool, in the nursery. How many is found out from what is asked for.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::nursery::{Kind, born, receive, request};
use super::{prepared, sys, template};

/// Waiting ones, and how many there should be.
pub(super) struct Pool {
    /// The oldest first: the newest may not be ready yet.
    waiting: VecDeque<OwnedFd>,
    size: Size,
}

/// What the pool's size follows from.
#[derive(Debug, PartialEq)]
struct Size {
    wanted: usize,
    most: usize,
    /// The fewest that waited since `since`.
    fewest: usize,
    since: Instant,
}

/// One that was not needed for so long is one too many.
const PATIENCE: Duration = Duration::from_secs(10);

impl Size {
    fn new(most: usize, now: Instant) -> Self {
        Self { wanted: 0, most, fewest: 0, since: now }
    }

    /// Somebody asked while `waiting` ones were there.
    fn asked(&mut self, waiting: usize) {
        if waiting == 0 {
            self.wanted = (self.wanted + 1).min(self.most);
        }
        self.fewest = self.fewest.min(waiting.saturating_sub(1));
    }

    /// Time has passed.
    fn tick(&mut self, now: Instant) {
        if now.duration_since(self.since) >= PATIENCE {
            self.wanted -= self.fewest.min(1).min(self.wanted);
            (self.fewest, self.since) = (self.wanted, now);
        }
    }
}

impl Pool {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self { waiting: VecDeque::new(), size: Size::new((4 * processors).clamp(8, 32), Instant::now()) }
    }

    /// One for somebody who asks, if there is one. It is asked with `hand_over`.
    pub(super) fn take(&mut self) -> Option<OwnedFd> {
        self.size.asked(self.waiting.len());
        self.waiting.pop_front()
    }

    /// What was made of a template that is none any more is not given to anybody.
    pub(super) fn empty(&mut self) {
        self.waiting.clear();
    }

    /// How long nothing has to be done for the pool.
    pub(super) fn until_due(&self) -> Option<Duration> {
        // Not at once: whoever has just been given one has more need of the processors.
        if self.waiting.len() < self.size.wanted {
            return Some(Duration::from_millis(4));
        }
        (self.size.wanted > 0).then(|| PATIENCE.saturating_sub(self.size.since.elapsed()).max(Duration::from_millis(1)))
    }

    /// Nobody has asked for a while: one more, or one fewer.
    pub(super) fn tend(&mut self) {
        self.size.tick(Instant::now());
        self.waiting.truncate(self.size.wanted);
        if self.waiting.len() >= self.size.wanted {
            return;
        }
        match template::exists().then(birth) {
            Some(Ok(waiting)) => self.waiting.push_back(waiting),
            // A machine that has no room for one has none for a pool.
            Some(Err(_)) | None => self.size.wanted = 0,
        }
    }
}

fn birth() -> io::Result<OwnedFd> {
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    if sys::fork(0)?.is_none() {
        // Above all the sockets of the others: as long as one is open here, its sandbox waits.
        let mut kept = template::descriptors();
        kept.push(far.as_raw_fd());
        sys::close_all_but(kept);
        sys::leave(wait(&far));
    }
    Ok(near)
}

/// The life of a helper that waits.
fn wait(requests: &OwnedFd) -> ExitCode {
    sys::forget_children(false);
    // With a control group, as most of them will want one.
    let Ok(prepared) = prepared::prepare(true) else { return ExitCode::FAILURE };
    let Ok(Some((_, descriptors))) = receive(requests) else { return ExitCode::SUCCESS };
    let mut descriptors = descriptors.into_iter();
    let (Some(control), Some(output)) = (descriptors.next(), descriptors.next()) else { return ExitCode::FAILURE };
    born(control, output, descriptors.next(), Some(prepared))
}

/// Makes a waiting one somebody's: its control socket, its output and, if there is one, what it shall hold. An error when it does not live any more.
pub(super) fn hand_over(to: &OwnedFd, descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    request(to, Kind::Helper, false, descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_grows_with_what_is_missed_and_shrinks_with_what_is_not_needed() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut size = Size::new(3, begin);
        size.asked(0);
        assert_eq!(size.wanted, 1, "after the first miss there is one");
        size.asked(1);
        size.asked(0);
        assert_eq!(size.wanted, 2, "two at once need two");
        (0..9).for_each(|_| size.asked(0));
        assert_eq!(size.wanted, 3, "and no more than the most");
        size.tick(after(9));
        assert_eq!(size.wanted, 3);
        size.tick(after(10));
        assert_eq!(size.wanted, 3, "all of them were needed");
        size.asked(3);
        size.tick(after(20));
        assert_eq!(size.wanted, 2, "two were never needed: one fewer");
        size.tick(after(30));
        size.tick(after(40));
        assert_eq!(size.wanted, 0, "nobody asks any more");
    }
}
