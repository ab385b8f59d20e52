//! A container that was started: all that it says, once and in order, and how it ends, whatever becomes of the engine meanwhile.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{LogsOptionsBuilder, WaitContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep, sleep_until};

use super::words;

pub(super) type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>;

/// How long an engine that has gone away may take to come back.
const RETURN: Duration = Duration::from_secs(60);
/// How long a container that has ended may be silent before its last words are taken for said.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// A moment that never comes.
pub(super) const FAR: Duration = Duration::from_secs(86400 * 365);

pub(super) const STOPPED: &str = "the container engine was stopped while the step ran, and the step with it";

#[derive(Debug, Clone)]
pub(super) enum Ended {
    Code(i32),
    /// The engine can not say: why.
    Unknown(String),
}

/// What there is to hear.
pub(super) enum Heard {
    Word(Bytes),
    /// It has ended, and said all that it had to say.
    Over(Ended),
}

pub(super) struct Voice {
    docker: Docker,
    name: String,
    output: Output,
    /// Bytes that were heard.
    heard: u64,
    /// Bytes that come again.
    skip: u64,
    silent: bool,
    ended: Option<Ended>,
    /// When it is taken for silent; once it has ended.
    moment: Instant,
    waiting: Pin<Box<dyn Future<Output = Turn> + Send>>,
}

/// What waiting for an end comes to.
enum Turn {
    Ended(Ended),
    /// The engine went away and is there again, the container too.
    Back,
}

impl Voice {
    /// `output`: from its first word on.
    pub(super) fn of(docker: &Docker, name: &str, output: Output) -> Self {
        Self {
            docker: docker.clone(),
            name: name.to_owned(),
            output,
            heard: 0,
            skip: 0,
            silent: false,
            ended: None,
            moment: Instant::now(),
            waiting: Box::pin(wait(docker.clone(), name.to_owned())),
        }
    }

    /// One that somebody else has started, and perhaps heard the beginning of.
    pub(super) fn again(docker: &Docker, name: &str) -> Self {
        Self::of(docker, name, all_of(docker, name))
    }

    /// It has ended, and may still have something to say.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// May be given up and called again.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            match &self.ended {
                Some(ended @ Ended::Unknown(_)) => return Heard::Over(ended.clone()),
                Some(ended) if self.silent => return Heard::Over(ended.clone()),
                _ => {}
            }
            tokio::select! {
                piece = self.output.next(), if !self.silent => match piece {
                    Some(Ok(piece)) => {
                        self.moment = Instant::now() + LAST_WORDS;
                        let word = self.news_in(piece.into_bytes());
                        if !word.is_empty() {
                            return Heard::Word(word);
                        }
                    }
                    // Not its end: the engine has it still, from the first word on.
                    Some(Err(error)) if !words::is_gone(&error) => self.begin_again(),
                    _ => self.silent = true,
                },
                turn = &mut self.waiting, if self.ended.is_none() => match turn {
                    Turn::Ended(ended) => {
                        self.ended = Some(ended);
                        self.moment = Instant::now() + LAST_WORDS;
                    }
                    Turn::Back => {
                        self.begin_again();
                        self.waiting = Box::pin(wait(self.docker.clone(), self.name.clone()));
                    }
                },
                () = sleep_until(self.moment), if self.ended.is_some() => self.silent = true,
            }
        }
    }

    fn begin_again(&mut self) {
        (self.output, self.skip, self.silent) = (all_of(&self.docker, &self.name), self.heard, false);
    }

    /// What of it has not been heard before.
    fn news_in(&mut self, piece: Bytes) -> Bytes {
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
        self.skip -= known as u64;
        self.heard += (piece.len() - known) as u64;
        piece.slice(known..)
    }
}

/// From the engine's own copy: from the first word on, and as it goes on.
fn all_of(docker: &Docker, name: &str) -> Output {
    let options = LogsOptionsBuilder::default().follow(true).stdout(true).stderr(true).build();
    Box::pin(docker.logs(name, Some(options)))
}

async fn wait(docker: Docker, name: String) -> Turn {
    match exit_of(&docker, &name).await {
        Ok(code) => Turn::Ended(Ended::Code(code)),
        Err(error) => match come_back(&docker, &name, &error).await {
            Ok(()) => Turn::Back,
            Err(why) => Turn::Ended(Ended::Unknown(why)),
        },
    }
}

/// The code that its first process has ended with.
async fn exit_of(docker: &Docker, name: &str) -> Result<i32, Error> {
    // A step may take as long as it may.
    let docker = docker.clone().with_timeout(FAR);
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut answers = docker.wait_container(name, Some(options));
    let code = match answers.next().await {
        Some(Ok(answer)) => answer.status_code,
        Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) => return Err(error),
        None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    };
    Ok(i32::try_from(code).unwrap_or(i32::MAX))
}

/// Waits for an engine that went away. It is all right only where the container has lived on: what an engine that stops does to its containers can not be
/// told from what they do themselves.
async fn come_back(docker: &Docker, name: &str, error: &Error) -> Result<(), String> {
    let until = Instant::now() + RETURN;
    loop {
        match docker.inspect_container(name, None).await {
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
