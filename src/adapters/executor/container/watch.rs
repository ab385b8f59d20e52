//! While a container runs: what it says goes to the log as it comes, and the first of three things ends it: itself, its deadline, a wish from outside.

use std::io;

use bollard::Docker;
use bollard::query_parameters::KillContainerOptionsBuilder;
use tokio::time::{Instant, sleep_until};

use super::super::supervisor::disk;
use super::super::supervisor::ending::{Patience, Stopped};
use super::super::supervisor::followers::Followers;
use super::super::supervisor::log::Log;
use super::bell::Bell;
use super::services::Services;
use super::signals;
use super::voice::{Ended, FAR, Heard, Voice};

/// How it went.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) stopped: Stopped,
    pub(super) ended: Ended,
}

/// A container that has been started.
pub(super) struct Running<'a> {
    pub(super) docker: &'a Docker,
    pub(super) name: &'a str,
    pub(super) voice: Voice,
    /// Its first process is not the step, but reaps for it.
    pub(super) init: bool,
}

impl Running<'_> {
    /// Returns when it has ended and all that it said is in the log.
    pub(super) async fn until_the_end(
        &mut self,
        log: &mut Log,
        followers: &mut Followers,
        patience: Patience,
        disk: &mut disk::Watch,
        services: &mut Services,
    ) -> io::Result<Course> {
        let mut bell = Bell::of(followers)?;
        let mut stopped = Stopped::ByItself;
        let mut moment = patience.deadline.map(Instant::from_std);
        loop {
            let look = Instant::from_std(disk.next);
            tokio::select! {
                heard = self.voice.next() => match heard {
                    Heard::Word(word) => {
                        log.write(&word);
                        followers.tell();
                    }
                    Heard::Over(ended) => return Ok(Course { stopped, ended }),
                },
                () = services.an_end() => {
                    services.tell(log);
                    followers.tell();
                }
                () = bell.rung() => {
                    let unwanted = followers.hear();
                    bell = Bell::of(followers)?;
                    if unwanted && stopped == Stopped::ByItself && !self.voice.has_ended() {
                        stopped = Stopped::Cancelled;
                        moment = Instant::now().checked_add(patience.grace);
                        self.terminate().await;
                    }
                }
                () = sleep_until(moment.unwrap_or_else(|| Instant::now() + FAR)), if !self.voice.has_ended() => match stopped {
                    Stopped::ByItself => {
                        stopped = Stopped::TimedOut;
                        moment = Instant::now().checked_add(patience.grace);
                        self.terminate().await;
                    }
                    _ => {
                        self.kill("KILL").await;
                        moment = None;
                    }
                },
                () = sleep_until(look) => {
                    // At once: every moment more is more of it.
                    if let Some(excess) = disk.look()
                        && stopped == Stopped::ByItself
                        && !self.voice.has_ended()
                    {
                        stopped = Stopped::TooMuch(excess);
                        moment = None;
                        self.kill("KILL").await;
                    }
                }
            }
        }
    }

    /// Everybody in it; only the first process where its others are not to be found on this machine.
    async fn terminate(&self) {
        let state = self.docker.inspect_container(self.name, None).await.ok().and_then(|found| found.state);
        let first = state.and_then(|state| state.pid).and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0);
        if first.is_none_or(|first| signals::terminate(first, !self.init) == 0) {
            self.kill("TERM").await;
        }
    }

    /// What has ended already hears nothing.
    async fn kill(&self, signal: &str) {
        let _ = self.docker.kill_container(self.name, Some(KillContainerOptionsBuilder::default().signal(signal).build())).await;
    }
}
