//! Releases: immutable published versions of a function on one target.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::Digest;
use super::time::Timestamp;

/// Names a release by what is in it: the digest over the artifact **and** the effective configuration, so that a change of either is a new release
/// and a change of neither is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseId(Digest);

impl ReleaseId {
    pub fn new(digest: Digest) -> Self {
        Self(digest)
    }
    pub fn digest(&self) -> &Digest {
        &self.0
    }
    pub fn short(&self) -> &str {
        self.0.short()
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.short())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub id: ReleaseId,
    pub function: String,
    /// Counts up per function on its target, from 1: what people call it ("v3").
    pub version: u64,
    /// Digest of the artifact alone.
    pub artifact: Digest,
    pub published_at: Timestamp,
}
