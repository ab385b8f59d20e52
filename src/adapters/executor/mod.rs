//! What runs invocations.

mod auto;
mod container;
mod mixed;
mod open;
mod proxy;
mod sandbox;
mod supervisor;
mod way;

use std::io;
use std::path::Path;

pub use auto::Auto;
pub use container::{ContainerExecutor, Engine, EngineError, Pull, find_engine};
pub use mixed::Mixed;
pub use open::{AnyExecutor, Choice, Configuration, Refusal, open};
pub use sandbox::{Attended, SandboxExecutor, Whence};
pub use supervisor::desk::Desk;
pub use supervisor::{Tampered, supervise, verify};
pub use way::{Way, Why};

use crate::model::id::{NodeId, RunId};
use crate::model::invocation::{InvocationResult, InvocationSpec};

/// Where the output of an invocation is shown while it runs: called with every piece, in order, already cut to the log limit.
pub trait LogSink: Send {
    fn write(&mut self, bytes: &[u8]);
}

/// Who follows an invocation.
pub struct Watcher {
    pub log: Box<dyn LogSink>,
    /// When it fires, everything of the invocation is asked to end, killed after its grace, and the outcome is `Cancelled`.
    pub cancel: tokio::sync::watch::Receiver<bool>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

/// What is known of an invocation that somebody began.
#[derive(Debug)]
pub enum Standing {
    Living,
    /// What came of it; `Infrastructure` when nobody is left who could say.
    Ended(Box<InvocationResult>),
}

/// Runs one step once.
///
/// An executor never returns an error: what goes wrong is an outcome, so that it is journaled like every other
/// (`Infrastructure` when it was ours or the machine's fault). It leaves nothing behind but the log, the stored outputs and, until `forget`, the result:
/// no process, no mount, no file.
///
/// An invocation does not need whoever asked for it: when that dies, or gives up the future, it goes on to its end and its deadline, and `resume` gives the
/// same result to whoever asks next.
#[expect(async_fn_in_trait, reason = "used through the enum that `open` returns, never as a trait object: no auto traits are lost")]
pub trait Executor {
    /// Where the records of its invocations are kept: what is known of them is the same whoever runs them.
    fn desk(&self) -> &Desk;
    /// Begins it. `log`: the file that it writes what the step says to; durable when the result is there. The same invocation is never begun twice.
    async fn invoke(&self, spec: InvocationSpec, log: &Path, watcher: Watcher) -> InvocationResult;
    /// What becomes of one that was begun, perhaps by a process that is dead.
    async fn resume(&self, run: &RunId, node: &NodeId, attempt: u32, log: &Path, watcher: Watcher) -> InvocationResult;
    /// What is known of one that was begun, without waiting for it.
    fn standing(&self, run: &RunId, node: &NodeId, attempt: u32) -> Standing {
        self.desk().standing(run, node, attempt)
    }
    /// Its result is in the journal, and is needed here no more.
    fn forget(&self, run: &RunId, node: &NodeId, attempt: u32) {
        self.desk().forget(run, node, attempt);
    }
    /// Runs that it keeps records of, each by the file name that stands for its id.
    fn recorded(&self) -> io::Result<Vec<String>> {
        self.desk().recorded()
    }
    /// Forgets all invocations of these runs that have ended. Answers how many still live.
    fn sweep(&self, runs: &[String]) -> io::Result<usize> {
        self.desk().sweep(runs)
    }
}
