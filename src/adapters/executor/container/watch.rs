//! While a container runs: what it says goes to the log as it comes, and the first of three things ends it: itself, its deadline, a wish from outside.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{KillContainerOptionsBuilder, LogsOptionsBuilder, WaitContainerOptionsBuilder};
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep, sleep_until};

use super::super::supervisor::disk;
use super::super::supervisor::ending::{Patience, Stopped};
use super::super::supervisor::followers::Followers;
use super::super::supervisor::log::Log;
use super::bell::Bell;
use super::{signals, words};

pub(super) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// How long an engine that has gone away may take to come back.
const RETURN: Duration = Duration::from_secs(60);
/// How long a container that has ended may be silent before its last words are taken for said.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// A moment that never comes.
const FAR: Duration = Duration::from_secs(86400 * 365);

pub(super) const STOPPED: &str = "the container engine was stopped while the step ran, and the step with it";

/// How it went.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) stopped: Stopped,
    pub(super) ended: Ended,
}

#[derive(Debug)]
pub(super) enum Ended {
    Code(i32),
    /// The engine can not say: why.
    Unknown(String),
}

/// A container that has been started.
pub(super) struct Running<'a> {
    pub(super) docker: &'a Docker,
    pub(super) name: &'a str,
    pub(super) output: Output,
    /// Bytes that come again, and are in the log already.
    pub(super) skip: u64,
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
    ) -> io::Result<Course> {
        let mut bell = Bell::of(followers)?;
        let mut stopped = Stopped::ByItself;
        let mut moment = patience.deadline.map(Instant::from_std);
        let (mut silent, mut ended) = (false, None);
        let mut waiting = Box::pin(exit_of(self.docker.clone(), self.name.to_owned()));
        loop {
            if silent && let Some(ended) = ended {
                return Ok(Course { stopped, ended });
            }
            let look = Instant::from_std(disk.next);
            tokio::select! {
                piece = self.output.next(), if !silent => match piece {
                    Some(Ok(piece)) => {
                        self.take(log, piece.as_ref());
                        followers.tell();
                        if ended.is_some() {
                            moment = Some(Instant::now() + LAST_WORDS);
                        }
                    }
                    // Not its end: the engine has it still, from the first word on.
                    Some(Err(error)) if !words::is_gone(&error) => (self.output, self.skip) = (self.again(), log.total()),
                    _ => silent = true,
                },
                exit = &mut waiting, if ended.is_none() => match exit {
                    Ok(code) => {
                        ended = Some(Ended::Code(code));
                        moment = Some(Instant::now() + LAST_WORDS);
                    }
                    Err(error) => match self.come_back(&error).await {
                        Ok(()) => {
                            (self.output, self.skip, silent) = (self.again(), log.total(), false);
                            waiting = Box::pin(exit_of(self.docker.clone(), self.name.to_owned()));
                        }
                        Err(why) => return Ok(Course { stopped, ended: Ended::Unknown(why) }),
                    },
                },
                () = bell.rung() => {
                    let unwanted = followers.hear();
                    bell = Bell::of(followers)?;
                    if unwanted && stopped == Stopped::ByItself && ended.is_none() {
                        stopped = Stopped::Cancelled;
                        moment = Instant::now().checked_add(patience.grace);
                        self.terminate().await;
                    }
                }
                () = sleep_until(moment.unwrap_or_else(|| Instant::now() + FAR)) => match stopped {
                    _ if ended.is_some() => silent = true,
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
                        && ended.is_none()
                    {
                        stopped = Stopped::TooMuch(excess);
                        moment = None;
                        self.kill("KILL").await;
                    }
                }
            }
        }
    }

    fn take(&mut self, log: &mut Log, piece: &[u8]) {
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
        self.skip -= known as u64;
        log.write(&piece[known..]);
    }

    /// All that it has said so far and will say, from the engine's own copy.
    fn again(&self) -> Output {
        all_of(self.docker, self.name)
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

    /// Waits for an engine that went away. It is all right only where the container has lived on: what an engine that stops does to its containers can not be
    /// told from what they do themselves.
    async fn come_back(&self, error: &Error) -> Result<(), String> {
        let until = Instant::now() + RETURN;
        loop {
            match self.docker.inspect_container(self.name, None).await {
                Ok(found) if found.state.as_ref().is_some_and(|state| state.running == Some(true)) => return Ok(()),
                Ok(_) => return Err(STOPPED.to_owned()),
                Err(error) if words::is_status(&error, 404) => return Err("somebody removed the step's container while it ran".to_owned()),
                Err(_) if Instant::now() < until => sleep(Duration::from_millis(200)).await,
                Err(_) => {
                    return Err(format!("the container engine went away while the step ran, and did not come back: {}", words::why(error)));
                }
            }
        }
    }
}

/// From the engine's own copy: from the first word on, and as it goes on.
pub(super) fn all_of(docker: &Docker, name: &str) -> Output {
    let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).build();
    Box::pin(docker.logs(name, Some(options)))
}

/// The code that its first process has ended with.
async fn exit_of(docker: Docker, name: String) -> Result<i32, Error> {
    // A step may take as long as it may.
    let docker = docker.with_timeout(FAR);
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut answers = docker.wait_container(&name, Some(options));
    let code = match answers.next().await {
        Some(Ok(answer)) => answer.status_code,
        Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) => return Err(error),
        None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    };
    Ok(i32::try_from(code).unwrap_or(i32::MAX))
}
