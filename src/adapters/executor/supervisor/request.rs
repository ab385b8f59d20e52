//! What a supervisor is asked, by a message on its socket: never on disk, as the environment of a step may hold secrets.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::{container, sandbox};
use crate::model::invocation::InvocationSpec;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Request {
    /// When tidegate asked, on the clock that all processes share.
    pub(in super::super) asked_us: u64,
    pub(in super::super) spec: InvocationSpec,
    pub(in super::super) home: Home,
    /// Why this executor runs it, for the record.
    pub(in super::super) chosen: String,
    /// Bytes that are in the log already, and stay there.
    pub(in super::super) said: u64,
    /// How much of its time was over when it was asked: its image had to be pulled.
    pub(in super::super) took: Duration,
    /// The `PATH` of whoever started tidegate: for a hint about a tool that is not found.
    pub(in super::super) host_path: String,
    pub(in super::super) state: PathBuf,
    /// Where it may write: the folder in the scratch space of the tidegate that asks.
    pub(in super::super) own: PathBuf,
    /// The name that its folder there shall have: whoever asks can take that away when the supervisor was killed.
    pub(in super::super) scratch: String,
    /// Who files must belong to for the step to be able to change them.
    pub(in super::super) owner: Option<u32>,
    /// The record's folder.
    pub(in super::super) place: PathBuf,
    /// The file for what the step says.
    pub(in super::super) log: PathBuf,
    /// Whether it shall end when nobody follows it any more.
    pub(in super::super) for_followers: bool,
}

/// What it shall live in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) enum Home {
    Sandbox(Box<sandbox::Setup>),
    Container(Box<container::Setup>),
}

impl Home {
    /// The executor's name.
    pub(in super::super) fn name(&self) -> &'static str {
        match self {
            Self::Sandbox(setup) => setup.name(),
            Self::Container(_) => container::NAME,
        }
    }

    pub(in super::super) fn host_tools(&self) -> Vec<PathBuf> {
        match self {
            Self::Sandbox(setup) => setup.host_tools.clone(),
            Self::Container(_) => Vec::new(),
        }
    }

    /// Whether all that is in the log already comes once more, from the first word on.
    pub(in super::super) fn says_it_again(&self) -> bool {
        matches!(self, Self::Container(setup) if setup.is_begun())
    }
}
