//! The workspace as the step saw it, put together again from its layers after the step is dead: what it wrote above, what it was given below.
//!
//! Every part of a path is looked at without following links, and a link, a file or a whiteout in the middle of a path is the end of it. So no path leads
//! out, whatever the step made. Nothing runs any more that could change things between two looks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Layers, topmost first. The topmost one is the step's own.
pub(super) struct Merged {
    layers: Vec<PathBuf>,
}

/// What is at a path.
pub(super) enum Found {
    Nothing,
    File { at: PathBuf, meta: Metadata, own: bool },
    Folder,
    Link { to: PathBuf },
    Special { what: &'static str },
}

impl Merged {
    pub(super) fn new(upper: &Path, lower: &[PathBuf]) -> Self {
        Self { layers: std::iter::once(upper.to_path_buf()).chain(lower.iter().rev().cloned()).collect() }
    }

    pub(super) fn look(&self, relative: &Path) -> io::Result<Found> {
        let mut folders = Vec::new();
        let other = self.walk(relative, &mut folders)?;
        Ok(if folders.is_empty() { other } else { Found::Folder })
    }

    /// Names in a folder, with what each is. At most `limit` of them; an error past it.
    pub(super) fn list(&self, relative: &Path, limit: u64) -> io::Result<BTreeMap<OsString, Found>> {
        let mut folders = Vec::new();
        self.walk(relative, &mut folders)?;
        let mut names = BTreeMap::new();
        for folder in folders {
            for entry in fs::read_dir(folder)? {
                let name = entry?.file_name();
                let path = relative.join(&name);
                if let Entry::Vacant(place) = names.entry(name) {
                    place.insert(self.look(&path)?);
                }
                if names.len() as u64 > limit {
                    return Err(io::Error::other(format!("there are more than {limit} files in one folder")));
                }
            }
        }
        names.retain(|_, found| !matches!(found, Found::Nothing));
        Ok(names)
    }

    /// Gathers the folders that make up this path, topmost first, or says what else is there.
    fn walk(&self, relative: &Path, folders: &mut Vec<PathBuf>) -> io::Result<Found> {
        for (number, layer) in self.layers.iter().enumerate() {
            let mut at = layer.clone();
            let mut opaque = false;
            let mut parts = relative.components().peekable();
            let end = loop {
                let Some(part) = parts.next() else { break End::Folder };
                at.push(part);
                let meta = match fs::symlink_metadata(&at) {
                    Ok(meta) => meta,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break End::NotHere,
                    Err(error) => return Err(error),
                };
                if meta.is_dir() {
                    opaque |= is_opaque(&at);
                } else if parts.peek().is_some() || is_whiteout(&meta) {
                    break End::Hidden;
                } else {
                    break End::Other(meta);
                }
            };
            match end {
                End::Folder => folders.push(at),
                End::NotHere => {}
                End::Hidden => return Ok(Found::Nothing),
                // Something else below a folder of a higher layer is hidden by it.
                End::Other(_) if !folders.is_empty() => return Ok(Found::Nothing),
                End::Other(meta) => return kind(at, meta, number == 0),
            }
            if opaque {
                return Ok(Found::Nothing);
            }
        }
        Ok(Found::Nothing)
    }
}

enum End {
    Folder,
    NotHere,
    Hidden,
    Other(Metadata),
}

fn kind(at: PathBuf, meta: Metadata, own: bool) -> io::Result<Found> {
    let kind = meta.file_type();
    Ok(if kind.is_file() {
        Found::File { at, meta, own }
    } else if kind.is_symlink() {
        Found::Link { to: fs::read_link(at)? }
    } else if kind.is_fifo() {
        Found::Special { what: "a FIFO" }
    } else if kind.is_socket() {
        Found::Special { what: "a socket" }
    } else {
        Found::Special { what: "a device" }
    })
}

/// An overlay's mark that a name below was deleted.
fn is_whiteout(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

/// An overlay's mark that a folder hides the one below it.
fn is_opaque(folder: &Path) -> bool {
    let mut value = [0; 8];
    matches!(rustix::fs::lgetxattr(folder, "user.overlay.opaque", &mut value), Ok(length) if value.get(..length) == Some(b"y"))
}
