//! Single files, by path: pipeline files, local actions.

use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use git2::{ErrorCode, ObjectType};

use super::{Source, SourceError};
use crate::model::id::CommitId;

/// Which state of the repository is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    Commit(CommitId),
    /// The working tree as it is.
    Worktree,
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Commit(commit) => write!(f, "commit {}", commit.short()),
            Self::Worktree => f.write_str("the working tree"),
        }
    }
}

/// The parts of a path that stays inside. A path through `.git` is no path of a repository.
fn inside(path: &str) -> Result<PathBuf, SourceError> {
    let outside = || SourceError::Outside { path: super::clean(path) };
    let mut relative = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) if !name.eq_ignore_ascii_case(".git") => relative.push(name),
            _ => return Err(outside()),
        }
    }
    if relative.as_os_str().is_empty() { Err(outside()) } else { Ok(relative) }
}

impl Source {
    /// A file's path from the repository's top folder, for a path as a person typed it, relative to `from`.
    pub fn relative(&self, from: &Path, path: &Path) -> Result<String, SourceError> {
        let outside = || SourceError::Outside { path: super::clean(&path.to_string_lossy()) };
        let whole = from.join(path);
        // The folder may be reached through links; the file itself need not exist (any more).
        let parent = whole.parent().and_then(|parent| parent.canonicalize().ok()).ok_or_else(outside)?;
        let relative = parent.strip_prefix(&self.root).map_err(|_| outside())?.join(whole.file_name().ok_or_else(outside)?);
        relative.to_str().map(str::to_owned).ok_or_else(outside)
    }

    /// One file's bytes, if it has at most `limit` of them. Links are not followed.
    pub fn read(&self, path: &str, revision: &Revision, limit: u64) -> Result<Vec<u8>, SourceError> {
        let relative = inside(path)?;
        match revision {
            Revision::Commit(commit) => self.read_committed(&relative, commit, limit),
            Revision::Worktree => self.read_worktree(&relative, limit),
        }
    }

    /// The names of the files right in a folder, sorted; none where there is no such folder.
    pub fn list(&self, folder: &str, revision: &Revision) -> Result<Vec<String>, SourceError> {
        let relative = inside(folder)?;
        let mut names: Vec<String> = match revision {
            Revision::Commit(commit) => {
                let tree = self.tree(commit)?;
                let Ok(entry) = tree.get_path(&relative) else { return Ok(Vec::new()) };
                let Ok(folder) = entry.to_object(&self.repository)?.peel_to_tree() else { return Ok(Vec::new()) };
                let files = folder.iter().filter(|entry| entry.kind() == Some(ObjectType::Blob));
                files.filter_map(|entry| entry.name().ok().map(str::to_owned)).collect()
            }
            Revision::Worktree => {
                let Ok(entries) = fs::read_dir(self.root.join(&relative)) else { return Ok(Vec::new()) };
                let files = entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
                files.filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
        };
        names.sort();
        Ok(names)
    }

    fn tree(&self, commit: &CommitId) -> Result<git2::Tree<'_>, SourceError> {
        Ok(self.repository.find_commit(git2::Oid::from_str(commit.as_str())?)?.tree()?)
    }

    fn read_committed(&self, path: &Path, commit: &CommitId, limit: u64) -> Result<Vec<u8>, SourceError> {
        let name = super::clean(&path.to_string_lossy());
        let tree = self.tree(commit)?;
        let entry = tree.get_path(path).map_err(|error| match error.code() {
            ErrorCode::NotFound if self.is_in_worktree(path) => SourceError::OnlyInWorktree { path: name.clone(), commit: commit.short().to_owned() },
            ErrorCode::NotFound => SourceError::NoFile { path: name.clone(), place: format!("commit {}", commit.short()) },
            _ => error.into(),
        })?;
        if entry.kind() != Some(ObjectType::Blob) {
            return Err(SourceError::NotAFile { path: name, what: "it is a folder" });
        }
        if entry.filemode() == 0o120_000 {
            return Err(SourceError::NotAFile { path: name, what: "it is a symbolic link, which is not followed" });
        }
        let (size, _) = self.repository.odb()?.read_header(entry.id())?;
        if size as u64 > limit {
            return Err(SourceError::TooLong { path: name, size: size as u64, limit });
        }
        Ok(self.repository.find_blob(entry.id())?.content().to_vec())
    }

    /// Whether a person sees it there, in their editor.
    fn is_in_worktree(&self, path: &Path) -> bool {
        !self.repository.is_bare() && fs::symlink_metadata(self.root.join(path)).is_ok_and(|kind| kind.is_file())
    }

    fn read_worktree(&self, path: &Path, limit: u64) -> Result<Vec<u8>, SourceError> {
        let name = super::clean(&path.to_string_lossy());
        let unreadable = |error: std::io::Error| SourceError::Read { path: name.clone(), why: error.to_string() };
        let mut whole = self.root.clone();
        for part in path.components() {
            whole.push(part);
            match fs::symlink_metadata(&whole) {
                Ok(kind) if kind.is_symlink() => {
                    return Err(SourceError::NotAFile { path: name, what: "a symbolic link is in its path, which is not followed" });
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(SourceError::NoFile { path: name, place: Revision::Worktree.to_string() });
                }
                Err(error) => return Err(unreadable(error)),
            }
        }
        // Asked before it is opened: opening a FIFO would wait for ever.
        let kind = fs::symlink_metadata(&whole).map_err(unreadable)?;
        if !kind.is_file() {
            return Err(SourceError::NotAFile { path: name, what: "it is a folder or something special" });
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(&whole).map_err(unreadable)?;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > limit {
            return Err(SourceError::TooLong { path: name, size: kind.len(), limit });
        }
        Ok(bytes)
    }
}
