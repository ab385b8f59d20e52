//! Outputs by content: a file goes in as a hard link where it can, and comes out as one. A stored file is never written to again.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::halt::Halt;
use super::{Store, WorkspaceError};
use crate::model::id::Digest;

/// The folder of all stored files.
pub(super) const BLOBS: &str = "store/blobs";

/// A file in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    pub path: PathBuf,
    pub digest: Digest,
    pub size: u64,
    pub executable: bool,
}

/// Where a state folder has the file with these contents, if it is none that can be executed.
pub fn stored(state: &Path, digest: &Digest) -> PathBuf {
    state.join(BLOBS).join(digest.hex())
}

impl Store {
    /// Takes a file in. `mine`: a scratch file that nobody writes to any more, which is linked; otherwise it is copied.
    /// Only the bit that makes a file executable is kept of its mode.
    pub fn take_in(&self, file: &Path, mine: bool, halt: Halt<'_>) -> Result<StoredFile, WorkspaceError> {
        // In this process's own folder, so that a half-written copy is swept.
        let own = self.shared.process.path.join(format!("blob-{}", self.fresh_name()));
        let taken = self.try_take_in(file, mine, &own, halt);
        if taken.is_err() {
            // As much as it may be, at once.
            let _ = fs::remove_file(&own);
        }
        taken.map_err(WorkspaceError::at(file))
    }

    fn try_take_in(&self, file: &Path, mine: bool, own: &Path, halt: Halt<'_>) -> io::Result<StoredFile> {
        let executable = fs::symlink_metadata(file)?.mode() & 0o111 != 0;
        // A file may have as many names already as the file system allows.
        if !mine || fs::hard_link(file, own).is_err() {
            copy(file, own, halt)?;
        }
        self.keep(own, executable, halt)
    }

    /// Bytes as a file of the store.
    pub fn take_in_bytes(&self, bytes: &[u8]) -> Result<StoredFile, WorkspaceError> {
        let own = self.shared.process.path.join(format!("blob-{}", self.fresh_name()));
        fs::write(&own, bytes).and_then(|()| self.keep(&own, false, Halt::NEVER)).map_err(WorkspaceError::at(&own))
    }

    /// Gives a file of this process's own folder its name in the store.
    fn keep(&self, own: &Path, executable: bool, halt: Halt<'_>) -> io::Result<StoredFile> {
        let shared = &self.shared;
        fs::set_permissions(own, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
        shared.owner.give(own)?;
        let (digest, size) = digest(own, halt)?;
        let path = shared.blobs.join(format!("{}{}", digest.hex(), if executable { ".x" } else { "" }));
        if path.exists() {
            fs::remove_file(own)?;
        } else {
            File::open(own)?.sync_all()?;
            fs::rename(own, &path)?;
            File::open(&shared.blobs)?.sync_all()?;
        }
        Ok(StoredFile { path, digest, size, executable })
    }

    /// Puts a stored file at a place in a layer that grows: as one more link, or as a copy where the file system has no more links for it. A file that
    /// everybody has (the empty one) comes to that.
    pub fn lay_out(&self, stored: &StoredFile, place: &Path) -> Result<(), WorkspaceError> {
        let laid = fs::hard_link(&stored.path, place).or_else(|error| match error.kind() {
            io::ErrorKind::TooManyLinks => {
                fs::copy(&stored.path, place).and_then(|_| self.shared.owner.give(place)).and_then(|()| File::open(place)?.sync_all())
            }
            _ => Err(error),
        });
        laid.map_err(WorkspaceError::at(place))
    }

    /// Gives a finished tree (a folder of a scratch, made of hard links to stored files) its name among the layers. On disk when it returns.
    pub fn keep_layer(&self, tree: &Path, digest: &Digest) -> Result<PathBuf, WorkspaceError> {
        let path = self.shared.layers.join(digest.hex());
        if !path.is_dir() {
            sync_folders(tree).map_err(WorkspaceError::at(tree))?;
        }
        match fs::rename(tree, &path) {
            Err(_) if path.is_dir() => {}
            other => other.map_err(WorkspaceError::at(&path))?,
        }
        File::open(&self.shared.layers).and_then(|layers| layers.sync_all()).map_err(WorkspaceError::at(&path))?;
        Ok(path)
    }

    /// An empty file that belongs to whoever runs in a sandbox.
    pub fn make_file(&self, path: &Path) -> Result<(), WorkspaceError> {
        File::create_new(path).and_then(|_| self.shared.owner.give(path)).map_err(WorkspaceError::at(path))
    }

    /// The digest of a file that is there, and whether it is executable.
    pub fn digest_of(&self, path: &Path, halt: Halt<'_>) -> Result<(Digest, bool), WorkspaceError> {
        let mode = fs::symlink_metadata(path).map_err(WorkspaceError::at(path))?.mode();
        digest(path, halt).map(|(digest, _)| (digest, mode & 0o111 != 0)).map_err(WorkspaceError::at(path))
    }

    /// A new folder that belongs to whoever runs in a sandbox.
    pub fn make_folder(&self, path: &Path) -> Result<(), WorkspaceError> {
        self.shared.owner.folder(path).map_err(WorkspaceError::at(path))
    }
}

/// Folders that are synced one by one. With more it is cheaper to have all of the file system's written.
const FOLDERS: usize = 64;

/// The names in a tree, and its links: its files are on disk already.
fn sync_folders(tree: &Path) -> io::Result<()> {
    let (mut open, mut synced) = (vec![tree.to_owned()], 0);
    while let Some(folder) = open.pop() {
        synced += 1;
        if synced > FOLDERS {
            return Ok(rustix::fs::syncfs(File::open(tree)?)?);
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
        }
        File::open(&folder)?.sync_all()?;
    }
    Ok(())
}

/// Copied at once by the kernel, where it can: between two questions whether anybody wants it.
const PIECE: u64 = 16 << 20;

fn copy(from: &Path, to: &Path, halt: Halt<'_>) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create_new(to)?);
    loop {
        halt.check()?;
        if io::copy(&mut (&mut from).take(PIECE), &mut to)? < PIECE {
            return Ok(());
        }
    }
}

fn digest(path: &Path, halt: Halt<'_>) -> io::Result<(Digest, u64)> {
    let mut file = halt.reading(File::open(path)?);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((Digest::from_sha256(hash.finalize().into()), size));
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
}
