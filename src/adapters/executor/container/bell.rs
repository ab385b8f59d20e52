//! Followers, who are only descriptors, in a runtime: it rings when one of them has something to say.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::epoll;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::super::supervisor::followers::Followers;

#[derive(Debug)]
pub(super) struct Bell(AsyncFd<OwnedFd>);

impl Bell {
    /// Of those who follow now: after `hear` there may be others, who want another bell.
    pub(super) fn of(followers: &Followers) -> io::Result<Self> {
        let all = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (number, descriptor) in followers.descriptors().enumerate() {
            epoll::add(&all, descriptor, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
        }
        #[expect(deprecated, reason = "sound for a descriptor that is owned, as this one is; what replaces it is `unsafe` for the sake of others")]
        let all = AsyncFd::with_interest(all, Interest::READABLE)?;
        Ok(Self(all))
    }

    /// Returns when there is something to hear. An error is silence.
    pub(super) async fn rung(&self) {
        if self.0.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until somebody wants it to stop.
pub(super) async fn unwanted(followers: &mut Followers) {
    loop {
        let Ok(bell) = Bell::of(followers) else { return std::future::pending().await };
        bell.rung().await;
        if followers.hear() {
            return;
        }
    }
}
