//! The process that owns an invocation: it sets it up, starts it, keeps what it says, limits it, reaps it, and writes down what came of it. It is forked by the
//! nursery, has one thread and no runtime, and needs nobody: when tidegate dies, it goes on to the step's end and its absolute deadline.
//!
//! ```text
//! Request ─▶ surroundings (script, environment, paths) ─▶ sandbox::begin ─▶ watch (log, deadline, followers) ─▶ collect (values, outputs) ─▶ result, on disk
//!               scratch space, removed whatever happens ◀────────────────────────────────────────────────────────┘
//! ```
//!
//! Outputs are taken when the last process of the step is dead: nobody can change them meanwhile, and nothing in them is followed out of the workspace.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Instant;

use super::collect::{self, Collected, NotCollected};
use super::disk::{self, Quota};
use super::followers::Followers;
use super::log::Log;
use super::place::Place;
use super::request::Request;
use super::surroundings::{self, Surroundings};
use super::watch::{self, Course, Patience, Stopped};
use super::{hints, limits};
use super::{infrastructure, name_of};
use crate::adapters::executor::proxy::Proxy;
use crate::adapters::image::Image;
use crate::adapters::sandbox::{self, SandboxError, Standing, Waiting};
use crate::adapters::workspace::{Scratch, Store, WorkspaceError};
use crate::model::egress::Policy;
use crate::model::invocation::{Discarded, ImageRecord, InvocationRecord, InvocationResult};
use crate::model::outcome::{Exit, Outcome};

/// All of a supervisor's life. Its descriptors: the socket to tidegate, the lock of the record, and that of tidegate's scratch folder. With a sandbox that waits,
/// it has none to make.
pub fn supervise(descriptors: Vec<OwnedFd>, waiting: Option<Waiting>) -> ExitCode {
    let Ok([control, lock, scratch]) = <[OwnedFd; 3]>::try_from(descriptors) else { return ExitCode::FAILURE };
    let control = UnixStream::from(control);
    let Ok(request) = sandbox::read_message::<Request>(&control) else { return ExitCode::FAILURE };
    let place = Place::at(request.place.clone());
    let Ok(mut followers) = place.listen().and_then(|door| Followers::new(control, door, request.for_followers)) else { return ExitCode::FAILURE };
    let (result, rubbish) = Supervisor { place: &place, lock: lock.as_fd(), request: &request }.run(&mut followers, scratch, waiting);
    // Without a result the invocation is lost, which is what everybody then sees.
    let kept = place.keep(&result);
    // Only now: a closed socket and a free lock are the word that it is done.
    drop((followers, lock));
    // Nobody waits for this.
    let kept = kept.and_then(|file| place.sync(&file));
    drop(rubbish);
    if kept.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Supervisor<'a> {
    place: &'a Place,
    lock: BorrowedFd<'a>,
    request: &'a Request,
}

impl Supervisor<'_> {
    fn run(&self, followers: &mut Followers, scratch: OwnedFd, waiting: Option<Waiting>) -> (InvocationResult, (Option<Scratch>, Store)) {
        let request = self.request;
        let (executor, host_tools) = (name_of(request.isolation).to_owned(), request.host_tools.clone());
        let mut record = InvocationRecord { executor, host_tools, ..InvocationRecord::default() };
        record.chosen = Some(request.chosen.clone());
        record.image = request.image.as_ref().map(|image| ImageRecord { reference: image.reference.clone(), digest: image.digest.clone() });
        let mut collected = Collected::default();
        let store = Store::join(&request.state, request.owner, request.own.clone(), scratch);
        let outcome = match Log::make(&request.log, request.spec.limits.log, request.said) {
            Ok(mut log) => {
                let outcome = self.perform(&store, followers, waiting, &mut log, &mut record, &mut collected).unwrap_or_else(|outcome| outcome);
                let kept = log.finish();
                (record.log_bytes, record.log_dropped_bytes, record.log_digest) = (kept.bytes, kept.dropped, kept.digest);
                outcome
            }
            Err(error) => infrastructure(format!("its log {} can not be kept: {error}", request.log.display())),
        };
        let rubbish = collected.rubbish.take();
        let result = InvocationResult { outcome, record, artifacts: collected.artifacts, values: collected.values, layer: collected.layer };
        (result, (rubbish, store))
    }

    /// `Err` is an outcome as well: the early way out.
    fn perform(
        &self,
        store: &Store,
        followers: &mut Followers,
        waiting: Option<Waiting>,
        log: &mut Log,
        record: &mut InvocationRecord,
        collected: &mut Collected,
    ) -> Result<Outcome, Outcome> {
        let Request { spec, isolation, host_tools, required, asked_us, image, .. } = self.request;
        // As long as this is held, nobody removes the image.
        let _lease = image.as_ref().map(Image::lease).transpose().map_err(infrastructure)?;
        let patience = Patience { deadline: Instant::now().checked_add(spec.timeout.saturating_sub(self.request.took)), grace: spec.grace };
        let surroundings =
            Surroundings::make(store, &self.request.scratch, spec, image.as_ref(), host_tools, *isolation, required).map_err(infrastructure)?;
        record.phases.workspace_us = sandbox::monotonic_us().saturating_sub(*asked_us);

        let not_made = |error| match error {
            SandboxError::Program(why) if let Some(image) = image => {
                Outcome::Failed { exit: Exit::None, reason: hints::no_shell(&image.reference, &why) }
            }
            SandboxError::Program(why) => Outcome::Failed { exit: Exit::None, reason: why },
            other => infrastructure(other),
        };
        self.place.mark_started().map_err(|error| infrastructure(format!("its record can not be kept: {error}")))?;
        let mut cell = sandbox::begin(&surroundings.sandbox, self.lock, waiting).map_err(infrastructure)?;
        let policy = Policy::of(&spec.network);
        let mut proxy = None;
        let begun = |standing: &mut Standing| {
            if let (Some(policy), Some(listener)) = (&policy, standing.take_listener()) {
                // What asks meanwhile waits in the socket's queue.
                proxy = Some(Proxy::begin(listener, policy.clone(), self.lock)?);
            }
            Ok(())
        };
        let quota = Quota { bytes: spec.resources.disk.unwrap_or(surroundings::DISK), files: spec.limits.files };
        let mut disk = disk::Watch::new(surroundings.written(), quota);
        let Course { stopped, standing, ended } = watch::until_the_end(&mut cell, log, followers, patience, &mut disk, begun).map_err(|error| {
            record.started = matches!(error, SandboxError::Killed);
            not_made(error)
        })?;
        let excess = if let Stopped::TooMuch(excess) = stopped { Some(excess) } else { disk.measure() };
        drop(cell);
        let filtered = proxy.is_some();
        record.egress = proxy.map(Proxy::end).unwrap_or_default();
        if let Some(standing) = standing {
            record.started = true;
            record.phases.setup_us = standing.setup_us;
            record.phases.exec_us = standing.exec_us;
            record.isolation = limits::isolation(standing.isolation, filtered.then_some(policy.as_ref()).flatten());
            record.unheld = limits::unheld(&surroundings.sandbox.limits, policy.is_some(), &record.isolation);
            record.phases.run_us = ended.run_us;
        }
        record.cpu_user_us = ended.cpu_user_us;
        record.cpu_system_us = ended.cpu_system_us;
        record.peak_memory_bytes = ended.peak_memory_bytes;
        record.read_bytes = ended.read_bytes;
        record.written_bytes = ended.written_bytes;

        let collecting = Instant::now();
        let limits = &surroundings.sandbox.limits;
        let wrong = match (stopped, ended.exit) {
            (Stopped::TimedOut, _) => Some(Outcome::TimedOut { after_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX) }),
            (Stopped::Cancelled, _) => Some(Outcome::Cancelled { reason: "it was asked to stop".to_owned() }),
            (_, exit) if let Some(excess) = excess => Some(Outcome::Failed { exit, reason: limits::too_much_written(excess, quota) }),
            (_, Exit::Code(0)) => None,
            (_, exit) if let Some(reason) = limits::exceeded(ended.exceeded, exit, limits, quota) => Some(Outcome::Failed { exit, reason }),
            _ if !ended.is_known => Some(infrastructure("the sandbox was killed from outside; is the machine out of memory?")),
            (_, exit) => Some(Outcome::Failed { exit, reason: self.why(exit, log.tail()) }),
        };
        let (outcome, found, discarded) = self.put_away(store, surroundings, wrong);
        *collected = found;
        let (discarded, scratch) = discarded.map_err(infrastructure)?;
        record.discarded = discarded;
        collected.rubbish = Some(scratch);
        record.phases.collect_us = u64::try_from(collecting.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(outcome)
    }

    fn why(&self, exit: Exit, tail: &[u8]) -> String {
        match &self.request.image {
            Some(image) => hints::why_in_image(exit, tail, &image.reference),
            None => hints::why(exit, tail, &self.request.host_tools, &self.request.host_path),
        }
    }

    /// Takes what the step leaves, unless something was wrong with it, and removes the rest.
    fn put_away(
        &self,
        store: &Store,
        surroundings: Surroundings,
        wrong: Option<Outcome>,
    ) -> (Outcome, Collected, Result<(Discarded, Scratch), WorkspaceError>) {
        let (outcome, collected) = match wrong {
            Some(wrong) => (wrong, Collected::default()),
            None => match collect::all(store, &self.request.spec, &surroundings.places) {
                Ok(found) => (Outcome::Succeeded, found),
                Err(NotCollected::Step(reason)) => (Outcome::Failed { exit: Exit::None, reason }, Collected::default()),
                Err(NotCollected::Ours(reason)) => (infrastructure(reason), Collected::default()),
            },
        };
        let discarded = surroundings.discard(collected.taken);
        (outcome, collected, discarded)
    }
}
