//! Invocations in the local sandbox.
//!
//! ```text
//! InvocationSpec ─▶ surroundings (script, environment, paths) ─▶ sandbox::spawn ─▶ stream (log, deadline, cancel) ─▶ collect (values, outputs) ─▶ result
//!                        scratch space, removed whatever happens ◀───────────────────────────────────────────────────────┘
//! ```
//!
//! Outputs are taken when the last process of the step is dead: nobody can change them meanwhile, and nothing in them is followed out of the workspace.

mod collect;
mod hints;
mod merged;
mod stream;
mod surroundings;
mod values;

use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::watch;

use super::{Executor, LogSink};
use crate::adapters::sandbox::{self, Isolation, SandboxError};
use crate::adapters::workspace::{Store, WorkspaceError};
use crate::model::invocation::{Discarded, InvocationRecord, InvocationResult, InvocationSpec};
use crate::model::limits::Network;
use crate::model::outcome::{Exit, Outcome};

use collect::Collected;
use stream::{Log, Stopped};
use surroundings::Surroundings;

#[derive(Debug)]
pub struct SandboxExecutor {
    store: Store,
    host_tools: Vec<PathBuf>,
    isolation: Isolation,
}

impl SandboxExecutor {
    pub fn new(store: Store, host_tools: Vec<PathBuf>, isolation: Isolation) -> Self {
        Self { store, host_tools, isolation }
    }

    pub fn isolation(&self) -> Isolation {
        self.isolation
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn infrastructure(reason: impl ToString) -> Outcome {
    Outcome::Infrastructure { reason: reason.to_string() }
}

impl Executor for SandboxExecutor {
    async fn invoke(&self, spec: InvocationSpec, log: Box<dyn LogSink>, cancel: watch::Receiver<bool>) -> InvocationResult {
        let mut record = InvocationRecord { executor: self.name().to_owned(), ..InvocationRecord::default() };
        let mut log = Log::new(log, spec.limits.log);
        let mut collected = Collected::default();
        let outcome = self.run(&spec, &mut log, cancel, &mut record, &mut collected).await.unwrap_or_else(|outcome| outcome);
        (record.log_bytes, record.log_dropped_bytes) = log.finish();
        InvocationResult { outcome, record, artifacts: collected.artifacts, values: collected.values, layer: collected.layer }
    }
}

impl SandboxExecutor {
    fn name(&self) -> &'static str {
        match self.isolation {
            Isolation::Full => "sandbox",
            Isolation::None => "unisolated",
        }
    }

    /// `Err` is an outcome as well: the early way out.
    async fn run(
        &self,
        spec: &InvocationSpec,
        log: &mut Log,
        cancel: watch::Receiver<bool>,
        record: &mut InvocationRecord,
        collected: &mut Collected,
    ) -> Result<Outcome, Outcome> {
        if let Network::Only(_) = spec.network {
            return Err(infrastructure(
                "a network of certain hosts only is not supported yet by the sandbox: say `network: none` or `network: open`",
            ));
        }
        let begun = Instant::now();
        let surroundings = Surroundings::make(&self.store, spec, &self.host_tools, self.isolation).map_err(infrastructure)?;
        record.phases.workspace_us = micros(begun);

        let mut running = sandbox::spawn(&surroundings.sandbox).await.map_err(|error| match error {
            SandboxError::Program(why) => Outcome::Failed { exit: Exit::None, reason: why },
            other => infrastructure(other),
        })?;
        record.started = true;
        record.phases.setup_us = running.setup_us;
        record.phases.exec_us = running.exec_us;
        record.isolation = std::mem::take(&mut running.isolation);
        let (stopped, ended) = stream::until_the_end(&mut running, log, stream::Patience { timeout: spec.timeout, grace: spec.grace }, cancel).await;
        drop(running);
        record.phases.run_us = ended.run_us;
        record.cpu_user_us = ended.cpu_user_us;
        record.cpu_system_us = ended.cpu_system_us;
        record.peak_memory_bytes = ended.peak_memory_bytes;
        record.read_bytes = ended.read_bytes;
        record.written_bytes = ended.written_bytes;

        let begun = Instant::now();
        let wrong = match (stopped, ended.exit) {
            (Stopped::TimedOut, _) => Some(Outcome::TimedOut { after_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX) }),
            (Stopped::Cancelled, _) => Some(Outcome::Cancelled { reason: "it was asked to stop".to_owned() }),
            (Stopped::ByItself, Exit::Code(0)) => None,
            (Stopped::ByItself, Exit::None) => Some(infrastructure("the sandbox was killed from outside; is the machine out of memory?")),
            (Stopped::ByItself, exit) => Some(Outcome::Failed { exit, reason: hints::why(exit, log.tail(), &self.host_tools) }),
        };
        let (store, spec) = (self.store.clone(), spec.clone());
        let put_away = tokio::task::spawn_blocking(move || put_away(&store, &spec, surroundings, wrong));
        let (outcome, found, discarded) = put_away.await.map_err(infrastructure)?;
        *collected = found;
        record.discarded = discarded.map_err(infrastructure)?;
        record.phases.collect_us = micros(begun);
        Ok(outcome)
    }
}

/// Takes what the step leaves, unless something was wrong with it, and removes the rest.
fn put_away(
    store: &Store,
    spec: &InvocationSpec,
    surroundings: Surroundings,
    wrong: Option<Outcome>,
) -> (Outcome, Collected, Result<Discarded, WorkspaceError>) {
    let (outcome, collected) = match wrong {
        Some(wrong) => (wrong, Collected::default()),
        None => match collect::all(store, spec, &surroundings.places) {
            Ok(found) => (Outcome::Succeeded, found),
            Err(collect::NotCollected::Step(reason)) => (Outcome::Failed { exit: Exit::None, reason }, Collected::default()),
            Err(collect::NotCollected::Ours(reason)) => (infrastructure(reason), Collected::default()),
        },
    };
    let discarded = surroundings.discard(collected.taken);
    (outcome, collected, discarded)
}
