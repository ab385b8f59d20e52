//! What runs beside a step in containers of its own: each has the network of the step's container, and nothing else of it. They are begun when that one runs and
//! waits at its gate, end with it, and belong to the same supervisor.
//!
//! ```text
//! the step's container (network: none, waits) ◀── shares its network ── NAME.db (127.0.1.1), NAME.cache (127.0.1.2)     /etc/hosts in all of them
//!     ├──▶ NODE.ATTEMPT.db.log, NODE.ATTEMPT.cache.log
//!     └──▶ ready? somebody listens on a port, or a command in the service's container has succeeded ─▶ the gate is opened
//! ```
//! Not a network of the engine's: such a one leads to the machine, its names are asked for at a server that may ask others, and it is there for everybody who
//! knows its name. This one has loopback only, as in the sandbox, and is gone with the last process in it.

mod one;
mod ports;
mod ready;

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::Docker;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::supervisor::beside::Early;
use super::super::supervisor::infrastructure;
use super::super::supervisor::log::Log;
use super::image::Image;
use crate::adapters::sandbox::Limits;
use crate::model::invocation::{ImageRecord, InvocationSpec};
use crate::model::outcome::Outcome;
use crate::model::service::{MAX_SERVICES, ServiceRecord};

use one::One;
pub(super) use ready::Meanwhile;

/// For an engine to say that what was removed has ended.
const PATIENCE: Duration = Duration::from_secs(30);

/// All of one step; mostly none.
pub(super) struct Services {
    all: Vec<One>,
    /// There is room for one of each.
    ends: mpsc::Receiver<End>,
}

/// One of them has ended.
#[derive(Debug)]
struct End {
    number: usize,
    early: Option<Early>,
}

/// What every one of them is made with.
pub(super) struct Around<'a> {
    pub(super) docker: &'a Docker,
    pub(super) spec: &'a InvocationSpec,
    /// The step's container.
    pub(super) step: &'a str,
    pub(super) labels: &'a (dyn Fn(&str) -> std::collections::HashMap<String, String> + Sync),
    pub(super) hosts: &'a std::path::Path,
    pub(super) limits: &'a Limits,
    /// The step's log, which theirs are beside.
    pub(super) log: &'a std::path::Path,
    /// The engine lets one that shares a network have a name of its own.
    pub(super) named: bool,
}

/// What another supervisor has to know of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stood {
    image: ImageRecord,
    ready_us: Option<u64>,
}

impl Services {
    pub(super) fn none() -> Self {
        Self { all: Vec::new(), ends: mpsc::channel(MAX_SERVICES).1 }
    }

    /// Lets each begin, all at once. `self` has then what there is of them, also when one could not.
    pub(super) async fn begin(&mut self, around: &Around<'_>, images: &[Image]) -> Result<(), Outcome> {
        let (says, ends) = mpsc::channel(MAX_SERVICES);
        self.ends = ends;
        let pairs = around.spec.services.iter().zip(images).enumerate();
        self.all =
            pairs.map(|(number, (service, image))| One::new(around, number, service, image)).collect::<Result<_, _>>().map_err(infrastructure)?;
        let begun = join_all(self.all.iter_mut().map(|one| one.begin(around, says.clone()))).await;
        begun.into_iter().collect::<Result<Vec<()>, String>>().map(drop).map_err(infrastructure)
    }

    /// Those that another supervisor has begun.
    pub(super) fn again(docker: &Docker, spec: &InvocationSpec, step: &str, stood: &[Stood], log: &std::path::Path) -> Self {
        let (says, ends) = mpsc::channel(MAX_SERVICES);
        let pairs = spec.services.iter().zip(stood).enumerate();
        let all = pairs
            .filter_map(|(number, (service, stood))| One::again(docker, (number, service), stood, (step, log, spec.limits.log), says.clone()).ok());
        Self { all: all.collect(), ends }
    }

    pub(super) fn stood(&self) -> Vec<Stood> {
        self.all.iter().map(One::stood).collect()
    }

    /// Returns when one of them has ended.
    pub(super) async fn an_end(&mut self) {
        let Some(End { number, early }) = self.ends.recv().await else { return std::future::pending().await };
        for one in self.all.iter_mut().filter(|one| one.number == number) {
            (one.over, one.early) = (true, early.clone());
        }
    }

    /// Tells the step's log of those that have ended, once.
    pub(super) fn tell(&mut self, log: &mut Log) {
        for one in &mut self.all {
            if let Some(end) = one.news() {
                log.write(format!("[tidegate: {end}]\n").as_bytes());
            }
        }
    }

    /// The step has ended: which of them had before it did.
    pub(super) async fn settle(&mut self, docker: &Docker) {
        for number in join_all(self.all.iter().map(|one| one.has_stopped(docker))).await.into_iter().flatten() {
            while self.all.iter().any(|one| one.number == number && !one.over) {
                if timeout(PATIENCE, self.an_end()).await.is_err() {
                    break;
                }
            }
        }
    }

    /// What may be the reason that a step has failed.
    pub(super) fn trouble(&self) -> String {
        self.all.iter().filter_map(|one| one.early_end("the step did")).map(|end| format!("; {end}")).collect()
    }

    /// Ends them all. Nothing of them is left when it returns, unless the engine is gone.
    pub(super) async fn end(&mut self, docker: &Docker) -> Vec<ServiceRecord> {
        // What can not be removed now is found by the next sweep.
        join_all(self.all.iter().map(|one| one.remove(docker))).await;
        let mut records = BTreeMap::new();
        for one in self.all.drain(..) {
            records.insert(one.number, one.record().await);
        }
        records.into_values().collect()
    }
}
