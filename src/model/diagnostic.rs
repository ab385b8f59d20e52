//! What is wrong with something that a person wrote, where, and what to do about it.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Error,
    Warning,
    Note,
}

/// One message about a file. Shown with a snippet by `report::diagnostics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub level: Level,
    /// Stable, kebab-case, listed in docs/errors.md: `unknown-key`, `cycle`, …
    pub code: String,
    /// One sentence: what is wrong.
    pub message: String,
    /// Where in the file's tree: `steps.build.needs[0]`; empty for the whole file.
    pub route: String,
    pub span: Option<Span>,
    /// Beside the marked place: what was expected.
    pub label: String,
    /// What to do, "did you mean", links between places.
    pub hints: Vec<String>,
}

/// A place in a text. Lines and columns count from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    /// One past the last character.
    pub end_column: u32,
}
