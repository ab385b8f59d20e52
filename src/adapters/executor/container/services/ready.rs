//! Waits until all services are ready.

use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt as _;
use tokio::time::sleep;

use super::super::super::supervisor::beside::{Early, LONGEST};
use super::super::super::supervisor::disk::{self, Quota};
use super::super::super::supervisor::ending::Patience;
use super::super::super::supervisor::followers::Followers;
use super::super::super::supervisor::log::Log;
use super::super::super::supervisor::{infrastructure, limits};
use super::super::bell::Bell;
use super::super::gate::first_process;
use super::super::voice::{FAR, Heard, Voice};
use super::super::words;
use super::Services;
use super::one::{One, Trial};
use super::ports;
use crate::model::outcome::{Exit, Outcome};
use crate::model::service::Ready;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);
/// Tries the command until it succeeds once, beside the image's own program and not as its child; says so then, and nothing else.
const TRIAL: &str = r#"until /bin/sh -c "$1" </dev/null >/dev/null 2>&1; do sleep 0.1 || sleep 1 || exit; done; echo ready"#;
const SIGN: &[u8] = b"ready\n";

/// Who and what there is to attend to meanwhile.
pub(in super::super) struct Meanwhile<'a> {
    pub(in super::super) log: &'a mut Log,
    pub(in super::super) followers: &'a mut Followers,
    pub(in super::super) patience: Patience,
    pub(in super::super) disk: &'a mut disk::Watch,
    pub(in super::super) quota: Quota,
    /// The step's container, which waits. When it ends, why is for others to find out.
    pub(in super::super) step: &'a mut Voice,
}

impl Services {
    /// Folders that what they write ends up in.
    pub(in super::super) async fn written(&self, docker: &Docker) -> Vec<std::path::PathBuf> {
        let mut folders = Vec::new();
        for one in &self.all {
            folders.extend(one.written(docker).await);
        }
        folders
    }

    /// `Err`: what comes of a step whose services are not. `step`: its container's name.
    pub(in super::super) async fn until_ready(&mut self, docker: &Docker, step: &str, meanwhile: Meanwhile<'_>) -> Result<(), Outcome> {
        let Meanwhile { log, followers, patience, disk, quota, step: voice } = meanwhile;
        let begun = Instant::now();
        let last = begun + LONGEST;
        let last = patience.deadline.map_or(last, |deadline| deadline.min(last));
        let first = first_process(docker, step).await.map_err(infrastructure)?;
        let mut bell = Bell::of(followers).map_err(infrastructure)?;
        loop {
            for one in &mut self.all {
                one.look(docker, first).await;
            }
            self.tell(log);
            followers.tell();
            if let Some(gone) = self.all.iter().find(|one| one.early.is_some() && one.ready_us.is_none()) {
                return Err(infrastructure(gone.early_end("it was ready").unwrap_or_default()));
            }
            let Some(waited_for) = self.all.iter().find(|one| one.ready_us.is_none()) else { return Ok(()) };
            if Instant::now() >= last {
                let reason = waited_for.not_ready(begun.elapsed());
                log.write(format!("[tidegate: {reason}]\n").as_bytes());
                followers.tell();
                return Err(infrastructure(reason));
            }
            if let Some(excess) = disk.look() {
                return Err(Outcome::Failed { exit: Exit::None, reason: limits::too_much_written(excess, quota) });
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = self.an_end() => {}
                () = bell.rung() => {
                    if followers.hear() {
                        return Err(Outcome::Cancelled { reason: "it was asked to stop".to_owned() });
                    }
                    bell = Bell::of(followers).map_err(infrastructure)?;
                }
                heard = voice.next() => match heard {
                    Heard::Word(word) => log.write(&word),
                    Heard::Over(_) => return Ok(()),
                }
            }
        }
    }
}

impl One {
    /// Whether it is ready by now.
    async fn look(&mut self, docker: &Docker, first: Option<i64>) {
        if self.ready_us.is_some() || !self.stands || self.over || self.early.is_some() {
            return;
        }
        let ready = match self.ready().cloned() {
            None => true,
            Some(Ready::Port(port)) => first.is_some_and(|first| ports::answers(first, self.address(), port)),
            Some(Ready::Command(command)) => self.has_succeeded(docker, &command).await,
        };
        if ready {
            self.ready_us = Some(u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// One process tries it again and again, and is listened to.
    async fn has_succeeded(&mut self, docker: &Docker, command: &str) -> bool {
        let begin = || tokio::spawn(try_in(docker.clone(), self.name.clone(), command.to_owned()));
        let trial = match &mut self.trial {
            Trial::InVain => return false,
            Trial::NotYet => {
                self.trial = Trial::Goes(begin());
                return false;
            }
            Trial::Goes(trial) if !trial.is_finished() => return false,
            Trial::Goes(trial) => trial.await,
        };
        match trial {
            Ok(Ok(succeeded)) => {
                self.trial = Trial::InVain;
                succeeded
            }
            Ok(Err(why)) if why.contains("/bin/sh") => {
                self.early = Some(Early::NotBegun(format!("/bin/sh can not be started: {why}")));
                false
            }
            // One that has just ended says so itself.
            _ => {
                self.trial = Trial::NotYet;
                false
            }
        }
    }
}

/// Whether it has succeeded in the end.
async fn try_in(docker: Docker, container: String, command: String) -> Result<bool, String> {
    let argv = ["/bin/sh", "-c", TRIAL, "sh", &command].map(str::to_owned);
    let options = CreateExecOptions { cmd: Some(argv.into()), attach_stdout: Some(true), attach_stderr: Some(true), ..CreateExecOptions::default() };
    // Its silence is no news.
    let docker = docker.with_timeout(FAR);
    let made = docker.create_exec(&container, options).await.map_err(|error| words::why(&error))?;
    let StartExecResults::Attached { mut output, .. } = docker.start_exec(&made.id, None).await.map_err(|error| words::why(&error))? else {
        return Ok(false);
    };
    let mut said = Vec::new();
    while let Some(piece) = output.next().await {
        said.extend_from_slice(piece.map_err(|error| words::why(&error))?.as_ref());
        if said.len() >= SIGN.len() {
            break;
        }
    }
    let text = String::from_utf8_lossy(&said).into_owned();
    if said == SIGN {
        Ok(true)
    } else if said.is_empty() {
        Ok(false)
    } else {
        Err(text)
    }
}
