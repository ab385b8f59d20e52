//! How much a step may write to its workspace. Few file systems can be told; so it is looked at, as often as looking is cheap.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmod, fstat, openat, statat};

/// Looking takes at most this part of the time.
const SHARE: u32 = 20;
const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(10);

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
    /// So deep that nobody looks any further.
    Depth,
}

#[derive(Debug)]
pub(in super::super) struct Watch {
    folders: Vec<PathBuf>,
    quota: Quota,
    pub(in super::super) next: Instant,
}

impl Watch {
    pub(in super::super) fn new(folders: Vec<PathBuf>, quota: Quota) -> Self {
        Self { folders, quota, next: Instant::now() + LEAST }
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
        let mut look = |folder: &PathBuf| {
            let Ok(folder) = openat(CWD, folder, OFlags::RDONLY | FOLDER, Mode::empty()) else { return Ok(()) };
            measure(&folder, &mut left, 0)
        };
        self.folders.iter().try_for_each(&mut look).err()
    }
}

/// Folders in folders. Each is held open while what is in it is looked at.
const DEPTH: usize = 500;

/// What goes away while it is looked at is not counted. Every folder is entered from the one above it and never through a link: a path could be too long for the
/// kernel, or lead somewhere else by now.
fn measure(folder: &OwnedFd, left: &mut Quota, depth: usize) -> Result<(), Excess> {
    let Ok(entries) = Dir::read_from(folder) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(meta) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        left.files = left.files.checked_sub(1).ok_or(Excess::Files)?;
        let is_folder = FileType::from_raw_mode(meta.st_mode).is_dir();
        // A file with several names is one: its blocks are shared out among them.
        let names = if is_folder { 1 } else { i64::try_from(meta.st_nlink).unwrap_or(1).max(1) };
        left.bytes = left.bytes.checked_sub(u64::try_from(meta.st_blocks * 512 / names).unwrap_or(0)).ok_or(Excess::Bytes)?;
        if is_folder && let Some(below) = Entered::new(folder, name) {
            if depth == DEPTH {
                return Err(Excess::Depth);
            }
            measure(&below.folder, left, depth + 1)?;
        }
    }
    Ok(())
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A folder that is looked at. One that is closed to its owner, who for an ordinary user is this process as well, is open for as long as that takes: behind
/// it there could be anything.
struct Entered {
    folder: OwnedFd,
    /// What its mode was, and was made.
    opened: Option<(Mode, Mode)>,
}

impl Entered {
    fn new(above: &OwnedFd, name: &CStr) -> Option<Self> {
        let mode = |folder: &OwnedFd| fstat(folder).map(|meta| Mode::from_raw_mode(meta.st_mode & 0o7777));
        let place = openat(above, name, OFlags::PATH | FOLDER, Mode::empty()).ok()?;
        // Through this path, which is no link that anybody could turn: the mode of what is held open.
        let path = path_of(&place);
        let before = mode(&place).ok()?;
        let open = before | Mode::RUSR | Mode::XUSR;
        let closed = open != before && !rustix::process::geteuid().is_root();
        if closed {
            chmod(&path, open).ok()?;
        }
        let folder = openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        Some(Self { folder, opened: closed.then_some((before, open)) })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some((before, open)) = self.opened
            // Unless the step itself has changed it meanwhile.
            && fstat(&self.folder).is_ok_and(|meta| meta.st_mode & 0o7777 == open.bits())
        {
            let _ = chmod(path_of(&self.folder), before);
        }
    }
}

fn path_of(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn bytes_and_files_are_counted_and_holes_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let watch = |bytes, files| Watch::new(vec![folder.path().to_owned()], Quota { bytes, files }).measure();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/full"), vec![1; 1 << 20]).unwrap();
        fs::File::create(folder.path().join("below/hole")).unwrap().set_len(1 << 40).unwrap();
        (0..4).for_each(|n| fs::hard_link(folder.path().join("below/full"), folder.path().join(n.to_string())).unwrap());
        assert_eq!(watch(2 << 20, 7), None);
        assert_eq!(watch(1 << 19, 7), Some(Excess::Bytes));
        assert_eq!(watch(2 << 20, 6), Some(Excess::Files));
    }

    #[test]
    fn what_is_closed_or_far_down_is_seen_and_a_closed_folder_stays_closed() {
        let folder = tempfile::tempdir().unwrap();
        let watch = |bytes, files| Watch::new(vec![folder.path().to_owned()], Quota { bytes, files }).measure();
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("full"), vec![1; 1 << 20]).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o300)).unwrap();
        assert_eq!(watch(1 << 19, 10), Some(Excess::Bytes));
        assert_eq!(fs::metadata(&closed).unwrap().permissions().mode() & 0o7777, 0o300);
        // Deeper than a path can say: 100 folders with names of 100 letters.
        let mut place = openat(CWD, folder.path(), OFlags::RDONLY | FOLDER, Mode::empty()).unwrap();
        for depth in 1..=DEPTH + 1 {
            let name = if depth < 100 { "x".repeat(100) } else { "x".to_owned() };
            rustix::fs::mkdirat(&place, &name, Mode::RWXU).unwrap();
            place = openat(&place, &name, OFlags::RDONLY | FOLDER, Mode::empty()).unwrap();
            if depth == 100 {
                assert_eq!(watch(8 << 20, 200), None);
                assert_eq!(watch(8 << 20, 101), Some(Excess::Files), "closed, full and 100 folders");
            }
        }
        assert_eq!(watch(64 << 20, 10_000), Some(Excess::Depth));
        crate::adapters::workspace::remove(folder.path()).unwrap();
    }
}
