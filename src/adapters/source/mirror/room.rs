//! What stands in the way of a reference that is to be written: a lock that nobody holds, and references that are gone at the other side.

use std::io;
use std::path::Path;
use std::time::Duration;

use git2::{ErrorCode, Repository as Git};

use super::older::remove_old;

/// As long as a lock is younger, somebody may be about to write.
const LOCKED: Duration = Duration::from_secs(10);

/// Whoever was killed while a reference was written has left its lock, and nobody would ever write that reference again. Only for who holds the mirror's lock: then
/// nobody of ours is at it.
pub(super) fn unlock(mirror: &Path, reference: &str) -> io::Result<()> {
    remove_old(&mirror.join(format!("{reference}.lock")), LOCKED)
}

/// References that this one can not be beside: `doors` and `doors/oak` would be a file and a folder. Where one of them is there, the other side has not got the other.
pub(super) fn in_the_way(git: &Git, reference: &str) -> Result<Vec<String>, git2::Error> {
    // Nothing is called `refs/tidegate/heads`.
    let above = reference.match_indices('/').skip(3).map(|(at, _)| &reference[..at]).filter(|above| git.find_reference(above).is_ok());
    let mut found: Vec<String> = above.map(str::to_owned).collect();
    found.extend(references(git, &format!("{reference}/*"))?);
    Ok(found)
}

pub(super) fn references(git: &Git, glob: &str) -> Result<Vec<String>, git2::Error> {
    let mut found = Vec::new();
    let mut references = git.references_glob(glob)?;
    for name in references.names() {
        // One that is not UTF-8 was not written by us.
        found.extend(name.ok().map(str::to_owned));
    }
    Ok(found)
}

/// What they led to stays.
pub(super) fn remove(git: &Git, references: &[String]) -> Result<(), git2::Error> {
    for name in references {
        match git.find_reference(name).and_then(|mut reference| reference.delete()) {
            Err(error) if error.code() != ErrorCode::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
