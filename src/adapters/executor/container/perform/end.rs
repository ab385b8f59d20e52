//! What came of a step in a container, and what is done when it has ended: all of it is removed, then what it leaves is taken.

use std::time::Instant;

use super::super::super::supervisor::around::limits_of;
use super::super::super::supervisor::collect::Collected;
use super::super::super::supervisor::ending::Stopped;
use super::super::super::supervisor::{Work, hints, infrastructure, left, limits, taking};
use super::super::gate::Gate;
use super::super::remove::remove;
use super::super::surroundings::Surroundings;
use super::super::voice::Ended;
use super::super::{room, words};
use super::stay::{Stay, Stayed, micros};
use crate::adapters::sandbox::Exceeded;
use crate::model::outcome::{Exit, Outcome};

impl Stay<'_> {
    fn wrong_with(&self, stayed: &Stayed, trouble: &str) -> Option<Outcome> {
        let Stayed { course, out_of_memory, excess, quota, .. } = stayed;
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
                Some(Outcome::Failed { exit, reason: format!("{reason}{trouble}") })
            }
        }
    }

    /// An image without a shell, or of another machine: the engine's own first process finds that out when all has begun well.
    fn never_ran(&self, code: i32) -> Option<Outcome> {
        let tail = String::from_utf8_lossy(self.work.log.tail()).into_owned();
        let (image, engine) = (&self.image.architecture, &self.setup.engine.architecture);
        let reference = &self.image.used.reference;
        let said_by_init = words::said_by_init(&tail);
        let could_not = image != engine && matches!(code, 126 | 127);
        if !(said_by_init || could_not) {
            return None;
        }
        if image != engine || tail.to_lowercase().contains("exec format error") {
            return Some(infrastructure(format!(
                "the image {reference} is for another kind of machine (it says {image}, the engine {engine}): name one for this machine's architecture"
            )));
        }
        let reason = format!("the image {reference} has no /bin/sh, which `run` is executed by: name an image with a shell");
        Some(Outcome::Failed { exit: Exit::None, reason })
    }

    pub(super) async fn end(mut self, stayed: Result<Stayed, Outcome>) -> Result<Outcome, Outcome> {
        self.services.settle(self.docker).await;
        let wrong = match &stayed {
            Ok(stayed) => self.wrong_with(stayed, &self.services.trouble()),
            Err(outcome) => Some(outcome.clone()),
        };
        self.work.record.services = self.services.end(self.docker).await;
        if self.work.record.started {
            self.counter.note(self.work.record);
        }
        // What can not be removed now is found by the next sweep; the outcome stands.
        let _ = self.remove().await;
        self.counter.remove();
        self.work.record.egress = self.gate.take().and_then(Gate::end).unwrap_or_default();
        put_away(self.work, self.surroundings, wrong, stayed.ok().and_then(|stayed| stayed.deadline))
    }

    /// Everything of it that is in the engine.
    pub(super) async fn remove(&self) -> Result<(), String> {
        remove(self.docker, self.name).await.map_err(|error| format!("its container could not be removed: {}", words::why(&error)))
    }
}

/// Takes what the step leaves, unless something was wrong with it, and removes the rest.
fn put_away(work: Work<'_>, surroundings: Surroundings, wrong: Option<Outcome>, deadline: Option<Instant>) -> Result<Outcome, Outcome> {
    let collecting = Instant::now();
    left::take(work.store, &surroundings.places.answers, &work.request.spec.limits, work.record);
    let (outcome, found) = match wrong {
        Some(wrong) => (wrong, Collected::default()),
        None => taking::take(work.store, &work.request.spec, &surroundings.places, work.log, work.followers, taking::until(deadline)),
    };
    let discarded = surroundings.discard(found.taken);
    *work.collected = found;
    let (discarded, scratch) = discarded.map_err(infrastructure)?;
    work.record.discarded = discarded;
    work.collected.rubbish = Some(scratch);
    work.record.phases.collect_us = micros(collecting);
    Ok(outcome)
}
