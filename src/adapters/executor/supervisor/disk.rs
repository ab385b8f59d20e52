//! How much a step may write to its workspace. Few file systems can be told; so it is looked at, as often as looking is cheap.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Looking takes at most this part of the time.
const SHARE: u32 = 20;
const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(10);

/// Files and folders that a step may make in its workspace.
pub(in super::super) const FILES: u64 = 1_000_000;

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Quota {
    pub(in super::super) bytes: u64,
    pub(in super::super) files: u64,
}

/// What has been written too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Excess {
    Bytes,
    Files,
}

#[derive(Debug)]
pub(in super::super) struct Watch {
    folder: PathBuf,
    quota: Quota,
    pub(in super::super) next: Instant,
}

impl Watch {
    pub(in super::super) fn new(folder: PathBuf, quota: Quota) -> Self {
        Self { folder, quota, next: Instant::now() + LEAST }
    }

    /// Looks, when it is time to.
    pub(in super::super) fn look(&mut self) -> Option<Excess> {
        let begun = Instant::now();
        if begun < self.next {
            return None;
        }
        let excess = self.measure();
        let took = begun.elapsed();
        self.next = begun + took + (took * SHARE).clamp(LEAST, MOST);
        excess
    }

    /// Looks at once.
    pub(in super::super) fn measure(&self) -> Option<Excess> {
        let mut left = self.quota;
        measure(&self.folder, &mut left, 0).err()
    }
}

/// Folders in folders. What is deeper is not counted; so deep that is, it has been made by somebody who wants it not to be, of files that count.
const DEPTH: usize = 1000;

/// What goes away while it is looked at is not counted.
fn measure(folder: &Path, left: &mut Quota, depth: usize) -> Result<(), Excess> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        let Ok(meta) = entry.metadata() else { continue };
        left.files = left.files.checked_sub(1).ok_or(Excess::Files)?;
        // A file with several names is one: its blocks are shared out among them.
        left.bytes = left.bytes.checked_sub(meta.blocks() * 512 / if meta.is_dir() { 1 } else { meta.nlink().max(1) }).ok_or(Excess::Bytes)?;
        if meta.is_dir() && depth < DEPTH {
            measure(&entry.path(), left, depth + 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_files_are_counted_and_holes_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let watch = |bytes, files| Watch::new(folder.path().to_owned(), Quota { bytes, files }).measure();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/full"), vec![1; 1 << 20]).unwrap();
        fs::File::create(folder.path().join("below/hole")).unwrap().set_len(1 << 40).unwrap();
        (0..4).for_each(|n| fs::hard_link(folder.path().join("below/full"), folder.path().join(n.to_string())).unwrap());
        assert_eq!(watch(2 << 20, 7), None);
        assert_eq!(watch(1 << 19, 7), Some(Excess::Bytes));
        assert_eq!(watch(2 << 20, 6), Some(Excess::Files));
    }
}
