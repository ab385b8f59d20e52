//! Finds secrets in files, offline.
//!
//! ```text
//! walk ─ file, name ─▶ window ─ 1 MiB of bytes ─▶ text ─ as it is, and UTF-16 unfolded ─▶ matcher ─ rules ─▶ Sighting
//! ```
//!
//! The rules (patterns, severities, what is allowed) come from the `nosecrets-rules` crate and a few of our own in `rules.toml`. They are matched on
//! bytes, so a file that looks binary is read like any other. Never follows a symbolic link, never looks into `.git`, and never keeps a secret: a
//! [`Sighting`] holds a digest, and a name with a secret in it is shown with the rule in its place.

mod ignored;
mod mask;
mod matcher;
mod name;
mod rules;
mod text;
mod walk;
mod window;

use std::path::PathBuf;

use crate::model::finding::Severity;

pub use mask::Masker;
pub use walk::scan;

/// Where a secret was seen. Holds nothing that it could be put together from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub rule: String,
    /// The rule in words.
    pub title: String,
    pub severity: Severity,
    /// A pattern that only the real thing has, as opposed to a value that looks random beside a telling word.
    pub sure: bool,
    /// As given on the command line, `/` between parts, without secrets and control characters.
    pub path: String,
    /// From 1; 0 for the name of the file.
    pub line: u32,
    /// From 1; 0 for the name of the file.
    pub column: u32,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
}

/// How much is looked at.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one file; what comes behind is named in [`Scan::unscanned`].
    pub file: u64,
    /// Files and folders.
    pub entries: usize,
    /// Folders in folders.
    pub depth: usize,
    /// Sightings kept; more are counted.
    pub sightings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file: 1 << 30, entries: 1_000_000, depth: 200, sightings: 1_000 }
    }
}

/// What a scan saw.
#[derive(Debug, Default)]
pub struct Scan {
    /// By path, line and column.
    pub sightings: Vec<Sighting>,
    /// Sightings past the limit.
    pub more: u64,
    pub files: u64,
    pub bytes: u64,
    /// Files and folders that git ignores and that are in no commit.
    pub ignored: u64,
    /// What could not be looked at, with the reason. A scan with such is not clean.
    pub unscanned: Vec<(String, String)>,
}

#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("there is no file or folder {}: name what is to be scanned", .0.display())]
    Missing(PathBuf),
    #[error("more than {0} files and folders: scan a part of them at a time")]
    TooMany(usize),
    #[error("the rules do not load: {0}; this is a fault of this build")]
    Rules(String),
}
