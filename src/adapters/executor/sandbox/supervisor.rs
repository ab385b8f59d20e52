//! What the supervisor of an invocation in the sandbox does. It has one thread and no runtime.
//!
//! ```text
//! Request ─▶ surroundings (script, environment, paths) ─▶ sandbox::begin ─▶ watch (log, deadline, followers) ─▶ collect (values, outputs) ─▶ result, on disk
//!               scratch space, removed whatever happens ◀────────────────────────────────────────────────────────┘
//! ```
//!
//! Outputs are taken when the last process of the step is dead: nobody can change them meanwhile, and nothing in them is followed out of the workspace.

use std::time::Instant;

use super::super::supervisor::around::DISK;
use super::super::supervisor::collect::Collected;
use super::super::supervisor::disk::{self, Quota};
use super::super::supervisor::ending::{Patience, Stopped};
use super::super::supervisor::request::Request;
use super::super::supervisor::{Work, hints, infrastructure, left, limits, taking};
use super::Setup;
use super::build;
use super::services::Services;
use super::surroundings::Surroundings;
use super::watch::{self, Course};
use crate::adapters::executor::proxy::Proxy;
use crate::adapters::image::Image;
use crate::adapters::sandbox::{self, SandboxError, Standing, Waiting};
use crate::model::egress::Policy;
use crate::model::invocation::ImageRecord;
use crate::model::outcome::{Exit, Outcome};

/// Runs the step, to its end.
pub(in super::super) fn perform(work: Work<'_>, setup: &Setup, waiting: Option<Waiting>) -> Outcome {
    try_to(work, setup, waiting).unwrap_or_else(|outcome| outcome)
}

/// `Err` is an outcome as well: the early way out.
fn try_to(work: Work<'_>, setup: &Setup, waiting: Option<Waiting>) -> Result<Outcome, Outcome> {
    let Work { place, lock, request, store, followers, log, record, collected } = work;
    let Request { spec, asked_us, .. } = request;
    let Setup { isolation, host_tools, required, image, .. } = setup;
    // As long as these are held, nobody removes the images.
    let _leases = image.iter().chain(&setup.services).map(Image::lease).collect::<Result<Vec<_>, _>>().map_err(infrastructure)?;
    let patience = Patience { deadline: Instant::now().checked_add(spec.timeout.saturating_sub(request.took)), grace: spec.grace };
    let mut surroundings =
        Surroundings::make(store, &request.scratch, spec, image.as_ref(), host_tools, *isolation, required).map_err(infrastructure)?;
    record.image = image.as_ref().map(|image| ImageRecord { reference: image.reference.clone(), digest: image.digest.clone() });

    let image_build = spec.build.as_ref().map(|build| build::plan(build, image.as_ref())).transpose()?;
    let not_made = |error| match error {
        SandboxError::Program(why) if let Some(image) = image => {
            Outcome::Failed { exit: Exit::None, reason: hints::no_shell(&image.reference, &why) }
        }
        SandboxError::Program(why) => Outcome::Failed { exit: Exit::None, reason: why },
        other => infrastructure(other),
    };
    let mut services = Services::begin(request, setup, store, &mut surroundings, lock)?;
    let quota = Quota { bytes: spec.resources.disk.unwrap_or(DISK), files: spec.limits.files };
    let mut disk = disk::Watch::new(surroundings.watched().into_iter().chain(services.written()).collect(), quota);
    if let Err(outcome) = services.until_ready(log, followers, patience, &mut disk, quota) {
        record.services = services.end();
        return Err(outcome);
    }
    record.phases.workspace_us = sandbox::monotonic_us().saturating_sub(*asked_us);
    place.mark_started().map_err(|error| infrastructure(format!("its record can not be kept: {error}")))?;
    let mut cell = services.cell_of_the_step(&surroundings, lock, waiting).map_err(infrastructure)?;
    let policy = Policy::of(&spec.network);
    let mut proxy = None;
    let begun = |standing: &mut Standing| {
        if let (Some(policy), Some(listener)) = (&policy, standing.take_listener()) {
            // What asks meanwhile waits in the socket's queue.
            proxy = Some(Proxy::begin(listener, policy.clone(), lock)?);
        }
        Ok(())
    };
    let Course { stopped, standing, may_have_begun, ended } =
        watch::until_the_end(&mut cell, log, followers, patience, &mut disk, &mut services, begun).map_err(|error| {
            record.started = matches!(error, SandboxError::Killed);
            not_made(error)
        })?;
    let excess = if let Stopped::TooMuch(excess) = stopped { Some(excess) } else { disk.measure() };
    drop(cell);
    let trouble = services.trouble();
    record.services = services.end();
    let filtered = proxy.is_some();
    record.egress = proxy.map(Proxy::end).unwrap_or_default();
    record.started = may_have_begun;
    if let Some(standing) = standing {
        record.started = true;
        record.phases.setup_us = standing.setup_us;
        record.phases.exec_us = standing.exec_us;
        record.isolation = limits::isolation(standing.isolation, filtered.then_some(policy.as_ref()).flatten());
        record.unheld = limits::unheld(&surroundings.sandbox.limits, policy.is_some(), &record.isolation);
        record.phases.run_us = ended.run_us;
    }
    record.cpu_user_us = Some(ended.cpu_user_us);
    record.cpu_system_us = Some(ended.cpu_system_us);
    record.peak_memory_bytes = Some(ended.peak_memory_bytes);
    record.read_bytes = Some(ended.read_bytes);
    record.written_bytes = Some(ended.written_bytes);

    let collecting = Instant::now();
    let limits = &surroundings.sandbox.limits;
    let wrong = match (stopped, ended.exit) {
        (Stopped::TimedOut, _) => Some(Outcome::TimedOut { after_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX) }),
        (Stopped::Cancelled, _) => Some(Outcome::Cancelled { reason: "it was asked to stop".to_owned() }),
        (_, exit) if let Some(excess) = excess => Some(Outcome::Failed { exit, reason: limits::too_much_written(excess, quota) }),
        (_, Exit::Code(0)) => None,
        (_, exit) if let Some(reason) = limits::exceeded(ended.exceeded, exit, limits, quota) => Some(Outcome::Failed { exit, reason }),
        _ if !ended.is_known => Some(infrastructure("the sandbox was killed from outside; is the machine out of memory?")),
        (_, exit) => Some(Outcome::Failed { exit, reason: format!("{}{trouble}", why(exit, log.tail(), setup, &request.host_path)) }),
    };
    let wrong = wrong.or_else(|| image_build.and_then(|planned| build::make(&planned, spec, &surroundings, log, followers, patience).err()));
    left::take(store, &surroundings.places.answers, &spec.limits, record);
    let (outcome, found) = match wrong {
        Some(wrong) => (wrong, Collected::default()),
        None => taking::take(store, spec, &surroundings.places, log, followers, taking::until(patience.deadline)),
    };
    let discarded = surroundings.discard(found.taken);
    *collected = found;
    let (discarded, scratch) = discarded.map_err(infrastructure)?;
    record.discarded = discarded;
    collected.rubbish = Some(scratch);
    record.phases.collect_us = u64::try_from(collecting.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(outcome)
}

fn why(exit: Exit, tail: &[u8], setup: &Setup, host_path: &str) -> String {
    match &setup.image {
        Some(image) => hints::why_in_image(exit, tail, &image.reference),
        None => hints::why(exit, tail, &setup.host_tools, host_path),
    }
}
