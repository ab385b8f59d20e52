//! Invocations: what is asked of an executor, and the record of what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::artifact::Artifact;
use super::build::ImageBuild;
use super::egress::Egress;
use super::finding::{Found, StepSummary};
use super::id::{Digest, InvocationId, NodeId, RunId};
use super::limits::{Network, Resources};
use super::outcome::Outcome;
use super::service::{Service, ServiceRecord};

/// Where a step sees its commit, whatever it runs in.
pub const WORKSPACE: &str = "/workspace";

/// Everything that an executor needs to run one step once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InvocationSpec {
    pub id: InvocationId,
    pub run: RunId,
    pub node: NodeId,
    pub attempt: u32,
    /// A shell script, run as `sh -eu` runs a file.
    pub script: String,
    /// All of the environment that the step declares; the executor adds `CI`, `PATH`, `HOME` and `TIDEGATE_*` and nothing of its own surroundings.
    pub env: BTreeMap<String, String>,
    /// Read-only file trees below the private writable layer, lowest first: the commit's snapshot, then the outputs of what the step needs.
    pub layers: Vec<PathBuf>,
    pub outputs: Vec<OutputDeclaration>,
    /// The container image that it runs in, as the file names it; without one it sees the host's tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The image that is made of what it leaves outside of its workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<ImageBuild>,
    /// Containers that run beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    pub timeout: Duration,
    pub network: Network,
    pub resources: Resources,
    pub limits: CaptureLimits,
    /// How long it has to end after TERM, before everything of it is killed.
    #[serde(default = "default_grace")]
    pub grace: Duration,
}

/// What a step has to tidy up when it is cancelled or its time is over.
pub fn default_grace() -> Duration {
    Duration::from_secs(10)
}

/// A file or folder that a step promises to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDeclaration {
    pub name: String,
    /// Relative to the workspace; checked not to leave it.
    pub path: String,
}

/// How much of what an invocation says and leaves is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureLimits {
    /// Bytes of log kept; what comes after is counted and dropped, with a line that says so.
    pub log: u64,
    /// Bytes of all outputs together.
    pub outputs: u64,
    /// Bytes of `TIDEGATE_OUTPUT`.
    pub values: u64,
    /// Files and folders that it may make in its workspace.
    #[serde(default = "most_files")]
    pub files: u64,
    /// Bytes of `TIDEGATE_FINDINGS`.
    #[serde(default = "most_findings")]
    pub findings: u64,
    /// Bytes of `TIDEGATE_SUMMARY`; what comes after is not kept.
    #[serde(default = "most_summary")]
    pub summary: u64,
}

fn most_findings() -> u64 {
    16 << 20
}

/// As much as one check of GitHub shows.
fn most_summary() -> u64 {
    64 << 10
}

fn most_files() -> u64 {
    1_000_000
}

impl Default for CaptureLimits {
    fn default() -> Self {
        Self { log: 64 << 20, outputs: 4 << 30, values: 1 << 20, files: most_files(), findings: most_findings(), summary: most_summary() }
    }
}

/// What came of one invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvocationResult {
    pub outcome: Outcome,
    pub record: InvocationRecord,
    /// Declared outputs, stored.
    pub artifacts: Vec<Artifact>,
    /// `key=value` lines of `TIDEGATE_OUTPUT`.
    pub values: BTreeMap<String, String>,
    /// Where the outputs stand as one more layer for those who need this step.
    pub layer: Option<PathBuf>,
}

/// What an invocation cost and how it was kept apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvocationRecord {
    pub executor: String,
    /// Why this executor: asked for, or chosen by `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// What it ran in, where that was an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRecord>,
    /// The protections that were in force, by name (`user-namespace`, `no-network`, …).
    pub isolation: Vec<String>,
    /// Protections and limits that this machine could not hold, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheld: Vec<String>,
    /// Folders of the host that it saw besides the host's usual tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_tools: Vec<PathBuf>,
    pub phases: Phases,
    /// Of these figures, those that nobody could measure are absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_user_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_system_us: Option<u64>,
    /// Of all processes together where a control group counts it, otherwise the largest resident set of any of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    pub log_bytes: u64,
    pub log_dropped_bytes: u64,
    /// Of the log's file; `None` where it could not be kept whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_digest: Option<Digest>,
    /// What it wrote outside of its outputs, which was thrown away.
    pub discarded: Discarded,
    /// Whether the step's first process had begun: what it did can have had effects.
    #[serde(default)]
    pub started: bool,
    /// Bytes that its processes had the machine read from storage (what was in memory already is none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    /// Bytes that its processes had the machine write to storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
    /// What it tried to reach.
    #[serde(default, skip_serializing_if = "Egress::is_empty")]
    pub egress: Egress,
    /// What ran beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceRecord>,
    /// What it found, as it says; also where it failed.
    #[serde(default, skip_serializing_if = "Found::is_empty")]
    pub found: Found,
    /// What it says of itself, in Markdown; also where it failed.
    #[serde(default, skip_serializing_if = "StepSummary::is_empty")]
    pub summary: StepSummary,
}

impl InvocationRecord {
    /// Processor time, for itself and in the kernel.
    pub fn cpu_us(&self) -> Option<u64> {
        Some(self.cpu_user_us?.saturating_add(self.cpu_system_us?))
    }
}

/// An image that something ran in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// In full, whatever the file leaves out.
    pub reference: String,
    /// What it stood for when it ran.
    pub digest: String,
}

impl ImageRecord {
    /// The same image for ever: its name without the tag, which may stand for another one by now, with the digest that it stood for.
    pub fn pinned(&self) -> String {
        let name = self.reference.split_once('@').map_or(self.reference.as_str(), |(name, _)| name);
        // A port is no tag.
        let name = match name.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => before,
            _ => name,
        };
        format!("{name}@{}", self.digest)
    }
}

/// Microseconds spent in each phase of an invocation, in order. Cold start is what lies between `queued` and `run`: waiting for room is not the sandbox's doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// From the decision to run it until the executor took it.
    pub queued_us: u64,
    /// Making the private workspace.
    pub workspace_us: u64,
    /// Namespaces, mounts, limits.
    pub setup_us: u64,
    /// From the sandbox standing until the step's process had been exec'd.
    pub exec_us: u64,
    /// The step itself.
    pub run_us: u64,
    /// Outputs, discards, clean-up.
    pub collect_us: u64,
}

impl Phases {
    pub fn cold_start_us(&self) -> u64 {
        self.workspace_us + self.setup_us + self.exec_us
    }
    pub fn total_us(&self) -> u64 {
        self.queued_us + self.cold_start_us() + self.run_us + self.collect_us
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    pub files: u64,
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_image_has_its_digest_and_no_tag() {
        let pinned = |reference: &str| ImageRecord { reference: reference.to_owned(), digest: "sha256:0f".to_owned() }.pinned();
        assert_eq!(pinned("docker.io/library/debian:12"), "docker.io/library/debian@sha256:0f");
        assert_eq!(pinned("127.0.0.1:5000/a/b"), "127.0.0.1:5000/a/b@sha256:0f");
        assert_eq!(pinned("127.0.0.1:5000/a/b:1"), "127.0.0.1:5000/a/b@sha256:0f");
        assert_eq!(pinned("ghcr.io/a/b:1@sha256:77"), "ghcr.io/a/b@sha256:0f");
    }
}
