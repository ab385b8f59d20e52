//! What lies in a mirror: packs, each of several files, and objects in files of their own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use git2::Oid;

/// What git may have written beside a pack, and is worth nothing without it.
const BESIDE: [&str; 3] = ["rev", "bitmap", "mtimes"];
/// Who has put one of these beside a pack wants it to stay.
const KEPT: [&str; 2] = ["keep", "promisor"];

/// One with its index.
#[derive(Debug, Clone)]
pub(super) struct Pack {
    /// `objects/pack/pack-…`, without an ending.
    stem: PathBuf,
    pub bytes: u64,
    pub since: SystemTime,
}

impl Pack {
    pub fn file(&self, ending: &str) -> PathBuf {
        self.stem.with_extension(ending)
    }

    pub fn is(&self, name: &str) -> bool {
        self.stem.file_name().is_some_and(|own| own == name)
    }

    /// The index first: without it nobody finds the pack any more, while one whose pack is gone promises what is not there.
    pub fn remove(&self) -> io::Result<()> {
        let mut files = std::iter::once("idx").chain(BESIDE).chain(["pack"]);
        files.try_for_each(|ending| gone(fs::remove_file(self.file(ending))))
    }
}

/// Whoever removes it wants it gone.
pub(super) fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// All up to a size, the smallest first. None where somebody keeps an index over several of them with git's own tools: it would name what is gone.
pub(super) fn packs(objects: &Path, largest: u64) -> io::Result<Vec<Pack>> {
    let folder = objects.join("pack");
    if folder.join("multi-pack-index").exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let index = entry?.path();
        let pack = Pack { stem: index.with_extension(""), bytes: 0, since: SystemTime::UNIX_EPOCH };
        if index.extension().is_none_or(|ending| ending != "idx") || KEPT.iter().any(|ending| pack.file(ending).exists()) {
            continue;
        }
        // One without its pack is what is left of one.
        let Ok(about) = fs::metadata(pack.file("pack")) else { continue };
        if about.len() <= largest {
            found.push(Pack { bytes: about.len(), since: about.modified()?, ..pack });
        }
    }
    found.sort_by_key(|pack| pack.bytes);
    Ok(found)
}

/// An object in a file of its own.
#[derive(Debug, Clone)]
pub(super) struct Loose {
    pub id: Oid,
    pub path: PathBuf,
    pub bytes: u64,
}

/// At most so many: `objects/ab/cdef…`.
pub(super) fn loose(objects: &Path, most: usize) -> io::Result<Vec<Loose>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(objects)? {
        let entry = entry?;
        let Some(first) = entry.file_name().to_str().filter(|name| name.len() == 2).map(str::to_owned) else { continue };
        for entry in fs::read_dir(entry.path())? {
            let entry = entry?;
            let id = entry.file_name().to_str().filter(|rest| rest.len() == 38).and_then(|rest| Oid::from_str(&format!("{first}{rest}")).ok());
            let Some(id) = id else { continue };
            if found.len() == most {
                return Ok(found);
            }
            found.push(Loose { id, path: entry.path(), bytes: entry.metadata()?.len() });
        }
    }
    Ok(found)
}
