//! Scratch space that outlives nobody: a guard removes it, and what a killed process left is swept at the next start.
//!
//! Every process has a folder of its own with a lock file that it holds. The kernel lets go of the lock when the process ends, however it ends:
//! a folder whose lock can be taken belongs to a dead process. Making and sweeping exclude each other, so a folder is never seen without its lock.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::clean::{self, Removed};
use super::{Store, WorkspaceError};

#[derive(Debug)]
pub(super) struct ProcessFolder {
    pub(super) path: PathBuf,
    /// Held, never read. The kernel lets go of it when the last process that has it open has ended.
    lock: Option<File>,
}

impl ProcessFolder {
    pub(super) fn make(scratch: &Path) -> Result<Self, WorkspaceError> {
        let _gate = gate(scratch)?;
        let path =
            tempfile::Builder::new().prefix(&format!("{}-", std::process::id())).tempdir_in(scratch).map_err(WorkspaceError::at(scratch))?.keep();
        let lock = path.join("lock");
        let held = File::create(&lock).map_err(WorkspaceError::at(&lock))?;
        // Shared: whoever takes over from a process that was killed holds it as well.
        flock(&held, FlockOperation::NonBlockingLockShared).map_err(|error| WorkspaceError::at(&lock)(error.into()))?;
        Ok(Self { path, lock: Some(held) })
    }

    pub(super) fn joined(path: PathBuf, lock: OwnedFd) -> Self {
        Self { path, lock: Some(File::from(lock)) }
    }

    pub(super) fn lock(&self) -> Option<BorrowedFd<'_>> {
        self.lock.as_ref().map(File::as_fd)
    }
}

impl Drop for ProcessFolder {
    fn drop(&mut self) {
        // Whoever shares it and still lives holds the lock as well, and goes on. The last one removes it.
        self.lock = None;
        if File::open(self.path.join("lock")).is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            let _ = clean::remove(&self.path);
        }
    }
}

/// Nobody else makes or sweeps while this is held.
fn gate(scratch: &Path) -> Result<File, WorkspaceError> {
    let path = scratch.join(".gate");
    let gate = File::create(&path).map_err(WorkspaceError::at(&path))?;
    flock(&gate, FlockOperation::LockExclusive).map_err(|error| WorkspaceError::at(&path)(error.into()))?;
    Ok(gate)
}

/// Private space for one purpose. Dropping it removes it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    gone: bool,
}

impl Scratch {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it that belongs to whoever runs in a sandbox.
    pub fn folder(&self, store: &Store, name: &str) -> Result<PathBuf, WorkspaceError> {
        let path = self.path.join(name);
        store.shared.owner.folder(&path).map_err(WorkspaceError::at(&path))?;
        Ok(path)
    }

    /// Removes it now, and says how much that was.
    pub fn discard(mut self) -> Result<Removed, WorkspaceError> {
        self.gone = true;
        clean::remove(&self.path).map_err(WorkspaceError::at(&self.path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.gone {
            let _ = clean::remove(&self.path);
        }
    }
}

/// What a sweep took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Processes that had died without tidying up.
    pub processes: u64,
    pub files: u64,
    pub bytes: u64,
}

impl Store {
    pub fn scratch(&self) -> Result<Scratch, WorkspaceError> {
        self.scratch_named(&self.fresh_name())
    }

    /// Under a name (of a file) by which another process of the same folder can take it away when this one was killed.
    pub fn scratch_named(&self, name: &str) -> Result<Scratch, WorkspaceError> {
        let path = self.shared.process.path.join(name);
        fs::create_dir(&path).map_err(WorkspaceError::at(&path))?;
        Ok(Scratch { path, gone: false })
    }

    /// What was made under that name before, by a process that was killed.
    pub fn scratch_again(&self, name: &str) -> Scratch {
        Scratch { path: self.shared.process.path.join(name), gone: false }
    }

    /// The lock of another process's folder: who holds it keeps the folder from being swept when that process has ended. An error when the folder is gone.
    pub fn lock_of(folder: &Path) -> std::io::Result<File> {
        let lock = File::open(folder.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockShared)?;
        // It may have been swept between the two.
        fs::metadata(folder.join("lock"))?;
        Ok(lock)
    }

    /// Takes away what a process that was killed had by that name. Nothing of it lives any more.
    pub fn take_away(&self, name: &str) -> Result<(), WorkspaceError> {
        let path = self.shared.process.path.join(name);
        clean::remove(&path).map(drop).map_err(WorkspaceError::at(&path))
    }

    /// Removes what dead processes left, and snapshots of another boot.
    pub fn sweep(&self) -> Result<Swept, WorkspaceError> {
        let shared = &self.shared;
        let mut swept = Swept::default();
        let _gate = gate(&shared.scratch)?;
        for folder in folders(&shared.scratch)? {
            let alive = match File::open(folder.join("lock")) {
                Ok(lock) => flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err(),
                Err(_) => false,
            };
            if alive {
                continue;
            }
            let removed = clean::remove(&folder).map_err(WorkspaceError::at(&folder))?;
            swept.processes += 1;
            swept.files += removed.files;
            swept.bytes += removed.bytes;
        }
        let snapshots = shared.snapshots.parent().unwrap_or(&shared.snapshots);
        for folder in folders(snapshots)?.into_iter().filter(|folder| *folder != shared.snapshots) {
            clean::remove(&folder).map_err(WorkspaceError::at(&folder))?;
        }
        Ok(swept)
    }
}

fn folders(at: &Path) -> Result<Vec<PathBuf>, WorkspaceError> {
    let entries = fs::read_dir(at).map_err(WorkspaceError::at(at))?.filter_map(Result::ok);
    Ok(entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect())
}
