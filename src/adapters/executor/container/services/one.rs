//! One service, from its beginning to its end.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::super::supervisor::beside::{Early, address, not_ready, nothing_to_run};
use super::super::super::supervisor::log::Log;
use super::super::image::Image;
use super::super::names::Identity;
use super::super::remove::remove_container;
use super::super::shape::{HOSTS, bind, no_health_check, walls};
use super::super::voice::{Ended, Heard, Voice};
use super::super::words;
use super::{Around, End, PATIENCE, Stood};
use crate::adapters::state::service_log;
use crate::model::invocation::ImageRecord;
use crate::model::outcome::Exit;
use crate::model::service::{Ready, Service, ServiceRecord};

pub(super) struct One {
    pub(super) number: usize,
    service: Service,
    /// Its container's name.
    pub(super) name: String,
    image: ImageRecord,
    image_id: String,
    /// The first word of what it runs.
    program: String,
    log: Arc<Mutex<Log>>,
    /// Its program has begun.
    pub(super) stands: bool,
    pub(super) since: Instant,
    pub(super) ready_us: Option<u64>,
    pub(super) trial: Trial,
    pub(super) early: Option<Early>,
    /// It has ended, and has been heard to the end.
    pub(super) over: bool,
    told: bool,
    listening: Option<JoinHandle<()>>,
}

/// Of the command that says whether it is ready.
pub(super) enum Trial {
    NotYet,
    Goes(JoinHandle<Result<bool, String>>),
    /// One that could not go on trying has said no for good.
    InVain,
}

impl One {
    pub(super) fn new(around: &Around<'_>, number: usize, service: &Service, image: &Image) -> Result<Self, String> {
        let could_not = |why: String| format!("the service {} could not be begun: {why}", service.name);
        let program = image.program.clone().ok_or_else(|| could_not(nothing_to_run(&image.used.reference)))?;
        let log = Log::make(&service_log(around.log, &service.name), around.spec.limits.log, 0).map_err(|error| could_not(error.to_string()))?;
        Ok(Self::of(number, service, around.step, image.used.clone(), log, (image.id.clone(), program)))
    }

    fn of(number: usize, service: &Service, step: &str, image: ImageRecord, log: Log, (image_id, program): (String, String)) -> Self {
        Self {
            number,
            service: service.clone(),
            name: Identity::name_of_service(step, &service.name),
            image,
            image_id,
            program,
            log: Arc::new(Mutex::new(log)),
            stands: false,
            since: Instant::now(),
            ready_us: None,
            trial: Trial::NotYet,
            early: None,
            over: false,
            told: false,
            listening: None,
        }
    }

    /// One that another supervisor has begun: what it has said so far is written down anew.
    pub(super) fn again(
        docker: &Docker,
        (number, service): (usize, &Service),
        stood: &Stood,
        (step, log, limit): (&str, &Path, u64),
        says: Sender<End>,
    ) -> io::Result<Self> {
        let file = service_log(log, &service.name);
        std::fs::File::create(&file)?;
        let log = Log::make(&file, limit, 0)?;
        let mut one = Self::of(number, service, step, stood.image.clone(), log, (String::new(), String::new()));
        (one.stands, one.ready_us) = (true, stood.ready_us);
        one.listen(Voice::again(docker, &one.name), says);
        Ok(one)
    }

    pub(super) fn stood(&self) -> Stood {
        Stood { image: self.image.clone(), ready_us: self.ready_us }
    }

    pub(super) async fn begin(&mut self, around: &Around<'_>, says: Sender<End>) -> Result<(), String> {
        self.since = Instant::now();
        self.start(around, says).await.map_err(|error| self.not_begun(&error))
    }

    async fn start(&mut self, around: &Around<'_>, says: Sender<End>) -> Result<(), Error> {
        let named = CreateContainerOptionsBuilder::default().name(&self.name).build();
        around.docker.create_container(Some(named), self.body(around)).await?;
        let all = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        // Before it starts: so nothing that it says can be missed.
        let attached = around.docker.attach_container(&self.name, Some(all)).await?;
        around.docker.start_container(&self.name, None).await?;
        self.stands = true;
        self.listen(Voice::of(around.docker, &self.name, attached.output), says);
        Ok(())
    }

    /// As an image's process finds it anywhere: its entry point and command, in its folder, with its environment. Nothing of the step's.
    fn body(&self, around: &Around<'_>) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some(self.image_id.clone()),
            env: Some(self.service.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            user: self.service.user.clone(),
            hostname: around.named.then(|| self.service.name.clone()),
            labels: Some((around.labels)(&self.service.name)),
            healthcheck: Some(no_health_check()),
            tty: Some(false),
            open_stdin: Some(false),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(HostConfig {
                network_mode: Some(format!("container:{}", around.step)),
                mounts: Some(vec![bind(around.hosts, Path::new(HOSTS), true)]),
                // Its program is the first process, as in every container of its image: so the engine says when it can not be started.
                ..walls(around.limits, false, around.spec.limits.log)
            }),
            ..ContainerCreateBody::default()
        }
    }

    fn not_begun(&self, error: &Error) -> String {
        let (name, why) = (&self.service.name, words::why(error));
        if let Some(user) = &self.service.user
            && (why.contains("unable to find user") || why.contains("no matching entries in passwd"))
        {
            return format!("{} can not be used: {user:?} is not in its /etc/passwd", self.image.reference);
        }
        let lower = why.to_lowercase();
        if why.contains(&self.program) && ["no such file", "not found", "permission denied"].iter().any(|words| lower.contains(words)) {
            return format!("the service {name} could not begin: {} can not be started: {why}", self.program);
        }
        format!("the service {name} could not be begun: {why}")
    }

    /// From here on it is heard, whatever else is done.
    fn listen(&mut self, mut voice: Voice, says: Sender<End>) {
        let (log, number) = (self.log.clone(), self.number);
        self.listening = Some(tokio::spawn(async move {
            let ended = loop {
                match voice.next().await {
                    Heard::Word(word) => log.lock().unwrap_or_else(PoisonError::into_inner).write(&word),
                    Heard::Over(ended) => break ended,
                }
            };
            // Where nobody wants to know any more, it is no news.
            let _ = says.send(End { number, early: early(&ended) }).await;
        }));
    }

    /// Its number, where it has ended and has not been heard to the end.
    pub(super) async fn has_stopped(&self, docker: &Docker) -> Option<usize> {
        if self.over || self.listening.is_none() {
            return None;
        }
        let found = docker.inspect_container(&self.name, None).await.ok()?;
        (found.state?.running == Some(false)).then_some(self.number)
    }

    /// What is to be said of its end, once.
    pub(super) fn news(&mut self) -> Option<String> {
        if self.told {
            return None;
        }
        let end = self.early_end(if self.ready_us.is_some() { "the step did" } else { "it was ready" })?;
        self.told = true;
        Some(end)
    }

    /// Set when it has ended though nobody wanted it to.
    pub(super) fn early_end(&self, before: &str) -> Option<String> {
        let early = self.early.as_ref()?;
        Some(early.told(&self.service.name, before, self.log.lock().unwrap_or_else(PoisonError::into_inner).tail()))
    }

    pub(super) fn not_ready(&self, after: Duration) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        not_ready(&self.service, self.number, &self.image.reference, self.stands, after, log.tail())
    }

    pub(super) fn ready(&self) -> Option<&Ready> {
        self.service.ready.as_ref()
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        address(self.number)
    }

    /// Where what it writes ends up on this machine's disk, as far as that can be seen: its own layer, and volumes that its image asks for.
    pub(super) async fn written(&self, docker: &Docker) -> Vec<PathBuf> {
        let Ok(found) = docker.inspect_container(&self.name, None).await else { return Vec::new() };
        let layer = found.graph_driver.and_then(|driver| driver.data.get("UpperDir").cloned());
        let volumes = found.mounts.into_iter().flatten().filter(|mount| mount.typ.as_deref() == Some("volume")).filter_map(|mount| mount.source);
        layer.into_iter().chain(volumes).map(PathBuf::from).collect()
    }

    pub(super) async fn remove(&self, docker: &Docker) {
        let _ = remove_container(docker, &self.name).await;
    }

    /// It has been removed.
    pub(super) async fn record(self) -> ServiceRecord {
        if let Some(mut listening) = self.listening
            && timeout(PATIENCE, &mut listening).await.is_err()
        {
            listening.abort();
            let _ = listening.await;
        }
        let kept = Arc::into_inner(self.log).map(|log| log.into_inner().unwrap_or_else(PoisonError::into_inner).finish());
        let (log_bytes, log_dropped_bytes) = kept.map_or((0, 0), |kept| (kept.bytes, kept.dropped));
        let ended = self.early.map(|early| early.exit());
        ServiceRecord { name: self.service.name, image: self.image, ready_us: self.ready_us, ended, log_bytes, log_dropped_bytes }
    }
}

/// An end that nobody had wanted. `None`: it is not known how it ended, as the engine went away, and the step's end says that.
fn early(ended: &Ended) -> Option<Early> {
    match ended {
        Ended::Code(code) => Some(Early::Ended(Exit::Code(*code))),
        Ended::Unknown(_) => None,
    }
}
