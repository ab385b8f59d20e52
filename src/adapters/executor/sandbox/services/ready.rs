//! Waits until all services are ready.

use std::time::{Duration, Instant};

use super::super::super::supervisor::beside::LONGEST;
use super::super::super::supervisor::disk::{self, Quota};
use super::super::super::supervisor::ending::Patience;
use super::super::super::supervisor::followers::Followers;
use super::super::super::supervisor::log::Log;
use super::super::super::supervisor::{infrastructure, limits};
use super::one::One;
use super::{Services, wait};
use crate::adapters::sandbox::PrivateNetwork;
use crate::model::outcome::{Exit, Outcome};
use crate::model::service::Ready;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);
/// For an answer on a port: nothing is as near as this network.
const ANSWER: Duration = Duration::from_millis(200);

impl Services {
    /// `Err`: what comes of a step whose services are not.
    pub(in super::super) fn until_ready(
        &mut self,
        log: &mut Log,
        followers: &mut Followers,
        patience: Patience,
        disk: &mut disk::Watch,
        quota: Quota,
    ) -> Result<(), Outcome> {
        let begun = Instant::now();
        let last = begun + LONGEST;
        let last = patience.deadline.map_or(last, |deadline| deadline.min(last));
        loop {
            if self.attend(log) {
                followers.tell();
            }
            let Some(network) = &self.network else { return Ok(()) };
            self.all.iter_mut().for_each(|one| one.look(network));
            if let Some(gone) = self.all.iter().find(|one| one.is_gone() && one.ready_us.is_none()) {
                return Err(infrastructure(gone.early_end("it was ready").unwrap_or_default()));
            }
            let Some(waited_for) = self.all.iter().find(|one| one.ready_us.is_none()) else { return Ok(()) };
            if Instant::now() >= last {
                let reason = waited_for.not_ready(begun.elapsed());
                log.write(format!("[tidegate: {reason}]\n").as_bytes());
                followers.tell();
                return Err(infrastructure(reason));
            }
            if let Some(excess) = disk.look() {
                return Err(Outcome::Failed { exit: Exit::None, reason: limits::too_much_written(excess, quota) });
            }
            let heard = wait(followers.descriptors().chain(self.descriptors()), PAUSE);
            let of_followers = followers.descriptors().count();
            if heard[..of_followers].iter().any(|heard| *heard) && followers.hear() {
                return Err(Outcome::Cancelled { reason: "it was asked to stop".to_owned() });
            }
        }
    }
}

impl One {
    /// Whether it is ready by now.
    fn look(&mut self, network: &PrivateNetwork) {
        if self.ready_us.is_some() || !self.stands {
            return;
        }
        let ready = match self.ready() {
            None => true,
            Some(Ready::Port(port)) => network.answers(self.address(), *port, ANSWER),
            Some(Ready::Command(_)) => self.sign.as_ref().is_some_and(|sign| sign.symlink_metadata().is_ok()),
        };
        if ready {
            self.ready_us = Some(u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
}
