//! Security results, SARIF-shaped, and what of them is kept with an invocation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::Digest;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// One security result. Never holds the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finding {
    pub rule: String,
    pub severity: Severity,
    pub message: String,
    /// Relative to the repository.
    pub path: String,
    /// From 1; 0 where the whole file or its name is meant.
    pub line: u32,
    /// From 1; 0 where unknown.
    pub column: u32,
    /// The same for the same result in another commit, whatever its line.
    pub fingerprint: String,
}

/// What a step left in `$TIDEGATE_FINDINGS`. The file is kept as it was; the worst of what it says stand here too, for everybody who is told of the invocation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// All of it, among the stored outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Digest>,
    /// How many of each severity were read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<Severity, u64>,
    /// The worst first, and no more than [`Found::MOST`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worst: Vec<Finding>,
    /// Why nothing was read, or not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Found {
    /// As many, and as many bytes of text, are kept beside the file: they are in the journal.
    pub const MOST: usize = 500;
    pub const MOST_TEXT: usize = 256 << 10;

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn total(&self) -> u64 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// What a step left in `$TIDEGATE_SUMMARY`: Markdown of somebody who is not trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSummary {
    pub text: String,
    /// Bytes past the limit, which are not kept.
    #[serde(default)]
    pub dropped_bytes: u64,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl StepSummary {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
