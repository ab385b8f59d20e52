//! A commit's tree as files, written once for every tree that git knows by the same name.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid, Repository, Tree};

use super::own::Owner;
use super::{Scratch, Store, WorkspaceError};
use crate::model::id::CommitId;

/// A read-only file tree. Dropping it removes nothing: snapshots are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub path: PathBuf,
    /// Paths of submodules: their contents are another repository's and are not there.
    pub submodules: Vec<String>,
}

const FILES: u64 = 1_000_000;
const BYTES: u64 = 64 << 30;

impl Store {
    /// The tree of a commit of the repository at `root`.
    pub fn snapshot(&self, root: &Path, commit: &CommitId) -> Result<Snapshot, WorkspaceError> {
        let repository = Repository::open(root)?;
        let tree = repository.find_commit(Oid::from_str(commit.as_str())?)?.tree()?;
        let path = self.shared.snapshots.join(tree.id().to_string());
        let note = path.with_extension("submodules");
        if path.is_dir() {
            let noted = fs::read_to_string(&note).unwrap_or_default();
            return Ok(Snapshot { path, submodules: noted.lines().map(str::to_owned).collect() });
        }
        let scratch = self.scratch()?;
        let (made, submodules) = self.write(&repository, &tree, &scratch)?;
        if !submodules.is_empty() {
            fs::write(&note, submodules.join("\n")).map_err(WorkspaceError::at(&note))?;
        }
        match fs::rename(&made, &path) {
            // Somebody else was faster, with the same contents.
            Err(_) if path.is_dir() => {}
            other => other.map_err(WorkspaceError::at(&path))?,
        }
        Ok(Snapshot { path, submodules })
    }

    /// The tree of a commit as it is in the repository, whatever has become of its snapshot: in a folder named `tree` of the scratch that is returned. With
    /// the tree's name.
    pub fn snapshot_afresh(&self, root: &Path, commit: &CommitId) -> Result<(Scratch, String), WorkspaceError> {
        let repository = Repository::open(root)?;
        let tree = repository.find_commit(Oid::from_str(commit.as_str())?)?.tree()?;
        let scratch = self.scratch()?;
        self.write(&repository, &tree, &scratch)?;
        Ok((scratch, tree.id().to_string()))
    }

    fn write(&self, repository: &Repository, tree: &Tree<'_>, scratch: &Scratch) -> Result<(PathBuf, Vec<String>), WorkspaceError> {
        let made = scratch.folder(self, "tree")?;
        let mut writer = Writer { repository, owner: self.shared.owner, submodules: Vec::new(), files: 0, bytes: 0 };
        writer.folder(tree, &made, Path::new(""))?;
        Ok((made, writer.submodules))
    }
}

struct Writer<'a> {
    repository: &'a Repository,
    owner: Owner,
    submodules: Vec<String>,
    files: u64,
    bytes: u64,
}

impl Writer<'_> {
    fn folder(&mut self, tree: &Tree<'_>, at: &Path, relative: &Path) -> Result<(), WorkspaceError> {
        for entry in tree {
            let name = OsStr::from_bytes(entry.name_bytes());
            safe(name)?;
            let (path, relative) = (at.join(name), relative.join(name));
            match entry.kind() {
                Some(ObjectType::Tree) => {
                    self.owner.folder(&path).map_err(WorkspaceError::at(&path))?;
                    let below = entry.to_object(self.repository)?.peel_to_tree()?;
                    self.folder(&below, &path, &relative)?;
                }
                Some(ObjectType::Blob) => self.file(entry.id(), entry.filemode(), &path)?,
                _ => self.submodules.push(relative.to_string_lossy().escape_debug().to_string()),
            }
        }
        Ok(())
    }

    fn file(&mut self, id: Oid, mode: i32, path: &Path) -> Result<(), WorkspaceError> {
        let blob = self.repository.find_blob(id)?;
        self.files += 1;
        self.bytes += blob.size() as u64;
        if self.files > FILES {
            return Err(WorkspaceError::TooMuch { what: "files", limit: FILES });
        }
        if self.bytes > BYTES {
            return Err(WorkspaceError::TooMuch { what: "bytes", limit: BYTES });
        }
        let written = match mode {
            0o120_000 => symlink(OsStr::from_bytes(blob.content()), path),
            mode => {
                let mode = if mode == 0o100_755 { 0o755 } else { 0o644 };
                fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| file.write_all(blob.content()))
            }
        };
        written.and_then(|()| self.owner.give(path)).map_err(WorkspaceError::at(path))
    }
}

/// git refuses to make such entries; a tree can hold them all the same.
pub(super) fn safe(name: &OsStr) -> Result<(), WorkspaceError> {
    let bytes = name.as_bytes();
    let bad = bytes.is_empty()
        || bytes == b"."
        || bytes == b".."
        || bytes.eq_ignore_ascii_case(b".git")
        || bytes.iter().any(|byte| matches!(byte, b'/' | 0));
    if bad { Err(WorkspaceError::UnsafeName(name.to_string_lossy().into_owned())) } else { Ok(()) }
}
