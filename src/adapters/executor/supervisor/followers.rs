//! Who follows an invocation from outside: the tidegate that asked for it, and any that comes later. A byte to them means that there is something new in the
//! log, the socket's end that the supervisor has ended; a byte from them that it shall stop. None of them is needed, unless it is
//! done for them alone.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// Nobody has a reason to follow it more often.
const LIMIT: usize = 16;

pub(in super::super) struct Followers {
    door: UnixListener,
    streams: Vec<UnixStream>,
    /// Without them it is in vain.
    needed: bool,
}

impl Followers {
    pub(in super::super) fn new(first: UnixStream, door: UnixListener, needed: bool) -> io::Result<Self> {
        door.set_nonblocking(true)?;
        first.set_nonblocking(true)?;
        Ok(Self { door, streams: vec![first], needed })
    }

    /// Readable when there is something to `hear`.
    pub(in super::super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.door.as_fd()).chain(self.streams.iter().map(std::os::fd::AsFd::as_fd))
    }

    /// There is something new. Whoever has not read the last such word yet will see this with it.
    pub(in super::super) fn tell(&mut self) {
        for stream in &mut self.streams {
            // Who has gone stays among the descriptors: that is how `hear` comes to know of it, which may be a reason to stop.
            let _ = stream.write(&[1]);
        }
    }

    /// Lets in who is at the door, forgets who has gone, and answers whether somebody wants it to stop.
    pub(in super::super) fn hear(&mut self) -> bool {
        while let Ok((stream, _)) = self.door.accept() {
            if self.streams.len() < LIMIT && stream.set_nonblocking(true).is_ok() {
                self.streams.push(stream);
            }
        }
        let mut stop = false;
        self.streams.retain_mut(|stream| match stream.read(&mut [0; 16]) {
            Ok(0) => false,
            Ok(_) => {
                stop = true;
                true
            }
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        });
        stop || (self.needed && self.streams.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn somebody_who_has_gone_while_being_told_is_missed_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let door = UnixListener::bind(folder.path().join("door")).unwrap();
        let mut followers = Followers::new(near, door, true).unwrap();
        assert!(!followers.hear());
        drop(far);
        followers.tell();
        let is_heard = {
            let mut polled: Vec<PollFd<'_>> =
                followers.descriptors().collect::<Vec<_>>().into_iter().map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)).collect();
            poll(&mut polled, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
        };
        assert!(is_heard && followers.hear(), "nobody is left for whom it is done");
    }
}
