//! Going on with a container whose supervisor was killed: it does not need one to run, so its result need not be lost.
//!
//! The first supervisor writes down what the second needs (`Place::write_plan`), without environment, script and credentials: the container has those.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::models::{ContainerState, ContainerStateStatusEnum};
use serde::{Deserialize, Serialize};

use super::super::supervisor::request::{Home, Request};
use super::super::supervisor::{Work, infrastructure};
use super::image::Image;
use super::services::Stood;
use super::{Setup, words};
use crate::adapters::image::Found;
use crate::model::outcome::Outcome;

/// How long an engine that is just starting may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the first supervisor knew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) image: Image,
    pub(super) init: bool,
    /// Whether the workspace is an overlay; otherwise it is a copy.
    pub(super) overlay: bool,
    #[serde(default)]
    pub(super) services: Vec<Stood>,
    /// Milliseconds since 1970.
    deadline: u64,
}

impl Begun {
    pub(super) fn now(image: &Image, init: bool, overlay: bool, services: Vec<Stood>, left: Duration) -> Self {
        let deadline = u64::try_from((now() + left).as_millis()).unwrap_or(u64::MAX);
        Self { image: image.clone(), init, overlay, services, deadline }
    }

    /// How long it may still take.
    pub(super) fn left(&self) -> Duration {
        Duration::from_millis(self.deadline).saturating_sub(now())
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Lets a second supervisor go on, should there be need of one. Where it can not be written there is only one.
pub(super) fn write_plan(work: &Work<'_>, setup: &Setup, begun: Begun) {
    let mut request = Request::clone(work.request);
    request.spec.env.clear();
    request.spec.script.clear();
    request.spec.services.iter_mut().for_each(|service| service.env.clear());
    let setup = Setup { credentials: Found::default(), service_credentials: Vec::new(), begun: Some(begun), ..setup.clone() };
    request.home = Home::Container(Box::new(setup));
    request.said = 0;
    if let Ok(plan) = serde_json::to_vec(&request) {
        let _ = work.place.write_plan(&plan);
    }
}

/// Finds the container again, running or ended. An outcome where there is nothing to go on with.
pub(super) async fn find(docker: &Docker, name: &str, work: &mut Work<'_>) -> Result<(), Outcome> {
    work.record.started = work.place.may_have_started();
    let state = look(docker, name).await?;
    match state.status {
        Some(ContainerStateStatusEnum::CREATED) => {
            work.record.started = false;
            Err(infrastructure("its supervisor was killed before its container was started"))
        }
        // Neither can be told from a step's own end.
        Some(ContainerStateStatusEnum::EXITED) if matches!(state.exit_code, Some(137 | 143)) => {
            Err(infrastructure("it was killed while nobody watched it: was the container engine stopped?"))
        }
        _ => Ok(()),
    }
}

async fn look(docker: &Docker, name: &str) -> Result<ContainerState, Outcome> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        match docker.inspect_container(name, None).await {
            Ok(found) => return Ok(found.state.unwrap_or_default()),
            Err(error) if words::is_status(&error, 404) => return Err(infrastructure("its supervisor was killed, and its container is gone")),
            Err(error) if tokio::time::Instant::now() > until => {
                return Err(infrastructure(format!("its supervisor was killed, and the container engine does not answer: {}", words::why(&error))));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
