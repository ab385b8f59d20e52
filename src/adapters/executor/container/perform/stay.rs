//! One invocation's time in the engine, from its container's beginning to its end.

use std::time::{Duration, Instant};

use bollard::Docker;

use super::super::super::supervisor::around::{DISK, limits_of};
use super::super::super::supervisor::disk::{self, Quota};
use super::super::super::supervisor::ending::{Patience, Stopped};
use super::super::super::supervisor::{Work, infrastructure, limits};
use super::super::adopt::{self, Begun};
use super::super::counted::Counter;
use super::super::gate::Gate;
use super::super::image::Image;
use super::super::services::{Around, Meanwhile, Services};
use super::super::surroundings::Surroundings;
use super::super::voice::{self, Ended, Voice};
use super::super::watch::{Course, Running};
use super::super::{Setup, words};
use super::ALWAYS;
use crate::adapters::sandbox::{self, Limits};
use crate::model::limits::Network;
use crate::model::outcome::Outcome;

pub(super) struct Stay<'a> {
    pub(super) docker: &'a Docker,
    pub(super) setup: &'a Setup,
    pub(super) work: Work<'a>,
    pub(super) image: &'a Image,
    /// Its services' images, in their order.
    pub(super) beside: Vec<Image>,
    pub(super) name: &'a str,
    pub(super) surroundings: Surroundings,
    /// What it waits for, where it does.
    pub(super) gate: Option<Gate>,
    pub(super) services: Services,
    pub(super) counter: Counter,
    pub(super) init: bool,
}

pub(super) struct Stayed {
    pub(super) course: Course,
    pub(super) out_of_memory: bool,
    pub(super) excess: Option<disk::Excess>,
    pub(super) quota: Quota,
    /// `None`: further away than the clock reaches.
    pub(super) deadline: Option<Instant>,
}

impl Stay<'_> {
    pub(super) async fn run(&mut self) -> Result<Stayed, Outcome> {
        let asked = Instant::now();
        let limits = limits_of(&self.work.request.spec.resources);
        let mut voice = self.start(&limits, asked).await?;
        // What the engine takes to make a container is not the step's doing.
        let (begun, timeout) = (Instant::now(), self.work.request.spec.timeout);
        if !self.work.request.spec.services.is_empty() {
            self.stand_services(&limits, begun, &mut voice).await?;
        }
        self.go_on(voice, timeout.saturating_sub(begun.elapsed())).await
    }

    /// It runs, and waits until they are ready.
    async fn stand_services(&mut self, limits: &Limits, begun: Instant, voice: &mut Voice) -> Result<(), Outcome> {
        let request = self.work.request;
        let (spec, identity, engine, run) = (&request.spec, &self.setup.identity, &self.setup.engine, self.setup.run_of(&request.spec));
        let Some(hosts) = &self.surroundings.hosts else { return Err(infrastructure("the names of its services are missing")) };
        let labels = |service: &str| identity.labels_of_service(run, spec, service);
        let around = Around { docker: self.docker, spec, step: self.name, labels: &labels, hosts, limits, log: &request.log, named: engine.podman };
        self.services.begin(&around, &self.beside).await?;
        let patience = Patience { deadline: begun.checked_add(spec.timeout), grace: spec.grace };
        let quota = quota(&self.work);
        let mut disk = self.watch_disk(quota).await;
        let Work { log, followers, .. } = &mut self.work;
        let meanwhile = Meanwhile { log, followers, patience, disk: &mut disk, quota, step: voice };
        self.services.until_ready(self.docker, self.name, meanwhile).await?;
        self.may_begin(spec.timeout.saturating_sub(begun.elapsed())).map_err(infrastructure)
    }

    /// From here on it may do something; and somebody else may go on with it, but where its way out dies with this process.
    pub(super) fn may_begin(&self, left: Duration) -> std::io::Result<()> {
        self.work.place.mark_started()?;
        if !self.gate.as_ref().is_some_and(Gate::has_proxy) {
            let begun = Begun::now(self.image, self.init, self.surroundings.overlay.is_some(), self.services.stood(), left);
            adopt::write_plan(&self.work, self.setup, begun);
        }
        Ok(())
    }

    /// Opens its gate, and sees it to its end.
    pub(super) async fn go_on(&mut self, voice: Voice, timeout: Duration) -> Result<Stayed, Outcome> {
        let begun = Instant::now();
        if let (Some(gate), Some(at)) = (&mut self.gate, &self.surroundings.gate) {
            gate.open(self.docker, self.name, at).await.map_err(infrastructure)?;
        }
        let limits = limits_of(&self.work.request.spec.resources);
        let spec = &self.work.request.spec;
        let patience = Patience { deadline: begun.checked_add(timeout), grace: spec.grace };
        self.work.record.started = true;
        self.work.record.isolation = self.isolation();
        let filtered = matches!(spec.network, Network::Only(_) | Network::Learn);
        self.work.record.unheld = limits::unheld(&limits, filtered, &self.work.record.isolation);

        let quota = quota(&self.work);
        let mut disk = self.watch_disk(quota).await;
        let mut running = Running { docker: self.docker, name: self.name, voice, init: self.init };
        let Work { log, followers, .. } = &mut self.work;
        let course = running.until_the_end(log, followers, patience, &mut disk, &mut self.services).await;
        let mut course = course.map_err(infrastructure)?;
        self.work.record.phases.run_us = micros(begun);
        let excess = if let Stopped::TooMuch(excess) = course.stopped { Some(excess) } else { disk.measure() };
        let out_of_memory = self.look_again(&mut course).await;
        Ok(Stayed { course, out_of_memory, excess, quota, deadline: patience.deadline })
    }

    async fn watch_disk(&self, quota: Quota) -> disk::Watch {
        let mut folders = self.services.written(self.docker).await;
        // Its answers too: it may make files beside them.
        folders.extend([self.surroundings.places.upper.clone(), self.surroundings.places.answers.clone()]);
        disk::Watch::new(folders, quota)
    }

    /// Whether it failed for want of memory; and whether an engine that stops has ended it, which nobody hears from the step's side.
    async fn look_again(&self, course: &mut Course) -> bool {
        let Ended::Code(code @ 1..) = course.ended else { return false };
        match self.docker.inspect_container(self.name, None).await {
            Ok(found) => found.state.is_some_and(|state| state.oom_killed == Some(true)),
            Err(error) => {
                if words::is_gone(&error) && course.stopped == Stopped::ByItself && matches!(code, 137 | 143) {
                    course.ended = Ended::Unknown(voice::STOPPED.to_owned());
                }
                false
            }
        }
    }

    /// Who can change the workspace's files.
    pub(super) fn user(&self) -> String {
        if self.setup.engine.rootless {
            // Root inside is who runs the engine, which is who runs us.
            return "0:0".to_owned();
        }
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let (user, group) = sandbox::outer_uid().map_or(own, |outer| (outer, outer));
        format!("{user}:{group}")
    }

    fn isolation(&self) -> Vec<String> {
        let spec = &self.work.request.spec;
        let network = match spec.network {
            Network::Only(_) | Network::Learn => Some("egress-proxy"),
            Network::Open if spec.services.is_empty() => None,
            Network::None | Network::Open => Some("no-network"),
        };
        let own = ALWAYS.into_iter().chain(network).chain(self.setup.read_only.then_some("read-only-root")).map(str::to_owned);
        own.chain(self.setup.engine.holds.iter().cloned()).collect()
    }
}

fn quota(work: &Work<'_>) -> Quota {
    let spec = &work.request.spec;
    Quota { bytes: spec.resources.disk.unwrap_or(DISK), files: spec.limits.files }
}

pub(super) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
