//! What the supervisor of an invocation in a container does. It has one thread and a runtime on it.
//!
//! ```text
//! Request ─▶ images (there, or pulled) ─▶ surroundings ─▶ volume, container, attached before it starts (stay.rs) ─▶ services, gate ─▶ watch
//!                                                                         result ◀─ collect ◀─ all of it removed (end.rs) ◀────────────┘
//! ```

mod end;
mod start;
mod stay;

use bollard::Docker;

use super::super::supervisor::{Work, infrastructure};
use super::adopt::{self, Begun};
use super::counted::Counter;
use super::gate::Gate;
use super::image::{self, Image};
use super::services::Services;
use super::surroundings::Surroundings;
use super::voice::Voice;
use super::{Setup, bell, words};
use crate::adapters::image::Found;
use crate::adapters::sandbox;
use crate::model::outcome::Outcome;

use stay::Stay;

/// What every container of ours has, by its names in a record.
pub(super) const ALWAYS: [&str; 5] = ["container", "network-namespace", "no-capabilities", "no-new-privileges", "rlimits"];

/// Runs the step, to its end.
pub(in super::super) fn perform(work: Work<'_>, setup: &Setup) -> Outcome {
    // Before there is a runtime: its proxy is a process that only a process with one thread can make.
    let gate = if setup.is_begun() { Ok(None) } else { Gate::closed(&work.request.spec, &setup.engine, work.lock) };
    let gate = match gate {
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
    let image = have_image(&docker, reference, setup, setup.credentials.clone(), &mut work).await?;
    work.record.image = Some(image.used.clone());
    let mut beside = Vec::new();
    for (service, found) in spec.services.iter().zip(&setup.service_credentials) {
        beside.push(have_image(&docker, &service.image, setup, found.clone(), &mut work).await?);
    }
    let surroundings = Surroundings::make(work.store, &work.request.scratch, spec).map_err(infrastructure)?;
    work.record.phases.workspace_us = sandbox::monotonic_us().saturating_sub(work.request.asked_us);

    let name = setup.identity.name(setup.run_of(spec), &spec.node, spec.attempt);
    let (services, counter) = (Services::none(), Counter::of(setup.engine.groups, &setup.identity, work.place.path()));
    let mut stay = Stay { docker: &docker, setup, work, image: &image, beside, name: &name, surroundings, gate, services, counter, init: true };
    let stayed = stay.run().await;
    stay.end(stayed).await
}

/// Goes on with what another supervisor has begun.
async fn take_over(docker: &Docker, mut work: Work<'_>, setup: &Setup, begun: &Begun) -> Result<Outcome, Outcome> {
    let spec = &work.request.spec;
    let name = setup.identity.name(setup.run_of(spec), &spec.node, spec.attempt);
    let surroundings = Surroundings::again(work.store, &work.request.scratch, spec, begun.overlay);
    work.record.image = Some(begun.image.used.clone());
    let found = adopt::find(docker, &name, &mut work).await;
    // What the other one has written there may have been lost with it.
    let gate = surroundings.gate.as_ref().map(|_| Gate::without_proxy());
    let services = Services::again(docker, spec, &name, &begun.services, &work.request.log);
    let (beside, counter) = (Vec::new(), Counter::of(setup.engine.groups, &setup.identity, work.place.path()));
    let mut stay = Stay { docker, setup, work, image: &begun.image, beside, name: &name, surroundings, gate, services, counter, init: begun.init };
    let stayed = match found {
        Ok(()) => stay.go_on(Voice::again(docker, &name), begun.left()).await,
        Err(outcome) => Err(outcome),
    };
    stay.end(stayed).await
}

/// Until the image is there, or somebody wants it to stop.
async fn have_image(docker: &Docker, reference: &str, setup: &Setup, found: Found, work: &mut Work<'_>) -> Result<Image, Outcome> {
    let (says, mut said) = tokio::sync::mpsc::channel(64);
    let mut say = |line: String| {
        // Nobody misses a line about progress among so many.
        let _ = says.try_send(line);
    };
    // Its timeout is between two words of the engine.
    let have = image::have(docker, reference, setup.pull, found, &mut say);
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
