//! Whether the engine's disk is full: then a step that was told so is not to blame for it.

use std::path::Path;

use super::Engine;
use super::words::NO_ROOM;

/// What is left on a disk that is full: less than anybody writes at once.
const LEFT: u64 = 1 << 20;

/// Why a step that has failed could not do better. Its word alone does not count, and neither does the disk's state.
pub(super) fn why_it_could_not(engine: &Engine, said: &[u8]) -> Option<String> {
    // An engine on another kernel has a disk of its own, whose path means something else here.
    let root = engine.root.as_ref().filter(|_| !engine.elsewhere)?;
    let was_told = String::from_utf8_lossy(said).to_lowercase().contains("no space left on device");
    (was_told && is_full(root)).then(|| format!("{NO_ROOM} (its files are in {}); the step was told that no space is left", root.display()))
}

fn is_full(place: &Path) -> bool {
    rustix::fs::statvfs(place).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < LEFT || (disk.f_files > 0 && disk.f_favail == 0))
}
