//! What a sandbox shall look like.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cgroup::Limits;

/// One process, and all that it may see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxSpec {
    pub isolation: Isolation,
    /// An absolute path inside, or a name looked up in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// All of the environment; nothing is added.
    pub env: BTreeMap<String, String>,
    /// Whose file tree it sees: an image's, or without one the host's tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<ImageRoot>,
    /// Inside.
    pub cwd: PathBuf,
    pub hostname: String,
    /// The file tree with a private writable layer: the workspace of a step.
    pub overlay: Option<Overlay>,
    /// Host paths shown read-only inside, besides the host's tools (`/usr`, `/bin`, `/lib*`, parts of `/etc`).
    pub read_only: Vec<Bind>,
    /// Host paths shown writable inside.
    pub writable: Vec<Bind>,
    /// Bytes of the private `/tmp`.
    pub tmp_size: u64,
    pub network: NetworkOf,
    /// Listen on 127.0.0.1 at this port **inside** the sandbox's network and hand the listening socket back out.
    pub listen: Option<u16>,
    /// What all of its processes together may take.
    #[serde(default)]
    pub limits: Limits,
    /// Protections, by the names in a record, without which the process must not begin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// What a test takes away to show that an attack succeeds without it. Never set outside tests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lifted: Vec<Protection>,
}

impl SandboxSpec {
    pub(super) fn keeps(&self, protection: Protection) -> bool {
        !self.lifted.contains(&protection)
    }
}

/// One of the walls around a process, for tests that take it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    Seccomp,
    Landlock,
    Rlimits,
    /// Lifted, the process keeps every capability **of its own user namespace**.
    Capabilities,
    NoNewPrivileges,
    /// Lifted, further user namespaces can be made inside.
    UserNamespaces,
    /// Lifted, PID 1 can be traced.
    Untraceable,
    /// Lifted, the process sees and may signal what its user may on the host. The host's `/proc` with it: no other one would be given.
    PidNamespace,
    IpcNamespace,
    /// Lifted, `/proc` is the host's.
    FreshProc,
    /// Lifted, all of `/proc` is there.
    MaskedProc,
    /// Lifted, what is bound may have devices in it.
    NoDevices,
    /// Lifted, the caller's keys are there.
    Keyring,
    /// Lifted, what the caller had left open stays open.
    Descriptors,
}

impl Protection {
    /// Whether it is built when nothing is known yet of what will run.
    pub(super) fn is_of_the_template(self) -> bool {
        matches!(self, Self::UserNamespaces | Self::PidNamespace | Self::IpcNamespace | Self::FreshProc | Self::MaskedProc)
    }
}

/// How far the process is kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// User, mount, PID, network, IPC and UTS namespaces, no capabilities, no new privileges.
    Full,
    /// None but a process group: `--allow-unisolated`, on machines that have no namespaces. With an overlay the lower trees are copied.
    None,
}

/// Whose network a process is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkOf {
    /// An empty one of its own, with loopback only.
    Own,
    Host,
    /// One that was made for several sandboxes (`PrivateNetwork`): they reach one another on its loopback, and nothing else.
    Shared,
}

/// A root of an image's layers, with a private writable one on top.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRoot {
    /// What holds the layers.
    pub folder: PathBuf,
    /// Trees below it, lowest first. The topmost one has a real folder at every place where something is mounted.
    pub lower: Vec<PathBuf>,
    /// As in an overlay.
    pub upper: PathBuf,
    pub work: PathBuf,
    /// Who the process is, as it sees itself. Outside it is the same unprivileged user as always.
    pub uid: u32,
    pub gid: u32,
    /// Made if it is not there.
    pub home: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Read-only trees, lowest first.
    pub lower: Vec<PathBuf>,
    /// An empty folder of the caller's for what is written, on the same file system as `work`.
    pub upper: PathBuf,
    pub work: PathBuf,
    /// Where it appears inside.
    pub target: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    pub source: PathBuf,
    pub target: PathBuf,
}
