//! Repositories, through libgit2: where one is, what its HEAD is, what is uncommitted, and single files of a commit or of the working tree.
//!
//! Changes nothing in a repository, runs no hook, no filter and no other program. Text from a repository (names, subjects) is cleaned of control
//! characters here, once, so that it can be shown anywhere.

mod error;
mod files;
mod head;
pub mod mirror;

use std::path::{Path, PathBuf};

pub use error::SourceError;
pub use files::Revision;
pub use head::{Dirty, Head};

use crate::model::id::CommitId;

use crate::model::text::clean;

/// One repository on this machine.
pub struct Source {
    repository: git2::Repository,
    root: PathBuf,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Source {
    /// The repository around a folder.
    pub fn discover(folder: &Path) -> Result<Self, SourceError> {
        let asked = folder.canonicalize().map_err(|error| SourceError::NoFolder { path: folder.into(), why: error.to_string() })?;
        let repository = git2::Repository::discover(&asked).map_err(|error| SourceError::opening(&asked, &error))?;
        let root = repository.workdir().unwrap_or_else(|| repository.path()).to_path_buf();
        Ok(Self { root: root.canonicalize().unwrap_or(root), repository })
    }

    /// The working tree's top folder; of a bare repository the repository itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the remote's default branch was when it was last asked.
    pub fn default_branch(&self) -> Option<CommitId> {
        let head = self.repository.find_reference("refs/remotes/origin/HEAD").ok()?;
        head.peel_to_commit().ok().map(|commit| CommitId::new(commit.id().to_string()))
    }

    /// What people call it: `owner/name` of its remote `origin`, or its folder's name.
    pub fn name(&self) -> String {
        let remote = self.repository.find_remote("origin").ok();
        let from_remote = remote.and_then(|remote| owner_and_name(&String::from_utf8_lossy(remote.url_bytes())));
        from_remote.unwrap_or_else(|| clean(&self.root.file_name().unwrap_or_default().to_string_lossy()))
    }
}

/// The last two parts of a URL's or path's: `https://host/owner/name.git`, `git@host:owner/name`.
fn owner_and_name(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix(".git").unwrap_or(url);
    let address = url.split_once("://").map(|(_, rest)| rest).or_else(|| url.contains('@').then_some(url))?;
    let mut parts = address.rsplit(['/', ':']);
    let (name, owner) = (parts.next()?, parts.next()?);
    // The host is no owner.
    parts.next()?;
    (!name.is_empty() && !owner.is_empty()).then(|| clean(&format!("{owner}/{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_called_after_its_origin() {
        for (url, name) in [
            ("https://github.com/acme/shop.git", Some("acme/shop")),
            ("git@github.com:acme/shop.git", Some("acme/shop")),
            ("ssh://git@example.com:22/team/acme/shop/", Some("acme/shop")),
            ("/srv/git/shop.git", None),
            ("https://example.com/shop", None),
        ] {
            assert_eq!(owner_and_name(url).as_deref(), name, "{url}");
        }
    }
}
