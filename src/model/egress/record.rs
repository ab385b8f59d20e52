//! What a step tried to reach, and what came of it.

use ::core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::policy::Blocked;

/// All of an invocation's attempts. Empty for a step with no network, and for one with all of it, where nobody looks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// Everything public was open, to find out what is needed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learning: bool,
    /// Equal ones counted together, in the order in which each was first made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Attempts that came when the list was full, and were not like any in it.
    #[serde(default)]
    pub more: u64,
    /// Whoever kept the list was killed: there were attempts that nobody knows of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

impl Egress {
    /// Different attempts that are kept.
    pub const LIMIT: usize = 1_000;

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// As it is written in the DNS, or an address; of what was not understood, its beginning.
    pub host: String,
    pub port: u16,
    pub verdict: Verdict,
    /// Those it had, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    pub count: u64,
    /// Bytes from the step.
    pub sent: u64,
    /// Bytes to it.
    pub received: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Allowed,
    Blocked {
        because: Blocked,
    },
    /// It was admitted, and could not be reached.
    Failed {
        why: String,
    },
}
