//! From an archive to a tree, entry by entry.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::entry::{Entry, Extended, Kind};
use super::stream::Stream;
use super::tree::Tree;
use super::{Bad, Limits, bad};

/// What came of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Unpacked {
    /// Of the uncompressed archive: what an image's configuration calls its diff id.
    pub(in super::super) digest: String,
    pub(in super::super) bytes: u64,
    pub(in super::super) entries: u64,
}

/// Why a layer could not be unpacked.
#[derive(Debug)]
pub(in super::super) enum Fault {
    /// The layer is to blame.
    Bad(String),
    Ours(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let blamed = error.get_ref().and_then(|inner| inner.downcast_ref::<Bad>()).map(|bad| bad.0.clone());
        match (blamed, error.kind()) {
            (Some(why), _) => Self::Bad(why),
            // What the archive reader or a decompressor says of the bytes that it is given. The kernel's errors have a number.
            (None, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other)
                if error.raw_os_error().is_none() =>
            {
                Self::Bad(format!("its archive is damaged: {}", super::super::error::said(error)))
            }
            _ => Self::Ours(error),
        }
    }
}

/// Unpacks an archive into an empty folder. On disk when it returns. Its digest is for the caller to compare: until then nothing of it is anybody's.
pub(in super::super) fn unpack(archive: File, folder: &Path, owner: Option<u32>, limits: Limits) -> Result<Unpacked, Fault> {
    let mut stream = Stream::open(archive, limits)?;
    let mut tree = Tree::new(folder, owner)?;
    let mut entries = 0;
    {
        let mut archive = tar::Archive::new(&mut stream);
        let mut extended = Extended::default();
        for header in archive.entries()?.raw(true) {
            let mut header = header?;
            entries += 1;
            if entries > limits.entries {
                return Err(bad(format!("it has more than {} files", limits.entries)).into());
            }
            if !extended.take_in(&mut header)? {
                let entry = std::mem::take(&mut extended).entry(header.header())?;
                put(&mut tree, &entry, &mut header)?;
            }
        }
    }
    // To the end of the file: all of it is digested.
    io::copy(&mut stream, &mut io::sink())?;
    tree.finish()?;
    let bytes = stream.given;
    Ok(Unpacked { digest: stream.digest(), bytes, entries })
}

/// Names that are marks begin so.
const MARK: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

fn put<R: io::Read>(tree: &mut Tree, entry: &Entry, contents: &mut R) -> io::Result<()> {
    let Entry { path, kind, mode, mtime } = entry;
    let Some(name) = path.file_name() else {
        // The layer's own folder is ours.
        return if *kind == Kind::Folder { Ok(()) } else { Err(bad("it has a file without a name")) };
    };
    if let Some(hidden) = name.as_bytes().strip_prefix(MARK) {
        let folder = path.parent().unwrap_or(Path::new(""));
        return match hidden {
            _ if name.as_bytes() == OPAQUE => tree.opaque(folder),
            b"" | b"." | b".." => Err(bad(format!("it hides {:?}, which is no name", super::shown(hidden)))),
            // Other marks are notes of a file system that nobody has any more.
            _ if hidden.starts_with(MARK) => Ok(()),
            _ => tree.hide(&folder.join(OsStr::from_bytes(hidden))),
        };
    }
    match kind {
        Kind::File => tree.file(path, *mode, *mtime, contents).map(drop),
        Kind::Folder => tree.folder(path, *mode, *mtime),
        Kind::Link { to } => tree.link(path, to, *mtime),
        Kind::Hard { of } => tree.hard_link(path, of),
        Kind::Special => Ok(()),
    }
}
