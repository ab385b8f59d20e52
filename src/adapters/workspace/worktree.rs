//! The working tree as it is, for `--worktree`: what git tracks and what it would track, not what it ignores.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Component, Path};

use git2::{Repository, StatusOptions};

use super::{Scratch, Store, WorkspaceError};

impl Store {
    /// A copy of the working tree of the repository at `root`, in a folder named `tree` of the scratch that is returned. Links stay links: none is followed.
    pub fn snapshot_worktree(&self, root: &Path) -> Result<Scratch, WorkspaceError> {
        let repository = Repository::open(root)?;
        let top = repository.workdir().ok_or_else(|| WorkspaceError::Git("a bare repository has no working tree".to_owned()))?;
        let scratch = self.scratch()?;
        let tree = scratch.folder(self, "tree")?;
        let mut options = StatusOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true).include_ignored(false).include_unmodified(true).exclude_submodules(true);
        for entry in repository.statuses(Some(&mut options))?.iter() {
            if entry.status().is_ignored() {
                continue;
            }
            self.copy_one(top, &tree, Path::new(std::ffi::OsStr::from_bytes(entry.path_bytes())))?;
        }
        Ok(scratch)
    }

    fn copy_one(&self, top: &Path, tree: &Path, relative: &Path) -> Result<(), WorkspaceError> {
        let owner = self.shared.owner;
        let (mut from, mut to) = (top.to_path_buf(), tree.to_path_buf());
        for part in relative.components() {
            let Component::Normal(name) = part else { return Err(WorkspaceError::UnsafeName(relative.to_string_lossy().into_owned())) };
            super::snapshot::safe(name)?;
            from.push(name);
            to.push(name);
            // Deleted, or deleted since git looked.
            let Ok(kind) = fs::symlink_metadata(&from) else { return Ok(()) };
            let made = if kind.is_dir() {
                if to.is_dir() { Ok(()) } else { owner.folder(&to) }
            } else if kind.is_symlink() {
                // The link itself, also where git thinks of it as a folder with files: those are elsewhere, and not followed to.
                if fs::symlink_metadata(&to).is_ok() {
                    return Ok(());
                }
                return fs::read_link(&from)
                    .and_then(|target| symlink(target, &to))
                    .and_then(|()| owner.give(&to))
                    .map_err(WorkspaceError::at(&from));
            } else if kind.is_file() {
                fs::copy(&from, &to).and_then(|_| owner.give(&to))
            } else {
                Ok(()) // FIFOs, sockets and devices are nothing that git knows.
            };
            made.map_err(WorkspaceError::at(&from))?;
        }
        Ok(())
    }
}
