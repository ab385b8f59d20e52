//! Who files belong to.

use std::fs;
use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;

/// The user that a sandboxed process is outside, where that is not the caller itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner(pub(super) Option<u32>);

impl Owner {
    pub(super) fn give(self, path: &Path) -> io::Result<()> {
        self.0.map_or(Ok(()), |uid| lchown(path, Some(uid), Some(uid)))
    }

    /// A new folder of the owner's.
    pub(super) fn folder(self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        self.give(path)
    }
}
