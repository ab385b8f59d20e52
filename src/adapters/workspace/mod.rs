//! File trees for invocations: snapshots of commits, private scratch space, and stored outputs.
//!
//! ```text
//! STATE/snapshots/BOOT/TREE/     one commit's tree, written once: temporary folder, then rename. A tree that is there is whole.
//! STATE/scratch/PROCESS/N/       what one invocation writes; PROCESS/lock is held while the process lives
//! STATE/store/blobs/SHA256[.x]   contents of outputs, by digest (.x: executable)
//! STATE/store/layers/SHA256/     outputs of one invocation as a tree of hard links to blobs, to lay below those who need them
//! ```
//!
//! Nothing here is changed once it has its name, so nothing needs a lock but the making of scratch folders. Snapshots of another boot are dropped:
//! they are not synced when they are written, so only a machine that has not gone down since can vouch for them.

mod blobs;
mod clean;
mod error;
mod halt;
mod own;
mod scratch;
mod snapshot;
mod worktree;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use blobs::{StoredFile, stored};
pub use clean::{Removed, count, remove};
pub use error::WorkspaceError;
pub use halt::{Halt, is_halted};
pub use scratch::{Scratch, Swept};
pub use snapshot::Snapshot;

use own::Owner;

/// The trees of one state folder, as one process uses them.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    snapshots: PathBuf,
    blobs: PathBuf,
    layers: PathBuf,
    scratch: PathBuf,
    /// This process's own folder; its lock is held as long as this lives.
    process: scratch::ProcessFolder,
    owner: Owner,
    counter: AtomicU64,
}

impl Store {
    /// `owner`: who files must belong to so that a sandboxed process may change its copies of them (`sandbox::outer_uid`).
    pub fn open(state: &Path, owner: Option<u32>) -> Result<Self, WorkspaceError> {
        let owner = Owner(owner);
        let snapshots = state.join("snapshots").join(boot());
        let (blobs, layers, scratch) = (state.join(blobs::BLOBS), state.join("store/layers"), state.join("scratch"));
        for folder in [&snapshots, &blobs, &layers, &scratch] {
            std::fs::create_dir_all(folder).map_err(WorkspaceError::at(folder))?;
        }
        let process = scratch::ProcessFolder::make(&scratch)?;
        Ok(Self { shared: Arc::new(Shared { snapshots, blobs, layers, scratch, process, owner, counter: AtomicU64::new(0) }) })
    }

    /// The same trees for another process, which writes to the folder of the one that opened them (`Store::own`) and holds its lock with it: nothing in it is
    /// swept before both have ended.
    pub fn join(state: &Path, owner: Option<u32>, own: PathBuf, lock: OwnedFd) -> Self {
        let (blobs, layers, scratch) = (state.join(blobs::BLOBS), state.join("store/layers"), state.join("scratch"));
        let snapshots = state.join("snapshots").join(boot());
        let process = scratch::ProcessFolder::joined(own, lock);
        Self { shared: Arc::new(Shared { snapshots, blobs, layers, scratch, process, owner: Owner(owner), counter: AtomicU64::new(0) }) }
    }

    /// The folder that this process writes to, and its lock: what `join` needs.
    pub fn own(&self) -> (&Path, Option<BorrowedFd<'_>>) {
        (&self.shared.process.path, self.shared.process.lock())
    }

    /// A name in this process's folder that nobody else takes, whoever has joined.
    pub fn fresh_name(&self) -> String {
        format!("{}-{}", std::process::id(), self.shared.counter.fetch_add(1, Ordering::Relaxed))
    }
}

/// Names this boot of the machine.
pub fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id: String = id.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    if id.is_empty() { "unknown-boot".to_owned() } else { id }
}
