//! What runs beside a step: each service in a sandbox of its own, on a network that only they and the step share. They are begun before it, end with it, and
//! belong to the same supervisor; each sandbox's helper holds the invocation's lock.
//!
//! ```text
//! supervisor ──▶ PrivateNetwork ◀── db (127.0.1.1)  ◀── cache (127.0.1.2) ◀── the step     /etc/hosts in all of them
//!     ├──▶ NODE.ATTEMPT.db.log, NODE.ATTEMPT.cache.log
//!     └──▶ ready? somebody answers on a port, or a command in the service's sandbox has left its sign
//! ```

mod one;
mod ready;
mod room;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::supervisor::infrastructure;
use super::super::supervisor::log::Log;
use super::super::supervisor::request::Request;
use super::Setup;
use super::surroundings::Surroundings;
use crate::adapters::sandbox::{self, Cell, Isolation, PrivateNetwork, Waiting};
use crate::adapters::workspace::Store;
use crate::model::outcome::Outcome;
use crate::model::service::ServiceRecord;

use one::One;

/// All of one step; mostly none.
#[derive(Default)]
pub(super) struct Services {
    network: Option<PrivateNetwork>,
    all: Vec<One>,
}

impl Services {
    /// Lets each begin, and makes the step's sandbox one that shares their network.
    pub(super) fn begin(
        request: &Request,
        setup: &Setup,
        store: &Store,
        surroundings: &mut Surroundings,
        lock: BorrowedFd<'_>,
    ) -> Result<Self, Outcome> {
        let services = &request.spec.services;
        if services.is_empty() {
            return Ok(Self::default());
        }
        if setup.isolation == Isolation::None {
            return Err(infrastructure("services need isolation or an engine: leave `--allow-unisolated` out, see `tidegate doctor`"));
        }
        let network = PrivateNetwork::make().map_err(|error| infrastructure(format!("the network of the services could not be made: {error}")))?;
        let hosts = room::hosts(surroundings.scratch(), services).map_err(infrastructure)?;
        surroundings.share(hosts.clone());
        let mut begun = Self { network: Some(network), all: Vec::new() };
        for (number, service) in services.iter().enumerate() {
            let image = setup.services.get(number).ok_or_else(|| infrastructure("the image of a service is missing"))?;
            let room = room::make(store, surroundings, request, setup, number, image, hosts.clone()).map_err(infrastructure)?;
            let one = begun.network.as_ref().map(|network| One::begin(service, room, image, network, request, lock));
            begun.all.extend(one.transpose().map_err(|error| infrastructure(format!("the service {} could not be begun: {error}", service.name)))?);
        }
        Ok(begun)
    }

    /// Where what they write ends up on disk.
    pub(super) fn written(&self) -> impl Iterator<Item = PathBuf> {
        self.all.iter().map(|one| one.written.clone())
    }

    /// The step's own sandbox.
    pub(super) fn cell_of_the_step(&self, surroundings: &Surroundings, lock: BorrowedFd<'_>, waiting: Option<Waiting>) -> std::io::Result<Cell> {
        match &self.network {
            Some(network) => sandbox::begin_beside(&surroundings.sandbox, network, lock),
            None => sandbox::begin(&surroundings.sandbox, lock, waiting),
        }
    }

    /// Readable when there is something to `attend` to.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.all.iter().flat_map(One::descriptors)
    }

    /// Keeps what they have said by now. Of one that has ended, the step's log is told. Answers whether it was.
    pub(super) fn attend(&mut self, log: &mut Log) -> bool {
        let mut told = false;
        for one in &mut self.all {
            one.attend();
            if let Some(end) = one.news() {
                log.write(format!("[tidegate: {end}]\n").as_bytes());
                told = true;
            }
        }
        told
    }

    /// What may be the reason that a step has failed: services that had ended before it did.
    pub(super) fn trouble(&self) -> String {
        self.all.iter().filter_map(|one| one.early_end("the step did")).map(|end| format!("; {end}")).collect()
    }

    /// Ends them all. Nothing of them is left when it returns.
    pub(super) fn end(&mut self) -> Vec<ServiceRecord> {
        self.all.iter_mut().for_each(One::kill);
        loop {
            self.all.iter_mut().for_each(One::attend);
            if self.all.iter().all(One::is_gone) {
                break;
            }
            let _ = wait(self.descriptors(), Duration::from_millis(100));
        }
        self.all.drain(..).map(One::record).collect()
    }
}

/// However the step ends, and also when it never begins.
impl Drop for Services {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits until one of them is readable, and answers which are.
fn wait<'a>(descriptors: impl Iterator<Item = BorrowedFd<'a>>, patience: Duration) -> Vec<bool> {
    let mut polled: Vec<PollFd<'_>> = descriptors.map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)).collect();
    let _ = poll(&mut polled, Timespec::try_from(patience).ok().as_ref());
    polled.iter().map(|one| !one.revents().is_empty()).collect()
}
