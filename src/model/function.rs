//! Functions: what is deployed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A function's effective configuration. With an artifact's digest it makes a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    pub name: String,
    /// Lambda's names: `provided.al2023`, `python3.13`, …
    pub runtime: String,
    pub handler: String,
    /// Bytes.
    pub memory: u64,
    pub timeout: Duration,
    /// Invocations at once over all instances of one release; past it the gateway answers 429.
    pub concurrency: u32,
    /// Ordered, so that the digest is stable. Secrets are named here, never held.
    pub env: BTreeMap<String, EnvValue>,
    pub target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvValue {
    Plain(String),
    /// The name of a secret.
    Secret(String),
}

/// Where a function lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "kebab-case")]
pub enum Target {
    Local,
    Aws { region: String, role: Option<String>, alias: String },
    Gcp { project: String, region: String, service: Option<String> },
    Azure { subscription: String, group: String, app: String, slot: Option<String> },
}

impl Target {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Aws { .. } => "aws",
            Self::Gcp { .. } => "gcp",
            Self::Azure { .. } => "azure",
        }
    }
}
