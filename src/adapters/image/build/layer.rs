//! What a step changed, as the archive of a layer. An overlay's marks become those of archives; nothing that the step made can be taken for one.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, chmodat, fgetxattr, openat, openat2, readlinkat, statat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::super::layer::bad;
use super::{Blob, Counted, Material, shown};
use crate::adapters::workspace::Halt;

pub(super) struct Made {
    pub(super) blob: Blob,
    /// Of the uncompressed archive.
    pub(super) digest: String,
    /// Sockets, FIFOs and the like.
    pub(super) left_out: u64,
}

/// What the sandbox puts into every root: not the image's, whatever became of it.
const OURS: [&str; 8] = ["dev", "proc", "tmp", "workspace", "run/tidegate", "etc/hosts", "etc/hostname", "etc/resolv.conf"];
const MARK: &[u8] = b".wh.";
const OPAQUE: &str = "user.overlay.opaque";
/// Folders in folders.
const DEPTH: usize = 256;

type Packed = Counted<GzEncoder<Counted<BufWriter<File>>>>;

struct Layer<'a> {
    tar: Builder<Packed>,
    /// The first name of each file that has several.
    named: HashMap<(u64, u64), PathBuf>,
    /// The trees that the step stood on.
    trees: &'a [PathBuf],
    time: u64,
    entries: u64,
    entries_left: u64,
    bytes_left: u64,
    bytes: u64,
    left_out: u64,
    halt: Halt<'a>,
}

pub(super) fn make(material: Material<'_>, trees: &[PathBuf], to: &Path) -> io::Result<Made> {
    let counted = |inner| Counted { inner, hash: Sha256::new(), bytes: 0 };
    let packed = GzEncoder::new(counted(BufWriter::new(File::create_new(to)?)), Compression::default());
    let mut layer = Layer {
        tar: Builder::new(Counted { inner: packed, hash: Sha256::new(), bytes: 0 }),
        named: HashMap::new(),
        trees,
        time: material.time,
        entries: material.entries,
        entries_left: material.entries,
        bytes_left: material.bytes,
        bytes: material.bytes,
        left_out: 0,
        halt: material.halt,
    };
    let root = rustix::fs::open(material.upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    layer.folder(root.as_fd(), Path::new(""), 0)?;
    let left_out = layer.left_out;
    let archive = layer.tar.into_inner()?;
    let digest = archive.digest();
    let mut file = archive.inner.finish()?;
    file.flush()?;
    let blob = Blob { digest: file.digest(), size: file.bytes, at: to.to_owned() };
    Ok(Made { blob, digest, left_out })
}

impl Layer<'_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path, depth: usize) -> io::Result<()> {
        if depth > DEPTH {
            return Err(bad(format!("the image would have folders more than {DEPTH} deep")));
        }
        for name in self.names(folder)? {
            let path = path.join(&name);
            if !OURS.iter().any(|ours| Path::new(ours) == path) {
                self.entry(folder, &name, &path, depth)?;
            }
        }
        Ok(())
    }

    /// Sorted by their bytes.
    fn names(&mut self, folder: BorrowedFd<'_>) -> io::Result<BTreeSet<OsString>> {
        let mut names = BTreeSet::new();
        for entry in Dir::read_from(folder)? {
            self.halt.check()?;
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name == "." || name == ".." {
                continue;
            }
            let most = self.entries;
            self.entries_left =
                self.entries_left.checked_sub(1).ok_or_else(|| bad(format!("the image's layer would have more than {most} files")))?;
            names.insert(name);
        }
        Ok(names)
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &OsStr, path: &Path, depth: usize) -> io::Result<()> {
        self.halt.check()?;
        if name.as_bytes().starts_with(MARK) {
            let why = format!("{} can not be in an image: there, a name that begins with .wh. means that a file was removed", shown(path));
            return Err(bad(why));
        }
        let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => self.subfolder(folder, name, path, &found, depth),
            FileType::RegularFile => self.file(folder, name, path, &found),
            FileType::Symlink => {
                let to = readlinkat(folder, name, Vec::new())?;
                let mut header = self.header(EntryType::Symlink, 0o777);
                self.tar.append_link(&mut header, path, OsStr::from_bytes(to.as_bytes()))
            }
            // An overlay's mark. The step can make no device, this one neither.
            FileType::CharacterDevice if found.st_rdev == 0 => self.mark(path, name),
            _ => {
                self.left_out += 1;
                Ok(())
            }
        }
    }

    fn subfolder(&mut self, parent: BorrowedFd<'_>, name: &OsStr, path: &Path, found: &Stat, depth: usize) -> io::Result<()> {
        let folder = open(parent, name, OFlags::DIRECTORY, found)?;
        let mut header = self.header(EntryType::Directory, found.st_mode);
        self.tar.append_data(&mut header, path, io::empty())?;
        let mut value = [0; 2];
        let hides = matches!(fgetxattr(&folder, OPAQUE, &mut value), Ok(1) if value[0] == b'y');
        // The kernel marks every new folder; it only means something where there was one.
        if hides && self.was_there(path) {
            self.mark(&path.join(".opq"), OsStr::new(".wh..opq"))?;
        }
        self.folder(folder.as_fd(), path, depth + 1)
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &OsStr, path: &Path, found: &Stat) -> io::Result<()> {
        let (size, inode) = (u64::try_from(found.st_size).unwrap_or(0), (found.st_dev, found.st_ino));
        if let Some(first) = self.named.get(&inode) {
            let first = first.clone();
            let mut header = self.header(EntryType::Link, found.st_mode);
            return self.tar.append_link(&mut header, path, &first);
        }
        if found.st_nlink > 1 {
            self.named.insert(inode, path.to_owned());
        }
        let limit = self.bytes;
        // By its length: holes are written out.
        self.bytes_left = self
            .bytes_left
            .checked_sub(size)
            .ok_or_else(|| bad(format!("{} makes the image's layer larger than its limit of {limit} bytes", shown(path))))?;
        let file = File::from(open(parent, name, OFlags::NONBLOCK, found)?);
        let mut header = self.header(EntryType::Regular, found.st_mode);
        header.set_size(size);
        self.tar.append_data(&mut header, path, self.halt.reading(file.take(size)))
    }

    /// What hides a name below.
    fn mark(&mut self, path: &Path, name: &OsStr) -> io::Result<()> {
        let mut marked = OsString::from_vec(MARK.to_vec());
        marked.push(name);
        let mut header = self.header(EntryType::Regular, 0o644);
        self.tar.append_data(&mut header, path.with_file_name(marked), io::empty())
    }

    /// Everything belongs to the image's root; set-user-id bits are not the step's to give.
    fn header(&self, kind: EntryType, mode: u32) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode & 0o1777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        header.set_size(0);
        header
    }

    fn was_there(&self, path: &Path) -> bool {
        self.trees.iter().any(|tree| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let at = rustix::fs::open(tree, flags, Mode::empty());
            at.is_ok_and(|at| openat2(&at, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS).is_ok())
        })
    }
}

/// Something of the step's, which may have closed it to its owner, who may be us.
fn open(parent: BorrowedFd<'_>, name: &OsStr, more: OFlags, found: &Stat) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(parent, name, Mode::from_raw_mode(found.st_mode & 0o7777 | 0o700), AtFlags::empty())?;
            Ok(openat(parent, name, flags, Mode::empty())?)
        }
        other => Ok(other?),
    }
}
