//! What a repository's people let others do: the policy file as plain data. Who may what by it is `core::trust`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::egress::Rule;
use super::id::NodeId;
use super::limits::Resources;
use super::trust::{Permission, Trust};

/// Where it is, in the default branch and nowhere else.
pub const FILE: &str = ".tidegate/policy.yaml";

/// How long an approval is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Whether a file of the folder of pipelines is no pipeline but this. The second name is never read as one: it would be a policy that nobody obeys.
pub fn is_policy(name: &str) -> bool {
    matches!(name, "policy.yaml" | "policy.yml")
}

/// Of an absent file everything is left out; that is the safe way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Why nothing can be decided: there is a file, and it says nothing that could be obeyed. Then nobody may anything.
    pub closed: Option<String>,
    pub forks: Forks,
    pub pulls: Pulls,
    /// Least permission of whose pushes run without somebody's approval.
    pub push: Writers,
    pub commands: Commands,
    pub environments: BTreeMap<String, Environment>,
}

impl Policy {
    pub fn closed(why: impl Into<String>) -> Self {
        Self { closed: Some(why.into()), ..Self::default() }
    }
}

/// Pull requests from forks, and whatever else is not trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Forks {
    pub run: ForkRun,
    pub pipeline: Text,
    /// All that may be reached, whatever a step asks for.
    pub network: Vec<Rule>,
    /// Patterns of images; `None`: those that the base's pipeline names.
    pub images: Option<Vec<String>>,
    pub resources: Resources,
    pub timeout: Duration,
}

impl Default for Forks {
    fn default() -> Self {
        let resources = Resources { cpu: Some(2.0), memory: Some(4 << 30), pids: Some(512), disk: Some(4 << 30) };
        let (network, images, timeout) = (Vec::new(), None, Duration::from_secs(30 * 60));
        Self { run: ForkRun::Approval, pipeline: Text::Base, network, images, resources, timeout }
    }
}

/// When a stranger's commit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkRun {
    Never,
    /// When somebody has approved that very commit.
    Approval,
    /// Without approval if its author has had a change merged before.
    FirstTime,
}

/// Whose pipeline file is run, and whose actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// That of the branch that it wants to get into.
    Base,
    /// That of the commit which is run.
    Head,
}

/// Pull requests from branches of the repository itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulls {
    /// Who has less waits for approval.
    pub from: Permission,
    /// What is run for programs: what they bring in is mostly somebody else's.
    pub bots: Trust,
}

impl Default for Pulls {
    fn default() -> Self {
        Self { from: Permission::Write, bots: Trust::Untrusted }
    }
}

/// A least permission, `write` when nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writers(pub Permission);

impl Default for Writers {
    fn default() -> Self {
        Self(Permission::Write)
    }
}

/// What one can ask for in a comment, by a button or through the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deed {
    Run,
    Approve,
    Cancel,
    Promote,
    Rollback,
}

impl Deed {
    pub const ALL: [Self; 5] = [Self::Run, Self::Approve, Self::Cancel, Self::Promote, Self::Rollback];

    pub fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Approve => "approve",
            Self::Cancel => "cancel",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
        }
    }
}

/// The least permission for each deed, where it is not the usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commands(pub BTreeMap<Deed, Permission>);

impl Commands {
    pub fn least(&self, deed: Deed) -> Permission {
        self.0.get(&deed).copied().unwrap_or(match deed {
            Deed::Run | Deed::Approve | Deed::Cancel => Permission::Write,
            Deed::Promote | Deed::Rollback => Permission::Maintain,
        })
    }
}

/// Something that is deployed to. What is left out protects nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    pub approvers: Option<Approvers>,
    /// Patterns of branches that it takes; `None` of both: any.
    pub branches: Option<Vec<String>>,
    pub tags: Option<Vec<String>>,
    /// Between what was needed before and the start.
    pub wait: Duration,
    /// Whether who started a run may approve it as well.
    pub self_approval: bool,
    /// Patterns of functions that are deployed in this environment only.
    pub functions: Vec<String>,
}

/// Whose approval counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approvers {
    /// Anybody who may so much.
    AtLeast(Permission),
    Logins(Vec<String>),
}

/// What of an environment holds a node up: part of the plan, so that it is journaled with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    pub environment: String,
    /// `None`: nobody has looked it up in the policy. Such a node never starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<Approvers>,
    pub wait: Duration,
    pub self_approval: bool,
}

/// Somebody who says something about what waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Voice {
    /// At a forge, with what they might do in the repository when they said it.
    Forge {
        login: String,
        /// The login can be changed; this can not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        permission: Permission,
    },
    /// At the machine, with access to the state folder: as good as its owner.
    Machine { user: String },
}

/// What somebody says about what a run waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// `None`: about all that waits.
    pub environment: Option<String>,
    /// `None`: about every step that waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    pub by: Voice,
    pub verdict: Verdict,
    /// Said ahead, about all that comes to wait; else about what waits.
    pub ahead: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Approve,
    Reject { reason: String },
}

impl std::fmt::Display for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forge { login, .. } => f.write_str(login),
            Self::Machine { user } => write!(f, "{user} at the machine"),
        }
    }
}
