//! What the supervisor of an invocation in a container does. It has one thread and a runtime on it.
//!
//! ```text
//! Request ─▶ image (there, or pulled) ─▶ surroundings ─▶ volume, container, attached before it starts ─▶ watch ─▶ all of it removed ─▶ collect ─▶ result
//! ```

use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions};

use super::super::supervisor::around::{DISK, limits_of};
use super::super::supervisor::collect::{self, Collected, NotCollected};
use super::super::supervisor::disk::{self, Quota};
use super::super::supervisor::ending::{Patience, Stopped};
use super::super::supervisor::{Work, hints, infrastructure, limits};
use super::adopt::{self, Begun};
use super::gate::Gate;
use super::image::{self, Image};
use super::shape::{self, Shape};
use super::surroundings::{Surroundings, environment};
use super::watch::{self, Course, Ended, Output, Running};
use super::{Setup, bell, room, words};
use crate::adapters::sandbox::{self, Exceeded};
use crate::model::egress::Policy;
use crate::model::limits::Network;
use crate::model::outcome::{Exit, Outcome};

/// What every container of ours has, by its names in a record.
pub(super) const ALWAYS: [&str; 5] = ["container", "network-namespace", "no-capabilities", "no-new-privileges", "rlimits"];

/// Runs the step, to its end.
pub(in super::super) fn perform(work: Work<'_>, setup: &Setup) -> Outcome {
    // Before there is a runtime: it is a process that only a process with one thread can make.
    let gate = match Policy::of(&work.request.spec.network).map(|policy| Gate::closed(policy, &setup.engine, work.lock)).transpose() {
        Ok(gate) => gate,
        Err(refused) => return infrastructure(refused),
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(try_to(work, setup, gate)).unwrap_or_else(|outcome| outcome),
        Err(error) => infrastructure(error),
    }
}

/// `Err` is an outcome as well: the early way out.
async fn try_to(mut work: Work<'_>, setup: &Setup, gate: Option<Gate>) -> Result<Outcome, Outcome> {
    let spec = &work.request.spec;
    let Some(reference) = &spec.image else { return Err(infrastructure("a step in a container needs an `image`")) };
    let silent = |error: bollard::errors::Error| infrastructure(format!("the container engine does not answer: {}", words::why(&error)));
    let docker = setup.engine.connect().map_err(silent)?;
    if let Some(begun) = &setup.begun {
        return take_over(&docker, work, setup, begun).await;
    }
    let image = have_image(&docker, reference, setup, &mut work).await?;
    work.record.image = Some(image.used.clone());
    let surroundings = Surroundings::make(work.store, &work.request.scratch, spec).map_err(infrastructure)?;
    work.record.phases.workspace_us = sandbox::monotonic_us().saturating_sub(work.request.asked_us);

    let name = setup.identity.name(&spec.run, &spec.node, spec.attempt);
    let mut stay = Stay { docker: &docker, setup, work, image: &image, name: &name, surroundings, gate, init: true };
    let stayed = stay.run().await;
    stay.end(stayed).await
}

/// Goes on with what another supervisor has begun.
async fn take_over(docker: &Docker, mut work: Work<'_>, setup: &Setup, begun: &Begun) -> Result<Outcome, Outcome> {
    let spec = &work.request.spec;
    let name = setup.identity.name(&spec.run, &spec.node, spec.attempt);
    let surroundings = Surroundings::again(work.store, &work.request.scratch, spec, begun.overlay);
    work.record.image = Some(begun.image.used.clone());
    let found = adopt::find(docker, &name, &mut work).await;
    let mut stay = Stay { docker, setup, work, image: &begun.image, name: &name, surroundings, gate: None, init: begun.init };
    let stayed = match found {
        Ok(()) => {
            let limits = limits_of(&spec.resources);
            stay.watch(watch::all_of(docker, &name), &limits, begun.left()).await
        }
        Err(outcome) => Err(outcome),
    };
    stay.end(stayed).await
}

/// Until the image is there, or somebody wants it to stop.
async fn have_image(docker: &Docker, reference: &str, setup: &Setup, work: &mut Work<'_>) -> Result<Image, Outcome> {
    let (says, mut said) = tokio::sync::mpsc::channel(64);
    let mut say = |line: String| {
        // Nobody misses a line about progress among so many.
        let _ = says.try_send(line);
    };
    // Its timeout is between two words of the engine.
    let have = image::have(docker, reference, setup.pull, setup.credentials.clone(), &mut say);
    tokio::pin!(have);
    loop {
        tokio::select! {
            biased;
            Some(line) = said.recv() => {
                work.log.write(format!("[tidegate: {line}]\n").as_bytes());
                work.followers.tell();
            }
            image = &mut have => return image,
            () = bell::unwanted(work.followers) => return Err(Outcome::Cancelled { reason: "it was asked to stop".to_owned() }),
        }
    }
}

/// One invocation's time in the engine.
struct Stay<'a> {
    docker: &'a Docker,
    setup: &'a Setup,
    work: Work<'a>,
    image: &'a Image,
    name: &'a str,
    surroundings: Surroundings,
    /// Its way out, where that is one that leads to certain hosts.
    gate: Option<Gate>,
    init: bool,
}

struct Stayed {
    course: Course,
    out_of_memory: bool,
    excess: Option<disk::Excess>,
    quota: Quota,
}

impl Stay<'_> {
    async fn run(&mut self) -> Result<Stayed, Outcome> {
        let asked = Instant::now();
        let limits = limits_of(&self.work.request.spec.resources);
        let output = self.start(&limits, asked).await?;
        // What the engine takes to make a container is not the step's doing.
        let timeout = self.work.request.spec.timeout;
        self.watch(output, &limits, timeout).await
    }

    async fn watch(&mut self, output: Output, limits: &sandbox::Limits, timeout: Duration) -> Result<Stayed, Outcome> {
        let begun = Instant::now();
        let spec = &self.work.request.spec;
        let patience = Patience { deadline: begun.checked_add(timeout), grace: spec.grace };
        self.work.record.started = true;
        self.work.record.isolation = self.isolation();
        self.work.record.unheld = limits::unheld(limits, self.gate.is_some(), &self.work.record.isolation);

        let quota = Quota { bytes: spec.resources.disk.unwrap_or(DISK), files: spec.limits.files };
        let mut disk = disk::Watch::new(vec![self.surroundings.places.upper.clone()], quota);
        let mut running = Running { docker: self.docker, name: self.name, output, skip: 0, init: self.init };
        let mut course = running.until_the_end(self.work.log, self.work.followers, patience, &mut disk).await.map_err(infrastructure)?;
        self.work.record.phases.run_us = micros(begun);
        let excess = if let Stopped::TooMuch(excess) = course.stopped { Some(excess) } else { disk.measure() };
        let out_of_memory = self.look_again(&mut course).await;
        Ok(Stayed { course, out_of_memory, excess, quota })
    }

    /// Whether it failed for want of memory; and whether an engine that stops has ended it, which nobody hears from the step's side.
    async fn look_again(&self, course: &mut Course) -> bool {
        let Ended::Code(code @ 1..) = course.ended else { return false };
        match self.docker.inspect_container(self.name, None).await {
            Ok(found) => found.state.is_some_and(|state| state.oom_killed == Some(true)),
            Err(error) => {
                if words::is_gone(&error) && course.stopped == Stopped::ByItself && matches!(code, 137 | 143) {
                    course.ended = Ended::Unknown(watch::STOPPED.to_owned());
                }
                false
            }
        }
    }

    /// Makes and starts it. What an engine lacks is done without, where that is possible: an overlay in its volumes, a first process that reaps.
    async fn start(&mut self, limits: &sandbox::Limits, asked: Instant) -> Result<Output, Outcome> {
        if self.setup.engine.rootless || !rustix::process::geteuid().is_root() {
            self.surroundings.copy_instead(sandbox::outer_uid()).map_err(infrastructure)?;
        }
        loop {
            let (doing, error) = match self.try_to_start(limits, asked).await {
                Ok(output) => {
                    self.open_gate().await.map_err(infrastructure)?;
                    return Ok(output);
                }
                Err(failed) => failed,
            };
            let why = words::why(&error);
            if self.init && (why.contains("init binary") || why.contains("docker-init")) {
                self.init = false;
            } else if self.surroundings.overlay.is_some() && why.contains("mount") && (why.contains("overlay") || why.contains(self.name)) {
                self.surroundings.copy_instead(sandbox::outer_uid()).map_err(infrastructure)?;
            } else {
                return Err(words::not_started(&error, &self.image.used.reference, doing));
            }
            self.remove().await.map_err(infrastructure)?;
        }
    }

    async fn try_to_start(&mut self, limits: &sandbox::Limits, asked: Instant) -> Result<Output, (&'static str, bollard::errors::Error)> {
        let spec = &self.work.request.spec;
        let labels = self.setup.identity.labels(spec);
        if let Some(volume) = shape::volume(self.name, labels.clone(), &self.surroundings) {
            self.docker.create_volume(volume).await.map_err(|error| ("making the workspace's volume", error))?;
        }
        let env = environment(spec, self.image);
        let shape = Shape {
            spec,
            surroundings: &self.surroundings,
            env: &env,
            limits,
            image: &self.image.id,
            labels,
            name: self.name,
            user: self.user(),
            read_only: self.setup.read_only,
            init: self.init,
        };
        let named = CreateContainerOptionsBuilder::default().name(self.name).build();
        self.docker.create_container(Some(named), shape.body()).await.map_err(|error| ("making the container", error))?;
        let all = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        // Before it starts: so nothing that it says can be missed.
        let attached = self.docker.attach_container(self.name, Some(all)).await.map_err(|error| ("attaching to the container", error))?;
        self.work.record.phases.setup_us = micros(asked);
        self.work.place.mark_started().map_err(|error| ("writing its record", error.into()))?;
        // Its way out dies with this supervisor, so nobody could go on with it as it was.
        if self.gate.is_none() {
            let begun = Begun::now(self.image, self.init, self.surroundings.overlay.is_some(), spec.timeout);
            adopt::write_plan(&self.work, self.setup, begun);
        }
        let starting = Instant::now();
        self.docker.start_container(self.name, None).await.map_err(|error| ("starting the container", error))?;
        self.work.record.phases.exec_us = micros(starting);
        Ok(attached.output)
    }

    async fn open_gate(&mut self) -> Result<(), String> {
        match (&mut self.gate, &self.surroundings.gate) {
            (Some(gate), Some(at)) => gate.open(self.docker, self.name, at).await,
            _ => Ok(()),
        }
    }

    /// Who can change the workspace's files.
    fn user(&self) -> String {
        if self.setup.engine.rootless {
            // Root inside is who runs the engine, which is who runs us.
            return "0:0".to_owned();
        }
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let (user, group) = sandbox::outer_uid().map_or(own, |outer| (outer, outer));
        format!("{user}:{group}")
    }

    fn isolation(&self) -> Vec<String> {
        let network = match self.work.request.spec.network {
            Network::None => Some("no-network"),
            Network::Only(_) | Network::Learn => Some("egress-proxy"),
            Network::Open => None,
        };
        let own = ALWAYS.into_iter().chain(network).chain(self.setup.read_only.then_some("read-only-root")).map(str::to_owned);
        own.chain(self.setup.engine.holds.iter().cloned()).collect()
    }

    fn wrong_with(&self, stayed: &Stayed) -> Option<Outcome> {
        let Stayed { course, out_of_memory, excess, quota } = stayed;
        let spec = &self.work.request.spec;
        let code = match &course.ended {
            Ended::Code(code) => *code,
            Ended::Unknown(why) => return Some(infrastructure(why)),
        };
        let exit = Exit::Code(code);
        let limits = limits_of(&spec.resources);
        match course.stopped {
            Stopped::TimedOut => Some(Outcome::TimedOut { after_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX) }),
            Stopped::Cancelled => Some(Outcome::Cancelled { reason: "it was asked to stop".to_owned() }),
            _ if let Some(excess) = excess => Some(Outcome::Failed { exit, reason: limits::too_much_written(*excess, *quota) }),
            _ if code == 0 => None,
            _ if let Some(outcome) = self.never_ran(code) => Some(outcome),
            _ if let Some(why) = room::why_it_could_not(&self.setup.engine, self.work.log.tail()) => Some(infrastructure(why)),
            _ => {
                let exceeded = limits::exceeded(out_of_memory.then_some(Exceeded::Memory), exit, &limits, *quota);
                let reason = exceeded.unwrap_or_else(|| hints::why_in_container(code, self.work.log.tail(), &limits, &self.image.used.reference));
                Some(Outcome::Failed { exit, reason })
            }
        }
    }

    /// An image without a shell, or of another machine: the engine's own first process finds that out when all has begun well.
    fn never_ran(&self, code: i32) -> Option<Outcome> {
        let tail = String::from_utf8_lossy(self.work.log.tail()).to_lowercase();
        let (image, engine) = (&self.image.architecture, &self.setup.engine.architecture);
        let reference = &self.image.used.reference;
        let said_by_init = tail.starts_with("[fatal tini") || tail.contains("failed to exec pid1") || tail.starts_with("catatonit");
        let could_not = image != engine && matches!(code, 126 | 127);
        if !(said_by_init || could_not) {
            return None;
        }
        if image != engine || tail.contains("exec format error") {
            return Some(infrastructure(format!(
                "the image {reference} is for another kind of machine (it says {image}, the engine {engine}): name one for this machine's architecture"
            )));
        }
        let reason = format!("the image {reference} has no /bin/sh, which `run` is executed by: name an image with a shell");
        Some(Outcome::Failed { exit: Exit::None, reason })
    }

    async fn end(mut self, stayed: Result<Stayed, Outcome>) -> Result<Outcome, Outcome> {
        let wrong = match &stayed {
            Ok(stayed) => self.wrong_with(stayed),
            Err(outcome) => Some(outcome.clone()),
        };
        // What can not be removed now is found by the next sweep; the outcome stands.
        let _ = self.remove().await;
        self.work.record.egress = self.gate.take().and_then(Gate::end).unwrap_or_default();
        put_away(self.work, self.surroundings, wrong)
    }

    /// Everything of it that is in the engine.
    async fn remove(&self) -> Result<(), String> {
        remove(self.docker, self.name).await.map_err(|error| format!("its container could not be removed: {}", words::why(&error)))
    }
}

/// Removes a container with its volumes, whatever it does. What is not there is removed already.
pub(super) async fn remove(docker: &Docker, name: &str) -> Result<(), bollard::errors::Error> {
    let all = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let there = |result: Result<(), bollard::errors::Error>| match result {
        Err(error) if !words::is_status(&error, 404) => Err(error),
        _ => Ok(()),
    };
    there(docker.remove_container(name, Some(all)).await)?;
    there(docker.remove_volume(name, None::<RemoveVolumeOptions>).await)
}

/// Takes what the step leaves, unless something was wrong with it, and removes the rest.
fn put_away(work: Work<'_>, surroundings: Surroundings, wrong: Option<Outcome>) -> Result<Outcome, Outcome> {
    let collecting = Instant::now();
    let (outcome, found) = match wrong {
        Some(wrong) => (wrong, Collected::default()),
        None => match collect::all(work.store, &work.request.spec, &surroundings.places) {
            Ok(found) => (Outcome::Succeeded, found),
            Err(NotCollected::Step(reason)) => (Outcome::Failed { exit: Exit::None, reason }, Collected::default()),
            Err(NotCollected::Ours(reason)) => (infrastructure(reason), Collected::default()),
        },
    };
    let discarded = surroundings.discard(found.taken);
    *work.collected = found;
    let (discarded, scratch) = discarded.map_err(infrastructure)?;
    work.record.discarded = discarded;
    work.collected.rubbish = Some(scratch);
    work.record.phases.collect_us = micros(collecting);
    Ok(outcome)
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
