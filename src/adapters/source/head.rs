//! HEAD, and what is different from it.

use git2::{ErrorCode, Status, StatusOptions};

use super::{Source, SourceError, clean};
use crate::model::id::CommitId;

/// What is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub commit: CommitId,
    /// `refs/heads/main`; empty when HEAD is detached.
    pub reference: String,
    pub branch: Option<String>,
    /// The first line of the commit's message.
    pub subject: String,
    pub author: String,
    /// Paths that differ from the first parent; `None` for a commit without one, and past 10,000 of them.
    pub changed: Option<Vec<String>>,
}

/// How the working tree differs from HEAD, in files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dirty {
    pub modified: usize,
    pub added: usize,
    pub deleted: usize,
    pub untracked: usize,
}

impl Dirty {
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl std::fmt::Display for Dirty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [(self.modified, "modified"), (self.added, "added"), (self.deleted, "deleted"), (self.untracked, "untracked")];
        let words: Vec<_> = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        f.pad(&if words.is_empty() { "clean".to_owned() } else { words.join(", ") })
    }
}

const CHANGED_LIMIT: usize = 10_000;

impl Source {
    pub fn head(&self) -> Result<Head, SourceError> {
        let head = self.repository.head().map_err(|error| match error.code() {
            ErrorCode::UnbornBranch | ErrorCode::NotFound => SourceError::NoCommit(self.root.clone()),
            _ => error.into(),
        })?;
        let commit = head.peel_to_commit()?;
        let branch = head.is_branch().then(|| clean(&String::from_utf8_lossy(head.shorthand_bytes())));
        let reference = if branch.is_some() { clean(&String::from_utf8_lossy(head.name_bytes())) } else { String::new() };
        Ok(Head {
            commit: CommitId::new(commit.id().to_string()),
            reference,
            branch,
            subject: clean(&String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default())),
            author: clean(&String::from_utf8_lossy(commit.author().name_bytes())),
            changed: self.changed(&commit)?,
        })
    }

    /// The first line of a commit's message, and who wrote it.
    pub fn about(&self, commit: &CommitId) -> Option<(String, String)> {
        let commit = self.repository.find_commit(git2::Oid::from_str(commit.as_str()).ok()?).ok()?;
        let subject = clean(&String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()));
        let author = clean(&String::from_utf8_lossy(commit.author().name_bytes()));
        Some((subject, author))
    }

    /// The newest commit that is behind both.
    pub fn merge_base(&self, one: &CommitId, other: &CommitId) -> Option<CommitId> {
        let (one, other) = (git2::Oid::from_str(one.as_str()).ok()?, git2::Oid::from_str(other.as_str()).ok()?);
        Some(CommitId::new(self.repository.merge_base(one, other).ok()?.to_string()))
    }

    /// Paths that are different from an earlier commit, or from the first parent; `None` if that is not known, or too much.
    pub fn changed_since(&self, earlier: Option<&CommitId>, commit: &CommitId) -> Option<Vec<String>> {
        let find = |id: &CommitId| self.repository.find_commit(git2::Oid::from_str(id.as_str()).ok()?).ok();
        let commit = find(commit)?;
        match earlier {
            Some(earlier) => self.differing(&find(earlier)?, &commit).ok()?,
            None => self.changed(&commit).ok()?,
        }
    }

    fn changed(&self, commit: &git2::Commit<'_>) -> Result<Option<Vec<String>>, SourceError> {
        // A shallow clone knows of a parent that it does not have.
        let Ok(parent) = commit.parent(0) else { return Ok(None) };
        self.differing(&parent, commit)
    }

    fn differing(&self, earlier: &git2::Commit<'_>, commit: &git2::Commit<'_>) -> Result<Option<Vec<String>>, SourceError> {
        let diff = self.repository.diff_tree_to_tree(Some(&earlier.tree()?), Some(&commit.tree()?), None)?;
        if diff.deltas().len() > CHANGED_LIMIT {
            return Ok(None);
        }
        let mut paths: Vec<_> = diff
            .deltas()
            .flat_map(|delta| [delta.old_file().path_bytes(), delta.new_file().path_bytes()])
            .flatten()
            .map(|path| clean(&String::from_utf8_lossy(path)))
            .collect();
        paths.sort();
        paths.dedup();
        Ok(Some(paths))
    }

    /// What a run of the commit does not see. A bare repository is clean.
    pub fn dirty(&self) -> Result<Dirty, SourceError> {
        let mut dirty = Dirty::default();
        if self.repository.is_bare() {
            return Ok(dirty);
        }
        let mut options = StatusOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true).include_ignored(false).exclude_submodules(true);
        for entry in self.repository.statuses(Some(&mut options))?.iter() {
            let status = entry.status();
            if status.is_wt_new() {
                dirty.untracked += 1;
            } else if status.intersects(Status::WT_DELETED | Status::INDEX_DELETED) {
                dirty.deleted += 1;
            } else if status.is_index_new() {
                dirty.added += 1;
            } else if !status.is_ignored() && status != Status::CURRENT {
                dirty.modified += 1;
            }
        }
        Ok(dirty)
    }
}
