//! Containers that run beside a step, on a network that only the two of them share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::invocation::ImageRecord;
use super::outcome::Exit;

/// As many may stand beside one step.
pub const MAX_SERVICES: usize = 16;

/// One of them, with everything known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Also the host name under which the step reaches it.
    pub name: String,
    pub image: String,
    /// Who its processes are, by the image's own list of users; without it, whom the image names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub env: BTreeMap<String, String>,
    /// How it is known to be ready; without it, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Ready>,
}

/// What must be so before the step begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// Somebody listens on it.
    Port(u16),
    /// A shell command, run inside the service, succeeds.
    Command(String),
}

impl Ready {
    /// `5432` is a port, everything else a command.
    pub fn parse(text: &str) -> Self {
        match text.trim().parse() {
            Ok(port) if port > 0 => Self::Port(port),
            _ => Self::Command(text.to_owned()),
        }
    }
}

/// What became of one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    pub name: String,
    pub image: ImageRecord,
    /// From the moment that it was begun until it was ready; `None`: it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_us: Option<u64>,
    /// How it ended, when that was before the step did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Exit>,
    pub log_bytes: u64,
    pub log_dropped_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_port_and_anything_else_a_command() {
        assert_eq!(Ready::parse("5432"), Ready::Port(5432));
        for command in ["pg_isready -h localhost", "70000", "0"] {
            assert_eq!(Ready::parse(command), Ready::Command(command.to_owned()));
        }
    }
}
