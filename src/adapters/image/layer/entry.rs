//! What an archive says of one entry: its headers put together, its paths checked. Nothing is believed.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use tar::EntryType;

use super::{bad, shown};

/// Bytes of a header that holds a long name: far more than any path may have.
const EXTENDED: u64 = 1 << 20;
/// What the kernel takes.
const LONGEST: usize = 4095;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Below the layer; empty: the layer's own folder.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// Without the bits that make somebody somebody else.
    pub(super) mode: u32,
    pub(super) mtime: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link {
        to: OsString,
    },
    /// Another name for what the layer has at this path.
    Hard {
        of: PathBuf,
    },
    /// A device or a FIFO: it is not made.
    Special,
}

/// What the headers before an entry say about it.
#[derive(Debug, Default)]
pub(super) struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extended {
    /// Takes in a header that is about the next entry, or is about nothing here; `false` when it is an entry itself.
    pub(super) fn take_in<R: Read>(&mut self, header: &mut tar::Entry<'_, R>) -> io::Result<bool> {
        match header.header().entry_type() {
            kind if kind.is_gnu_longname() => self.path = Some(trimmed(small(header)?)),
            kind if kind.is_gnu_longlink() => self.link = Some(trimmed(small(header)?)),
            kind if kind.is_pax_local_extensions() => self.take_in_pax(&small(header)?)?,
            kind if kind.is_pax_global_extensions() => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_in_pax(&mut self, text: &[u8]) -> io::Result<()> {
        for extension in tar::PaxExtensions::new(text) {
            let extension = extension?;
            match extension.key_bytes() {
                b"path" => self.path = Some(extension.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(extension.value_bytes().to_vec()),
                b"size" => return Err(bad("it has a file that is larger than 8 GiB")),
                key if key.starts_with(b"GNU.sparse.") => return Err(bad("it has a sparse file: pack the layer without `--sparse`")),
                // Times with fractions, owners, extended attributes.
                _ => {}
            }
        }
        Ok(())
    }

    /// The entry, with what was said before about it.
    pub(super) fn entry(self, header: &tar::Header) -> io::Result<Entry> {
        let path = self.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = || self.link.clone().or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned)).unwrap_or_default();
        let kind = match header.entry_type() {
            // Very old archives mark a folder by its name only.
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Folder,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Folder,
            EntryType::Symlink => Kind::Link { to: target(link())? },
            EntryType::Link => Kind::Hard { of: inside(&link())? },
            EntryType::Char | EntryType::Block | EntryType::Fifo => Kind::Special,
            EntryType::GNUSparse => return Err(bad(format!("{} is a sparse file: pack the layer without `--sparse`", shown(&path)))),
            other => return Err(bad(format!("{} is of a kind that is not known ({:?})", shown(&path), char::from(other.as_byte())))),
        };
        let kept = if kind == Kind::Folder { 0o1777 } else { 0o777 };
        let mtime = i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0);
        Ok(Entry { path: inside(&path)?, kind, mode: header.mode().unwrap_or(0o644) & kept, mtime: mtime.min(u32::MAX.into()) })
    }
}

fn small<R: Read>(header: &mut tar::Entry<'_, R>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    header.take(EXTENDED + 1).read_to_end(&mut text)?;
    if text.len() as u64 > EXTENDED { Err(bad(format!("it has a header of more than {EXTENDED} bytes"))) } else { Ok(text) }
}

/// A long name ends at its first zero byte.
fn trimmed(mut text: Vec<u8>) -> Vec<u8> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    text.truncate(end);
    text
}

/// A path below the layer. What begins at the root begins at the layer; what goes up is refused.
fn inside(path: &[u8]) -> io::Result<PathBuf> {
    if path.contains(&0) {
        return Err(bad(format!("{} has a zero byte in its name", shown(path))));
    }
    if path.len() > LONGEST {
        return Err(bad(format!("{} has a longer name than {LONGEST} bytes", shown(path))));
    }
    let mut inside = PathBuf::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(bad(format!("{} goes up with `..`", shown(path)))),
            part if part.len() > 255 => return Err(bad(format!("{} has a longer name than 255 bytes", shown(path)))),
            part => inside.push(OsString::from_vec(part.to_vec())),
        }
    }
    Ok(inside)
}

/// Where a link points is nobody's business but the step's: it is never followed here.
fn target(link: Vec<u8>) -> io::Result<OsString> {
    if link.is_empty() || link.len() > LONGEST || link.contains(&0) {
        return Err(bad(format!("a symbolic link in it leads to {:?}, which is no path", shown(&link))));
    }
    Ok(OsString::from_vec(link))
}
