//! What can go wrong with file trees.

use std::path::{Path, PathBuf};

use super::halt::is_halted;

#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("the repository could not be read: {0}")]
    Git(String),
    /// A commit can be made by hand with names that no file can have.
    #[error("the commit has an entry named {0:?}, which is no safe file name: it is not run")]
    UnsafeName(String),
    #[error("the commit has more than {limit} {what}: too much for a workspace")]
    TooMuch { what: &'static str, limit: u64 },
    #[error("it was stopped")]
    Halted,
}

impl WorkspaceError {
    /// Ties an error to its file: `.map_err(WorkspaceError::at(path))`.
    pub fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| if is_halted(&error) { Self::Halted } else { Self::File { path, why: error.to_string() } }
    }
}

impl From<git2::Error> for WorkspaceError {
    fn from(error: git2::Error) -> Self {
        Self::Git(error.message().to_owned())
    }
}
