//! How a step's container is made and started.

use std::time::Instant;

use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder};

use super::super::super::supervisor::infrastructure;
use super::super::shape::{self, Shape};
use super::super::surroundings::environment;
use super::super::voice::{Output, Voice};
use super::super::words;
use super::stay::{Stay, micros};
use crate::adapters::sandbox::{self, Limits};
use crate::model::outcome::Outcome;

impl Stay<'_> {
    /// Makes and starts it. What an engine lacks is done without, where that is possible: an overlay in its volumes, a first process that reaps,
    /// a control group of our choice.
    pub(super) async fn start(&mut self, limits: &Limits, asked: Instant) -> Result<Voice, Outcome> {
        if self.setup.engine.rootless || !rustix::process::geteuid().is_root() {
            self.surroundings.copy_instead(sandbox::outer_uid()).map_err(infrastructure)?;
        }
        loop {
            let (doing, error) = match self.try_to_start(limits, asked).await {
                Ok(output) => return Ok(Voice::of(self.docker, self.name, output)),
                Err(failed) => failed,
            };
            let why = words::why(&error);
            if self.init && (why.contains("init binary") || why.contains("docker-init")) {
                self.init = false;
            } else if self.surroundings.overlay.is_some() && why.contains("mount") && (why.contains("overlay") || why.contains(self.name)) {
                self.surroundings.copy_instead(sandbox::outer_uid()).map_err(infrastructure)?;
            } else if self.counter.parent().is_some() && why.contains("cgroup") {
                self.counter.give_up();
            } else {
                return Err(words::not_started(&error, &self.image.used.reference, doing));
            }
            self.remove().await.map_err(infrastructure)?;
        }
    }

    async fn try_to_start(&mut self, limits: &Limits, asked: Instant) -> Result<Output, (&'static str, bollard::errors::Error)> {
        let spec = &self.work.request.spec;
        let labels = self.setup.identity.labels(self.setup.run_of(spec), spec);
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
            group: self.counter.parent(),
            init: self.init,
        };
        let named = CreateContainerOptionsBuilder::default().name(self.name).build();
        self.docker.create_container(Some(named), shape.body()).await.map_err(|error| ("making the container", error))?;
        let all = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        // Before it starts: so nothing that it says can be missed.
        let attached = self.docker.attach_container(self.name, Some(all)).await.map_err(|error| ("attaching to the container", error))?;
        self.work.record.phases.setup_us = micros(asked);
        // One with services waits: it has not begun before they are ready.
        if spec.services.is_empty() {
            self.may_begin(spec.timeout).map_err(|error| ("writing its record", error.into()))?;
        }
        let starting = Instant::now();
        self.docker.start_container(self.name, None).await.map_err(|error| ("starting the container", error))?;
        self.work.record.phases.exec_us = micros(starting);
        Ok(attached.output)
    }
}
