//! What is said over the control socket: one JSON document each way, over HTTP. The names are those of `Provider`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::{ProviderError, TrafficState};
use crate::model::fact::Batch;
use crate::model::function::Function;
use crate::model::id::Digest;
use crate::model::release::{Release, ReleaseId};
use crate::model::traffic::{Destination, TrafficSplit};

/// Changes when an older Tidegate could not understand a newer one.
pub const PROTOCOL: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum Call {
    Health,
    List,
    /// The host reads the artifact itself: it belongs to the same user.
    Publish {
        function: Box<Function>,
        artifact: PathBuf,
        digest: Digest,
    },
    Traffic {
        function: String,
    },
    Prewarm {
        release: Release,
        instances: u32,
    },
    Shift {
        function: String,
        split: TrafficSplit,
        expected: u64,
    },
    Observe {
        function: String,
        stable: Destination,
        canary: Destination,
        slow_over: Option<Duration>,
    },
    Probe {
        function: String,
        path: String,
        pinned: Option<Destination>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "kebab-case")]
pub enum Answer {
    Health(Health),
    Functions(Vec<FunctionStatus>),
    Release(Release),
    Traffic(TrafficState),
    ColdStarts(Vec<u64>),
    Revision(u64),
    Observed(Batch),
    Done,
}

pub type Outcome = Result<Answer, ProviderError>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub protocol: u32,
    pub version: String,
    pub pid: u32,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
}

/// A function as `tidegate serve` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionStatus {
    pub name: String,
    pub traffic: TrafficState,
    /// In the order of their versions.
    pub releases: Vec<Release>,
}

impl FunctionStatus {
    pub fn version(&self, id: &ReleaseId) -> Option<u64> {
        self.releases.iter().find(|release| release.id == *id).map(|release| release.version)
    }

    /// As people call it: "v3", or where it points to.
    pub fn name_of(&self, destination: &Destination) -> String {
        match destination {
            Destination::Release(id) => self.version(id).map_or_else(|| id.to_string(), |version| format!("v{version}")),
            other => other.to_string(),
        }
    }
}
