//! Declared outputs, stored under their content digest.

use serde::{Deserialize, Serialize};

use super::id::Digest;

/// One declared output file or folder of an invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The name it was declared under.
    pub name: String,
    /// Where it was in the workspace, relative, with `/` between parts.
    pub path: String,
    /// Over the contents: a file's bytes, or a folder's sorted listing of (path, mode, digest).
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    pub kind: ArtifactKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    File,
    Folder,
}
