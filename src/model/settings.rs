//! What the owner of a machine decides for everything that runs there: the settings file as plain data.

use serde::{Deserialize, Serialize};

/// Of an absent file everything is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    pub limits: Limits,
    /// Protections without which nothing runs, by the names that invocation records have for them.
    pub require: Vec<String>,
}

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
