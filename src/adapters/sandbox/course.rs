//! What has become of a sandbox, put together from its reports as they come.

use std::os::fd::OwnedFd;

use super::cgroup::{Exceeded, Past};
use super::launch::SandboxError;
use super::sys;
use super::wire::{Report, Usage};
use crate::model::outcome::Exit;

#[derive(Debug)]
pub(super) struct Course {
    called_us: u64,
    started_us: u64,
    /// It stands: its process begins next, or has begun.
    pub(super) stands: bool,
    pub(super) standing: Standing,
    ended: Option<(u64, Exit, Usage)>,
    /// `ended` is the process's own end.
    is_known: bool,
    /// Nothing of it is left.
    pub(super) gone: bool,
    past: Past,
}

/// What a sandbox is like when its process begins.
#[derive(Debug, Default)]
pub struct Standing {
    /// From the call until the sandbox stood.
    pub setup_us: u64,
    /// From then until the process had been exec'd.
    pub exec_us: u64,
    /// The protections that are in force, by name.
    pub isolation: Vec<String>,
    /// Listens inside; not for everybody.
    pub(super) listener: Option<OwnedFd>,
}

/// How it ended, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub exit: Exit,
    /// Whether `exit` is the process's end. Where nobody was left to say it, it is that of the sandbox: killed from outside, or out of memory.
    pub is_known: bool,
    pub cpu_user_us: u64,
    pub cpu_system_us: u64,
    /// Of all processes together where a control group counts it, otherwise the largest resident set of any of them.
    pub peak_memory_bytes: u64,
    /// From and to storage.
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub run_us: u64,
    /// A limit that it ran into.
    pub exceeded: Option<Exceeded>,
}

impl Standing {
    /// The socket that listens inside, if one was asked for. It is whoever's takes it: nothing else keeps it open.
    pub fn take_listener(&mut self) -> Option<OwnedFd> {
        self.listener.take()
    }
}

impl Course {
    pub(super) fn begin() -> Self {
        Self {
            called_us: sys::monotonic_us(),
            started_us: 0,
            stands: false,
            standing: Standing::default(),
            ended: None,
            is_known: false,
            gone: false,
            past: Past::default(),
        }
    }

    /// Whether its process has begun by now; an error when it never will.
    pub(super) fn hear(&mut self, report: Report, descriptor: Option<OwnedFd>) -> Result<bool, SandboxError> {
        match report {
            Report::Ready { at_us, isolation } => {
                self.stands = true;
                let setup_us = at_us.saturating_sub(self.called_us);
                self.standing = Standing { setup_us, exec_us: 0, isolation, listener: descriptor };
            }
            Report::Started { at_us } => {
                self.started_us = at_us;
                self.standing.exec_us = at_us.saturating_sub(self.called_us + self.standing.setup_us);
            }
            Report::Failed(failure) if self.started_us == 0 => return Err(failure.into()),
            Report::Failed(_) => {}
            Report::Exited { at_us, exit, usage } => (self.ended, self.is_known) = (Some((at_us, exit, usage)), true),
            // Init's own end says something about the process only when init could not: it was killed. The helper has nothing left but to end.
            Report::Gone { at_us, exit, usage, past } => {
                (self.gone, self.past) = (true, past);
                self.ended = self.ended.or(Some((at_us, exit, usage)));
            }
        }
        Ok(self.started_us > 0)
    }

    pub(super) fn ended(&self) -> Ended {
        let (at_us, exit, usage) = self.ended.unwrap_or((sys::monotonic_us(), Exit::None, Usage::default()));
        Ended {
            exit,
            is_known: self.is_known,
            cpu_user_us: usage.user_us,
            cpu_system_us: usage.system_us,
            peak_memory_bytes: self.past.peak_memory_bytes.unwrap_or(usage.peak_bytes),
            read_bytes: usage.read_bytes,
            written_bytes: usage.written_bytes,
            exceeded: self.past.exceeded,
            run_us: at_us.saturating_sub(self.started_us),
        }
    }
}
