//! What the owner of a machine decides for everything that runs there: the settings file as plain data.

use ::core::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::secret::SecretSource;

/// Of an absent file everything is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub limits: Limits,
    /// Protections without which nothing runs: names of [`PROTECTIONS`].
    pub require: Vec<String>,
    /// Whether sandboxes are kept ready for who asks next.
    pub warm: bool,
    pub prices: Prices,
    pub images: Images,
    pub server: Server,
    /// `None`: nothing of GitHub is listened to.
    pub github: Option<Github>,
}

/// How `serve` is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// Where webhooks and the API are listened for.
    pub listen: Option<SocketAddr>,
    /// As others reach it: what links begin with.
    pub url: Option<String>,
    /// Logins of people who may everything.
    pub admins: Vec<String>,
    /// Where traces of runs are sent to (OTLP over HTTP).
    pub traces: Option<String>,
    pub deliveries: Deliveries,
}

/// How long the bodies of deliveries are kept that have been handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deliveries {
    pub keep: Option<Duration>,
    /// Of all of them together.
    pub bytes: Option<u64>,
}

/// What of GitHub is believed, and as who it is spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Github {
    /// A delivery that is signed with any of them is GitHub's.
    pub webhook_secrets: Vec<SecretSource>,
    /// `None`: nothing is reported.
    pub login: Option<GithubLogin>,
    /// Of GitHub Enterprise, or of a test; `https://api.github.com` when left out.
    pub api: Option<String>,
    /// For people who log in.
    pub oauth: Option<GithubOauth>,
    /// The folder of the house's own templates for what is reported.
    pub templates: Option<PathBuf>,
    /// Whether findings go to code scanning as well.
    pub code_scanning: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GithubLogin {
    App { id: u64, key: SecretSource },
    Token(SecretSource),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GithubOauth {
    pub client: String,
    pub secret: SecretSource,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            require: Vec::new(),
            warm: true,
            prices: Prices::default(),
            images: Images::default(),
            server: Server::default(),
            github: None,
        }
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

/// What holds for images where the command line says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Images {
    pub pull: Option<Pull>,
    /// Bytes that are kept when another one was pulled.
    pub keep: Option<u64>,
}

/// When a registry is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    Missing,
    Always,
    Never,
}

/// What things cost. Whatever has no price costs nothing; without any there is no cost to speak of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
