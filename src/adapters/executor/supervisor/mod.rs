//! What owns an invocation, whatever it lives in: a supervisor, a process that outlives tidegate.
//!
//! ```text
//! tidegate ──Request──▶ supervisor ──▶ sandbox or container ──▶ the step
//!     ▲                     │
//!     │                     ├──▶ log, a file ─────────────┐
//!     │                     └──▶ record: started, result ─┤ (place.rs)
//!     └──── follows both, asks it to stop ◀───────────────┘
//! ```
//! `desk.rs` is tidegate's side, everything else the supervisor's. How a step is run is the matter of `sandbox/` and `container/`.

pub(super) mod around;
pub(super) mod beside;
pub(super) mod collect;
pub(super) mod desk;
pub(super) mod disk;
pub(super) mod ending;
mod follow;
pub(super) mod followers;
pub(super) mod hints;
pub(super) mod left;
pub(super) mod limits;
pub(super) mod log;
mod merged;
pub(super) mod place;
pub(super) mod request;
pub(super) mod taking;
mod values;
mod verify;
mod weigh;
pub(super) mod wish;

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use super::{container, sandbox as sandboxed};
use crate::adapters::sandbox::{self, Waiting};
use crate::adapters::workspace::{Scratch, Store};
use crate::model::invocation::{InvocationRecord, InvocationResult};
use crate::model::outcome::Outcome;

pub use verify::{Tampered, verify};

use collect::Collected;
use followers::Followers;
use log::Log;
use place::Place;
use request::{Home, Request};

/// All of a supervisor's life. Its descriptors: the socket to tidegate, the lock of the record, and that of tidegate's scratch folder. With a sandbox that waits,
/// it has none to make.
pub fn supervise(descriptors: Vec<OwnedFd>, waiting: Option<Waiting>) -> ExitCode {
    let Ok([control, lock, scratch]) = <[OwnedFd; 3]>::try_from(descriptors) else { return ExitCode::FAILURE };
    let control = UnixStream::from(control);
    let Ok(request) = sandbox::read_message::<Request>(&control) else { return ExitCode::FAILURE };
    let place = Place::at(request.place.clone());
    let Ok(mut followers) = place.listen().and_then(|door| Followers::new(control, door, request.for_followers)) else { return ExitCode::FAILURE };
    let (result, rubbish) = run(&place, lock.as_fd(), &request, &mut followers, scratch, waiting);
    // Without a result the invocation is lost, which is what everybody then sees.
    let kept = place.keep(&result);
    // Only now: a closed socket and a free lock are the word that it is done.
    drop((followers, lock));
    // Nobody waits for this.
    let kept = kept.and_then(|file| place.sync(&file));
    drop(rubbish);
    if kept.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What whoever runs the step works with.
pub(super) struct Work<'a> {
    pub(super) place: &'a Place,
    pub(super) lock: BorrowedFd<'a>,
    pub(super) request: &'a Request,
    pub(super) store: &'a Store,
    pub(super) followers: &'a mut Followers,
    pub(super) log: &'a mut Log,
    pub(super) record: &'a mut InvocationRecord,
    pub(super) collected: &'a mut Collected,
}

fn run(
    place: &Place,
    lock: BorrowedFd<'_>,
    request: &Request,
    followers: &mut Followers,
    scratch: OwnedFd,
    waiting: Option<Waiting>,
) -> (InvocationResult, (Option<Scratch>, Store)) {
    let mut record =
        InvocationRecord { executor: request.home.name().to_owned(), host_tools: request.home.host_tools(), ..InvocationRecord::default() };
    record.chosen = Some(request.chosen.clone());
    let mut collected = Collected::default();
    if request.home.says_it_again() {
        // What can not make room is said twice.
        let _ = std::fs::File::create(&request.log);
    }
    let store = Store::join(&request.state, request.owner, request.own.clone(), scratch);
    let outcome = match Log::make(&request.log, request.spec.limits.log, request.said) {
        Ok(mut log) => {
            let work = Work { place, lock, request, store: &store, followers, log: &mut log, record: &mut record, collected: &mut collected };
            let outcome = match &request.home {
                Home::Sandbox(setup) => sandboxed::perform(work, setup, waiting),
                Home::Container(setup) => container::perform(work, setup),
            };
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

pub(super) fn infrastructure(reason: impl ToString) -> Outcome {
    Outcome::Infrastructure { reason: reason.to_string() }
}
