//! How much a step may write to its workspace. Few file systems can be told; so it is looked at, as often as looking is cheap.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Looking takes at most this part of the time.
const SHARE: u32 = 20;
const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(10);

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

/// What has been written too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    Bytes,
    Files,
}

#[derive(Debug)]
pub(super) struct Watch {
    folder: PathBuf,
    quota: Quota,
    pub(super) next: Instant,
}

impl Watch {
    pub(super) fn new(folder: PathBuf, quota: Quota) -> Self {
        Self { folder, quota, next: Instant::now() + LEAST }
    }

    /// Looks, when it is time to.
    pub(super) fn look(&mut self) -> Option<Excess> {
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
    pub(super) fn measure(&self) -> Option<Excess> {
        let mut left = self.quota;
        measure(&self.folder, &mut left, 0).err()
    }
}

/// Folders in folders. Each is held open while what is in it is looked at.
const DEPTH: usize = 500;

/// What goes away while it is looked at is not counted. Every folder is entered from the one above it and never through a link: a path could be too long for the
/// kernel, or lead somewhere else by now.
fn measure(folder: OwnedFd, left: &mut Quota, depth: usize) -> Result<(), Excess> {
    let Ok(entries) = Dir::read_from(&folder) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(meta) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        left.files = left.files.checked_sub(1).ok_or(Excess::Files)?;
        let is_folder = FileType::from_raw_mode(meta.st_mode).is_dir();
        // A file with several names is one: its blocks are shared out among them.
        let names = if is_folder { 1 } else { u64::from(meta.st_nlink).max(1) };
        left.bytes = left.bytes.checked_sub(u64::try_from(meta.st_blocks).unwrap_or(0) * 512 / names).ok_or(Excess::Bytes)?;
        if is_folder && let Some(below) = enter(&folder, name) {
            if depth == DEPTH {
                return Err(Excess::Depth);
            }
            measure(below, left, depth + 1)?;
        }
    }
    Ok(())
}

const ENTERED: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a folder. One that is closed to its owner, who for an ordinary user is this process as well, is opened for a moment: behind it there could be anything.
fn enter(above: &OwnedFd, name: &CStr) -> Option<OwnedFd> {
    match openat(above, name, OFlags::RDONLY | ENTERED, Mode::empty()) {
        Ok(folder) => Some(folder),
        Err(Errno::ACCESS) => {
            let closed = openat(above, name, OFlags::PATH | ENTERED, Mode::empty()).ok()?;
            let before = Mode::from_raw_mode(fstat(&closed).ok()?.st_mode & 0o7777);
            let path = format!("/proc/self/fd/{}", closed.as_raw_fd());
            chmod(&path, before | Mode::RWXU).ok()?;
            let folder = openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok();
            // With the rights that it had: what is open stays open, but a name in it can not be looked up any more. So those that are below come first.
            let _ = chmod(&path, before | Mode::XUSR);
            folder
        }
        Err(_) => None,
    }
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
