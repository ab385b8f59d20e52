//! What the owner of a machine decides for everything that runs there: the settings file as plain data.

use serde::{Deserialize, Serialize};

/// Of an absent file everything is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub limits: Limits,
    /// Protections without which nothing runs: names of [`PROTECTIONS`].
    pub require: Vec<String>,
    /// Whether sandboxes are kept ready for who asks next.
    pub warm: bool,
    pub prices: Prices,
}

impl Default for Settings {
    fn default() -> Self {
        Self { limits: Limits::default(), require: Vec::new(), warm: true, prices: Prices::default() }
    }
}

/// What can be required: the names that invocation records have for protections, but for those that are a step's own to choose (its network), and `cgroup` for
/// all limits that a control group holds.
pub const PROTECTIONS: [&str; 18] = [
    "seccomp",
    "landlock",
    "cgroup",
    "cgroup-memory",
    "cgroup-pids",
    "cgroup-cpu",
    "rlimits",
    "user-namespace",
    "mount-namespace",
    "pid-namespace",
    "ipc-namespace",
    "uts-namespace",
    "read-only-tools",
    "private-tmp",
    "no-capabilities",
    "no-new-privileges",
    "no-user-namespaces",
    "private-keyring",
];

/// What things cost. Whatever has no price costs nothing; without any there is no cost to speak of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    /// Of 1 GiB of memory for one second.
    pub gb_second: Option<Price>,
    /// Of one invocation whose process has begun.
    pub request: Option<Price>,
    pub cpu_second: Option<Price>,
    /// As people write it behind an amount.
    pub currency: Option<String>,
}

impl Prices {
    pub fn any(&self) -> bool {
        self.gb_second.or(self.request).or(self.cpu_second).is_some()
    }
}

/// In units of 10⁻¹²: what clouds charge for a request is too small for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(pub u64);

/// Invocations at once, over all processes that use one state folder. `None`: as many as there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub machine: Option<u32>,
    /// Of each repository.
    pub repository: Option<u32>,
    /// Of each pipeline file of each repository.
    pub pipeline: Option<u32>,
}

/// One thing that can be full, as far as whoever names it knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// `machine`, or a kind and a digest. No white space.
    pub name: String,
    /// So many at once.
    pub limit: u32,
}

/// Somebody in the queue for room, or who has got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// In the order of arrival; never given twice.
    pub number: u64,
    pub holds: bool,
    /// Room is needed in each.
    pub scopes: Vec<Scope>,
}
