//! What git leaves out of every commit: ignored and not tracked. Build folders, mostly, and they can be huge.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// Of the repository around a folder.
pub(super) struct Ignored {
    repository: git2::Repository,
    root: PathBuf,
    /// A file that is tracked is in the commit, whatever `.gitignore` says.
    tracked: BTreeSet<PathBuf>,
}

impl fmt::Debug for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ignored").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Ignored {
    /// `None` where there is no repository that git would read: then nothing is left out. Only one with a `.git`, which no commit can hold: a commit can
    /// very well hold `HEAD`, `objects`, `refs` and a `config`, and so look like a repository that ignores all of itself.
    pub(super) fn around(folder: &Path) -> Option<Self> {
        let repository = git2::Repository::discover(folder).ok()?;
        let root = repository.workdir()?.canonicalize().ok()?;
        std::fs::symlink_metadata(root.join(".git")).ok()?;
        if repository.path().canonicalize().ok()? == root {
            return None;
        }
        let index = repository.index().ok()?;
        let tracked = index.iter().map(|entry| PathBuf::from(String::from_utf8_lossy(&entry.path).into_owned())).collect();
        Some(Self { repository, root, tracked })
    }

    /// `path` is absolute and canonical.
    pub(super) fn leaves_out(&self, path: &Path, folder: bool) -> bool {
        let Ok(inside) = path.strip_prefix(&self.root) else { return false };
        let tracked = self.tracked.range(inside.to_path_buf()..).next().is_some_and(|next| next == inside || folder && next.starts_with(inside));
        if tracked || inside.as_os_str().is_empty() {
            return false;
        }
        let asked = if folder { inside.join("") } else { inside.to_path_buf() };
        self.repository.is_path_ignored(asked).unwrap_or(false)
    }
}
