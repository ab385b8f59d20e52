//! What runs invocations.

mod open;
mod sandbox;

pub use open::{AnyExecutor, Choice, Configuration, Refusal, open};
pub use sandbox::SandboxExecutor;

use crate::model::invocation::{InvocationResult, InvocationSpec};

/// Where the output of an invocation goes while it runs: called with every piece, in order, already cut to the log limit.
pub trait LogSink: Send {
    fn write(&mut self, bytes: &[u8]);
}

/// Runs one step once.
///
/// An executor never returns an error: what goes wrong is an outcome, so that it is journaled like every other
/// (`Infrastructure` when it was ours or the machine's fault). It leaves nothing behind but the stored outputs: no process, no mount, no file.
/// When `cancel` fires, everything of the invocation is killed and the outcome is `Cancelled`.
#[expect(async_fn_in_trait, reason = "used through the enum that `open` returns, never as a trait object: no auto traits are lost")]
pub trait Executor {
    async fn invoke(&self, spec: InvocationSpec, log: Box<dyn LogSink>, cancel: tokio::sync::watch::Receiver<bool>) -> InvocationResult;
}
