//! Removes a tree that somebody hostile may have made: closed folders, links anywhere, a hundred thousand levels. Follows no link, and counts what it removes.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

/// How much was removed: files (not folders, links, or an overlay's marks), and the bytes that they took on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    pub files: u64,
    pub bytes: u64,
}

/// Folders open at once, and so the depth that is walked into. What is deeper is first moved up.
const DEPTH: u32 = 32;

/// Folders that are counted in. Nobody's own are so deep.
const COUNTED: u32 = 200;

/// What `remove` would remove, as far as anybody can look; for when that can wait.
pub fn count(path: &Path) -> io::Result<Removed> {
    let mut found = Removed::default();
    let name = CString::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())).map_err(io::Error::other)?;
    count_in(&open_folder(CWD, &name)?, &mut found, 0)?;
    Ok(found)
}

fn count_in(folder: &OwnedFd, found: &mut Removed, depth: u32) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        found.add(&stat);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && depth < COUNTED {
            count_in(&open_folder(folder, name)?, found, depth + 1)?;
        }
    }
    Ok(())
}

impl Removed {
    fn add(&mut self, stat: &rustix::fs::Stat) {
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            let on_disk = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
            self.files += 1;
            self.bytes += on_disk.min(u64::try_from(stat.st_size).unwrap_or(0));
        }
    }
}

/// Removes a tree, or a file. What is not there is removed already.
pub fn remove(path: &Path) -> io::Result<Removed> {
    let mut removed = Removed::default();
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(removed),
        Err(error) => return Err(error),
        Ok(kind) if !kind.is_dir() => {
            std::fs::remove_file(path)?;
            return Ok(Removed { files: 1, bytes: kind.len() });
        }
        Ok(_) => {}
    }
    let name = CString::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())).map_err(io::Error::other)?;
    let top = open_folder(CWD, &name)?;
    let mut sweep = Sweep { removed: &mut removed, moved: 0 };
    loop {
        let before = sweep.moved;
        let folder = open_folder(&top, c".")?;
        sweep.empty(&folder, &top, 0)?;
        if sweep.moved == before {
            break;
        }
    }
    unlinkat(CWD, &name, AtFlags::REMOVEDIR)?;
    Ok(removed)
}

fn open_folder(at: impl std::os::fd::AsFd, name: &std::ffi::CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&at, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(&at, name, Mode::RWXU, AtFlags::empty())?;
            openat(&at, name, flags, Mode::empty())
        }
        other => other,
    }
}

struct Sweep<'a> {
    removed: &'a mut Removed,
    moved: u64,
}

impl Sweep<'_> {
    fn empty(&mut self, folder: &OwnedFd, top: &OwnedFd, depth: u32) -> io::Result<()> {
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                allowed(folder, || unlinkat(folder, name, AtFlags::empty()))?;
                self.removed.add(&stat);
            } else if depth < DEPTH {
                let child = open_folder(folder, name)?;
                self.empty(&child, top, depth + 1)?;
                allowed(folder, || unlinkat(folder, name, AtFlags::REMOVEDIR))?;
            } else {
                self.moved += 1;
                let aside = format!(".tidegate-deep-{}", self.moved);
                drop(open_folder(folder, name)?); // Moving a folder needs leave to write to it.
                allowed(folder, || renameat(folder, name, top, &aside))?;
            }
        }
        Ok(())
    }
}

/// Tries, opens a closed folder, and tries again.
fn allowed(folder: &OwnedFd, attempt: impl Fn() -> rustix::io::Result<()>) -> io::Result<()> {
    match attempt() {
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(folder, Mode::RWXU)?;
            Ok(attempt()?)
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_hostile_tree_goes_and_what_it_points_at_stays() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "x").unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("closed/inner")).unwrap();
        fs::write(tree.join("closed/inner/file"), "12345").unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        // Deeper than descriptors, the stack and PATH_MAX would allow.
        let mut at = rustix::fs::open(&tree, OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "deep", Mode::RWXU).unwrap();
            at = openat(&at, "deep", OFlags::PATH, Mode::empty()).unwrap();
        }
        fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
        assert_eq!(count(&tree).unwrap().files, 1);
        let removed = remove(&tree).unwrap();
        assert_eq!((removed.files, removed.bytes), (1, 5));
        assert!(!tree.exists());
        assert!(outside.join("precious").exists());
        assert_eq!(remove(&tree).unwrap(), Removed::default());
    }
}
