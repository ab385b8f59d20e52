//! What can be wrong with a repository, and what to do about it.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("{} can not be opened: {why}", path.display())]
    NoFolder { path: PathBuf, why: String },
    #[error("not a git repository: {}; run `git init` and commit something, or name another folder with -C DIR", .0.display())]
    NotARepository(PathBuf),
    #[error(
        "the repository around {path} belongs to another user: run as its owner, or say that you trust it with `git config --global --add safe.directory {path}`",
        path = .0.display()
    )]
    NotYours(PathBuf),
    #[error("the repository {} has no commit yet: commit something first (`git add … && git commit`)", .0.display())]
    NoCommit(PathBuf),
    #[error("there is no file {path} in {place}")]
    NoFile { path: String, place: String },
    #[error("{path} is not in commit {commit}, only in the working tree: commit it, or run the working tree with --worktree")]
    OnlyInWorktree { path: String, commit: String },
    #[error("{path} is {size} bytes long; at most {limit} are read")]
    TooLong { path: String, size: u64, limit: u64 },
    #[error("{path} is not inside the repository: name a file by its path from the repository's top folder, without `..`")]
    Outside { path: String },
    #[error("{path} is not a file: {what}")]
    NotAFile { path: String, what: &'static str },
    #[error("the repository could not be read: {0}")]
    Git(String),
    #[error("{path} could not be read: {why}")]
    Read { path: String, why: String },
}

impl From<git2::Error> for SourceError {
    fn from(error: git2::Error) -> Self {
        Self::Git(super::clean(error.message()))
    }
}

impl SourceError {
    pub(super) fn opening(folder: &Path, error: &git2::Error) -> Self {
        match error.code() {
            git2::ErrorCode::NotFound => Self::NotARepository(folder.into()),
            git2::ErrorCode::Owner => Self::NotYours(folder.into()),
            _ => Self::Git(super::clean(error.message())),
        }
    }
}
