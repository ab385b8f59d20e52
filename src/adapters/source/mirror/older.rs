//! What a mirror is made with, and what becomes of one that an earlier version has made; and what killed processes have left in it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use git2::{Config, ConfigLevel, Repository as Git};

use super::packs::gone;
use super::room::references;

/// Nothing that was fetched is ever removed, also where somebody lets git's own tools clean up; and whoever packs takes no more memory than this for what is compared.
const SETTINGS: [(&str, &str); 3] = [("gc.auto", "0"), ("gc.pruneExpire", "never"), ("pack.windowMemory", "64m")];

/// Where it says something else it is left so: somebody has wanted it.
pub(super) fn settle(mirror: &Path) -> Result<(), git2::Error> {
    // What this user's and this machine's git are set to does not count.
    let mut own = Config::new()?;
    own.add_file(&mirror.join("config"), ConfigLevel::Local, false)?;
    for (name, value) in SETTINGS {
        if own.get_entry(name).is_err() {
            own.set_str(name, value)?;
        }
    }
    Ok(())
}

/// An earlier version kept one for each commit, and all of them were offered to the other side with every fetch. Commits stay without, as nothing is pruned.
pub(super) fn of_commits(git: &Git) -> Result<Vec<String>, git2::Error> {
    references(git, "refs/tidegate/commits/*")
}

/// What killed processes have left: halves of packs, and locks. Only for who holds the mirror's lock: then nobody of ours is at it.
pub(super) fn sweep(mirror: &Path, age: Duration) -> io::Result<()> {
    for lock in ["config.lock", "packed-refs.lock"] {
        remove_old(&mirror.join(lock), age)?;
    }
    for entry in fs::read_dir(mirror.join("objects/pack"))? {
        let path = entry?.path();
        if is_half(&path) {
            remove_old(&path, age)?;
        }
    }
    Ok(())
}

/// Of libgit2 and of git while they write, or one of the two files of a pack.
fn is_half(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let half = |other: &str| !path.with_extension(other).exists();
    let begun = ["pack_git2_", "tmp_", ".tmp-"].iter().any(|begin| name.starts_with(begin));
    begun || name.starts_with("pack-") && (name.ends_with(".pack") && half("idx") || name.ends_with(".idx") && half("pack"))
}

pub(super) fn remove_old(path: &Path, age: Duration) -> io::Result<()> {
    let Ok(about) = fs::symlink_metadata(path) else { return Ok(()) };
    // With a clock that was set back it stays a while longer.
    if about.is_file() && about.modified()?.elapsed().is_ok_and(|since| since >= age) {
        gone(fs::remove_file(path))?;
    }
    Ok(())
}
