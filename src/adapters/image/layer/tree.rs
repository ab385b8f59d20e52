//! The folder that a layer becomes. Every path is opened below it by the kernel, which follows no link and does not leave it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags, chownat, fsetxattr, linkat, mkdirat, mknodat, openat, openat2,
    statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::{bad, shown};

/// An overlay's marks, as those see them that were mounted by an ordinary user (`userxattr`). They are only made here, never taken from an archive.
const OPAQUE: &str = "user.overlay.opaque";

pub(super) struct Tree {
    root: OwnedFd,
    /// Who everything belongs to, where that is not the caller itself.
    owner: Option<u32>,
    /// The folder that was opened last: archives go folder by folder.
    last: Option<(PathBuf, OwnedFd)>,
    /// Folders get their times when nothing more is put into them.
    folders: Vec<(PathBuf, i64)>,
}

impl Tree {
    /// `root`: an empty folder.
    pub(super) fn new(root: &Path, owner: Option<u32>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(root, flags, Mode::empty())?, owner, last: None, folders: Vec::new() })
    }

    /// A file takes the place of what has its name, but of a folder.
    pub(super) fn file(&mut self, path: &Path, mode: u32, mtime: i64, contents: &mut impl Read) -> io::Result<u64> {
        let (owner, name) = (self.owner, name(path)?);
        let parent = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Its owner is who the step is: what nobody but root could open would be closed to the step as well.
        let mode = Mode::from_raw_mode(mode | 0o600);
        let file = replacing(parent, path, || openat(parent, name, flags, mode))?;
        // Whatever the caller's mask is.
        rustix::fs::fchmod(&file, mode)?;
        if let Some(uid) = owner {
            rustix::fs::fchown(&file, Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(uid)))?;
        }
        let mut file = File::from(file);
        let written = io::copy(contents, &mut file)?;
        rustix::fs::futimens(&file, &times(mtime))?;
        Ok(written)
    }

    /// A folder that is there keeps what is in it.
    pub(super) fn folder(&mut self, path: &Path, mode: u32, mtime: i64) -> io::Result<()> {
        let Some(name) = path.file_name() else { return Ok(()) };
        let owner = self.owner;
        let parent = self.parent(path)?;
        let mode = Mode::from_raw_mode(mode | 0o700);
        let mut hides = false;
        match mkdirat(parent, name, mode) {
            Err(Errno::EXIST) if kind(parent, name)?.0 != FileType::Directory => {
                // Over a mark that hides what is below, it goes on hiding.
                hides = kind(parent, name)?.1;
                unlinkat(parent, name, AtFlags::empty())?;
                mkdirat(parent, name, mode)?;
            }
            Err(Errno::EXIST) => {}
            made => made?,
        }
        rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
        give(parent, name, owner)?;
        if hides {
            self.opaque(path)?;
        }
        self.folders.push((path.to_owned(), mtime));
        Ok(())
    }

    pub(super) fn link(&mut self, path: &Path, to: &OsStr, mtime: i64) -> io::Result<()> {
        let (owner, name) = (self.owner, name(path)?);
        let parent = self.parent(path)?;
        replacing(parent, path, || symlinkat(to, parent, name))?;
        give(parent, name, owner)?;
        Ok(utimensat(parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// One more name for a file of this layer.
    pub(super) fn hard_link(&mut self, path: &Path, of: &Path) -> io::Result<()> {
        let missing = || {
            bad(format!(
                "{} is a hard link to {}, which this layer does not have",
                shown(path.as_os_str().as_bytes()),
                shown(of.as_os_str().as_bytes())
            ))
        };
        let original = name(of)?;
        let from = self.parent(of)?.try_clone_to_owned()?;
        match kind(from.as_fd(), original) {
            Ok((FileType::RegularFile | FileType::Symlink, _)) => {}
            Ok(_) | Err(Errno::NOENT) => return Err(missing()),
            Err(error) => return Err(error.into()),
        }
        // Onto itself: it is there, and must not be taken away first.
        if path == of {
            return Ok(());
        }
        let name = name(path)?;
        let parent = self.parent(path)?;
        replacing(parent, path, || linkat(&from, original, parent, name, AtFlags::empty()))
    }

    /// Hides what lower layers have by that name.
    pub(super) fn hide(&mut self, path: &Path) -> io::Result<()> {
        let name = name(path)?;
        let parent = self.parent(path)?;
        // Since Linux 5.8 everybody may make this one device: it is none.
        match mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
            // What this layer itself has there is not meant. A folder of its own then hides all of the one below.
            Err(Errno::EXIST) if kind(parent, name)?.0 == FileType::Directory => self.opaque(path),
            Err(Errno::EXIST) => Ok(()),
            made => Ok(made?),
        }
    }

    /// Hides what lower layers have in a folder, which is made where it is not there.
    pub(super) fn opaque(&mut self, path: &Path) -> io::Result<()> {
        let folder = self.open(path)?;
        fsetxattr(&folder, OPAQUE, b"y", XattrFlags::empty()).map_err(|error| {
            io::Error::new(io::Error::from(error).kind(), format!("the file system of the state folder keeps no user attributes: {error}"))
        })
    }

    /// Puts everything on disk.
    pub(super) fn finish(self) -> io::Result<()> {
        for (path, mtime) in &self.folders {
            let name = path.file_name().unwrap_or_default();
            if let Ok(parent) = self.open_existing(path.parent().unwrap_or(Path::new(""))) {
                utimensat(&parent, name, &times(*mtime), AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
        Ok(rustix::fs::syncfs(&self.root)?)
    }

    /// The folder that a path is in.
    fn parent(&mut self, path: &Path) -> io::Result<BorrowedFd<'_>> {
        let wanted = path.parent().unwrap_or(Path::new(""));
        if self.last.as_ref().is_none_or(|(last, _)| last != wanted) {
            let folder = self.open(wanted)?;
            self.last = Some((wanted.to_owned(), folder));
        }
        self.last.as_ref().map(|(_, folder)| folder.as_fd()).ok_or_else(|| io::Error::other("no folder"))
    }

    /// A folder of the layer; what is missing of its path is made, as archives may leave folders out.
    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.open_existing(path) {
            Err(Errno::NOENT) => {}
            other => return other.map_err(|error| astray(path, error)),
        }
        let mut at = self.open_existing(Path::new(""))?;
        for part in path {
            match mkdirat(&at, part, Mode::from_raw_mode(0o755)) {
                Ok(()) => give(at.as_fd(), part, self.owner)?,
                Err(Errno::EXIST) => {
                    // Put into a folder that this same layer hides: then it is there, and hides what is below.
                    if kind(at.as_fd(), part)?.1 {
                        unlinkat(&at, part, AtFlags::empty())?;
                        mkdirat(&at, part, Mode::from_raw_mode(0o755))?;
                        give(at.as_fd(), part, self.owner)?;
                        let folder = open_below(at.as_fd(), Path::new(part))?;
                        fsetxattr(&folder, OPAQUE, b"y", XattrFlags::empty())?;
                    }
                }
                Err(error) => return Err(error.into()),
            }
            at = open_below(at.as_fd(), Path::new(part)).map_err(|error| astray(path, error))?;
        }
        Ok(at)
    }

    fn open_existing(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        open_below(self.root.as_fd(), if path.as_os_str().is_empty() { Path::new(".") } else { path })
    }
}

fn open_below(at: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    loop {
        match openat2(at, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

fn astray(path: &Path, error: Errno) -> io::Error {
    let path = shown(path.as_os_str().as_bytes());
    match error {
        Errno::LOOP => bad(format!("something is put through a symbolic link of its own ({path})")),
        Errno::NOTDIR => bad(format!("something is put below what is no folder ({path})")),
        other => other.into(),
    }
}

fn name(path: &Path) -> io::Result<&OsStr> {
    path.file_name().ok_or_else(|| bad("it has a file without a name"))
}

/// What has a name, and whether it is a mark that hides what is below.
fn kind(at: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<(FileType, bool)> {
    let found = statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    Ok((kind, kind == FileType::CharacterDevice && found.st_rdev == 0))
}

/// Makes something, in the place of what has its name already. The later entry counts, but a folder is not thrown away for it.
fn replacing<T>(parent: BorrowedFd<'_>, path: &Path, make: impl Fn() -> rustix::io::Result<T>) -> io::Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            let name = name(path)?;
            if kind(parent, name)?.0 == FileType::Directory {
                return Err(bad(format!("{} is in it as a folder and as something else", shown(path.as_os_str().as_bytes()))));
            }
            unlinkat(parent, name, AtFlags::empty())?;
            Ok(make()?)
        }
        other => Ok(other?),
    }
}

fn give(at: BorrowedFd<'_>, name: &OsStr, owner: Option<u32>) -> rustix::io::Result<()> {
    let Some(uid) = owner else { return Ok(()) };
    chownat(at, name, Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(uid)), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(mtime: i64) -> Timestamps {
    let then = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: then, last_modification: then }
}
