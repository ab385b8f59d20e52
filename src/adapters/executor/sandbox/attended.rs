//! A shell in the sandbox of a step, for a person who wants to know why it failed. It belongs to who asked for it: there is no record, no supervisor, no
//! deadline and no output, and when tidegate ends, however it does, it ends.

use std::os::fd::BorrowedFd;

use super::surroundings::Surroundings;
use super::{SandboxExecutor, Setup};
use crate::adapters::image::{Lease, Progress};
use crate::adapters::sandbox::{self, Isolation, Running};
use crate::model::invocation::InvocationSpec;
use crate::model::limits::Network;

/// What happens before the person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whence {
    /// Nothing.
    TheBeginning,
    /// The script runs until it stops.
    WhereItStops,
}

/// Everything of it is there as long as this is.
pub struct Attended {
    running: Running,
    _surroundings: Surroundings,
    /// Nobody removes the image that it stands on.
    _lease: Option<Lease>,
}

impl std::fmt::Debug for Attended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attended").field("running", &self.running).finish_non_exhaustive()
    }
}

impl Attended {
    /// Returns when nothing of it is left. May be given up and called again.
    pub async fn wait(&mut self) {
        let _ = self.running.wait().await;
    }

    pub fn kill(&self) {
        self.running.kill();
    }
}

impl SandboxExecutor {
    /// `terminal`: the end of a pair that was made for it, never the person's own: who has a terminal can read what is typed there. `term`: what it is like.
    /// `progress`: is told of an image that has to be pulled.
    pub async fn attend(
        &self,
        spec: &InvocationSpec,
        from: Whence,
        (term, terminal): (&str, BorrowedFd<'_>),
        progress: Progress<'_>,
    ) -> Result<Attended, String> {
        if self.setup.isolation == Isolation::None {
            return Err("a shell without isolation would be one on this machine: leave out --allow-unisolated, or open one yourself".to_owned());
        }
        if !spec.services.is_empty() || matches!(spec.network, Network::Only(_) | Network::Learn) {
            return Err("not supported yet: a shell for a step with `services` or a network of certain hosts".to_owned());
        }
        let (image, lease) = self.image_of(spec, progress).await.map_err(|error| error.to_string())?.unzip();
        let name = self.store.fresh_name();
        let Setup { host_tools, isolation, required, .. } = &self.setup;
        let mut surroundings =
            Surroundings::make(&self.store, &name, spec, image.as_ref(), host_tools, *isolation, required).map_err(|error| error.to_string())?;
        let from = if from == Whence::TheBeginning { "beginning" } else { "stop" };
        surroundings.run_instead(include_str!("attended.sh"), &[from, &plain(term)]).map_err(|error| error.to_string())?;
        let running = sandbox::spawn_on_terminal(&surroundings.sandbox, terminal).await.map_err(|error| error.to_string())?;
        Ok(Attended { running, _surroundings: surroundings, _lease: lease })
    }
}

/// The name of a kind of terminal.
fn plain(term: &str) -> String {
    let known = !term.is_empty() && term.len() <= 64 && term.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte));
    if known { term.to_owned() } else { "dumb".to_owned() }
}
