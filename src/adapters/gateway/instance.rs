//! One running function process: started, watched, ended. When an `Instance` is dropped its process is killed; there is no way to forget one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{Notify, oneshot};

use super::desk::{Answer, Desk, Job, Standing};
use super::fleet::Deployed;
use super::launch::{Launched, launch};
use super::log::InstanceLog;
use super::pool::Shared;
use super::runtime_api;
use crate::adapters::sandbox::{Running, SandboxError};

/// The right to have one more instance of a release. Given back when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicU32>);

impl Place {
    pub fn take(live: &Arc<AtomicU32>, limit: u32) -> Option<Self> {
        live.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now < limit).then_some(now + 1)).ok().map(|_| Self(live.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An instance that never came up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}{}", if self.log.is_empty() { "" } else { "\nlast lines of its log:\n" }, self.log)]
pub struct InitFailure {
    pub reason: String,
    /// The last lines that it printed.
    pub log: String,
    /// The machine's fault, not the release's: nothing is to be concluded about the release.
    pub ours: bool,
}

pub struct Instance {
    desk: Arc<Desk>,
    end: Arc<Notify>,
    log: Arc<Mutex<InstanceLog>>,
    cold_start: Duration,
    _place: Place,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.end.notify_one();
    }
}

/// How an instance is named in its log's file name: the time first, so that names sort by age.
pub struct Name {
    pub log: PathBuf,
    pub stream: String,
}

impl Instance {
    /// Starts a process and waits until it asks for its first invocation. `decided` is when somebody wanted it.
    pub async fn start(deployed: &Deployed, shared: &Arc<Shared>, name: Name, place: Place, decided: Instant) -> Result<Self, InitFailure> {
        let (release, options) = (&deployed.release, &shared.options);
        let launched = launch(&deployed.function, release.version, &deployed.root, &name.stream, options).await;
        let Launched { running, output, listener } = launched.map_err(|error| InitFailure {
            ours: !matches!(error, SandboxError::Program(_)),
            reason: format!("its bootstrap could not be started: {error}"),
            log: String::new(),
        })?;
        let arn: Arc<str> = format!("arn:aws:lambda:local:000000000000:function:{}:{}", release.function, release.version).into();
        let desk = Arc::new(Desk::new());
        let end = Arc::new(Notify::new());
        let log = Arc::new(Mutex::new(InstanceLog::new(name.log)));
        let mut standing = desk.standing();
        let supervisor =
            Supervisor { desk: desk.clone(), end: end.clone(), log: log.clone(), process: running, _counted: Counted::new(shared.clone()) };
        tokio::spawn(supervisor.run(output, runtime_api::run(listener, desk.clone(), arn)));
        let mut instance = Self { desk, end, log, cold_start: Duration::ZERO, _place: place };

        let came = tokio::time::timeout(options.init_timeout, standing.wait_for(|standing| *standing != Standing::Starting)).await;
        let reason = match came.as_ref().map(|standing| standing.as_deref()) {
            Ok(Ok(Standing::Ready)) => {
                instance.cold_start = decided.elapsed();
                return Ok(instance);
            }
            Ok(Ok(Standing::Failed { kind, body })) => {
                format!("it reported an error while it started: {kind} {}", body.chars().take(2000).collect::<String>())
            }
            Ok(Ok(Standing::Gone) | Err(_)) => "its process ended before it asked for an invocation".to_owned(),
            Err(_) | Ok(Ok(Standing::Starting)) => {
                format!(
                    "it did not ask for an invocation within {:?}: a bootstrap must poll the Runtime API at AWS_LAMBDA_RUNTIME_API",
                    options.init_timeout
                )
            }
        };
        drop(came);
        instance.notes().note(&reason);
        Err(InitFailure { reason, log: instance.last_lines(), ours: false })
    }

    pub fn cold_start(&self) -> Duration {
        self.cold_start
    }

    /// Can be given work.
    pub fn is_free(&self) -> bool {
        self.desk.is_free()
    }

    /// Waits for work right now.
    pub fn is_waiting(&self) -> bool {
        self.desk.is_waiting()
    }

    pub fn offer(&self, job: Job) -> Option<oneshot::Receiver<Answer>> {
        self.desk.offer(job)
    }

    /// Its log, also for what is only known when it has been given back.
    pub fn notes(&self) -> Notes {
        Notes(self.log.clone())
    }

    pub fn last_lines(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).last_lines()
    }
}

/// Where lines of ours go that belong to an instance: its log.
#[derive(Debug, Clone)]
pub struct Notes(Arc<Mutex<InstanceLog>>);

impl Notes {
    /// One line, whatever is in it.
    pub fn note(&self, text: &str) {
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(format!("tidegate: {line}\n").as_bytes());
    }
}

/// Counts a process that has not ended.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.running.send_modify(|count| *count += 1);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.running.send_modify(|count| *count -= 1);
    }
}

/// Owns the process.
struct Supervisor {
    desk: Arc<Desk>,
    end: Arc<Notify>,
    log: Arc<Mutex<InstanceLog>>,
    process: Running,
    _counted: Counted,
}

impl Supervisor {
    async fn run(mut self, output: Receiver, api: impl Future<Output = ()> + Send) {
        let copying = tokio::spawn(copy(output, self.log.clone()));
        let wanted = tokio::select! {
            ended = self.process.wait() => Some(ended),
            () = self.end.notified() => None,
            // Without a Runtime API there is nothing that it could do.
            () = api => None,
        };
        let ended = match wanted {
            Some(ended) => ended,
            None => {
                self.process.kill();
                self.process.wait().await
            }
        };
        // Its last words come before the news of its end. Nothing of it is left, so the output has an end.
        let _ = copying.await;
        let text =
            format!("tidegate: ended ({:?}), {} ms, at most {} KiB of memory\n", ended.exit, ended.run_us / 1000, ended.peak_memory_bytes >> 10);
        self.log.lock().unwrap_or_else(PoisonError::into_inner).write(text.as_bytes());
        self.desk.gone();
    }
}

/// The output is read as fast as it comes and cut by the log: who prints without end is neither blocked nor kept.
async fn copy(mut output: Receiver, log: Arc<Mutex<InstanceLog>>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        log.lock().unwrap_or_else(PoisonError::into_inner).write(&buffer[..count]);
    }
}
