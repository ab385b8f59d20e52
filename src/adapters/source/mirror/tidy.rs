//! Mirrors stay quick: what years of fetching leave is put together, while everything else goes on.
//!
//! Each fetch leaves a pack, and who looks for an object looks into one after the other. So the small ones are written anew as one, with all that they have. Only letting
//! that in waits for the mirror's lock, and a fetch for it: some renames and removals. The writing is done on a thread that everybody else goes before, and of two
//! processes one does it.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use git2::Repository as Git;

use super::together::{self, Failed};
use super::{MirrorError, Mirrors, older, packs, room};

/// References that are removed while nobody can fetch.
const REFERENCES: usize = 200;
/// The lowest priority that there is.
const LAST: i32 = 19;

/// What is let lie, and how much is done at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// So many packs.
    pub packs: usize,
    /// So many objects in files of their own. git's own tools make them.
    pub loose: usize,
    /// A pack of more bytes.
    pub pack: u64,
    /// A pack with an object of more bytes, as objects are held in memory.
    pub object: usize,
    /// Bytes of packs that become one.
    pub bytes: u64,
    /// For all of it.
    pub time: Duration,
    /// What was begun and not touched for so long, nobody will end.
    pub left: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packs: 200,
            loose: 2_000,
            pack: 32 << 20,
            object: 16 << 20,
            bytes: 128 << 20,
            time: Duration::from_secs(600),
            left: Duration::from_secs(3_600),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tidied {
    /// There was nothing to do, or somebody else does it.
    Nothing,
    /// There may be more.
    Packed { packs: usize, objects: usize },
    /// It was not to go on.
    Stopped,
}

impl Mirrors {
    /// Brings a mirror up to what a new one is, and puts its small packs together if there are many. `go_on` is asked all the time, and when it has said no it goes on
    /// saying so. Whoever is killed in the middle of it has damaged nothing.
    pub fn tidy(&self, repository: &str, limits: &Limits, go_on: &(dyn Fn() -> bool + Sync)) -> Result<Tidied, MirrorError> {
        if !self.path(repository, "").is_dir() {
            return Ok(Tidied::Nothing);
        }
        let until = Instant::now() + limits.time;
        let in_time = || go_on() && Instant::now() < until;
        match self.tidy_until(repository, limits, &in_time) {
            Ok(Tidied::Stopped) | Err(_) if !go_on() => Ok(Tidied::Stopped),
            Ok(Tidied::Stopped) | Err(_) if !in_time() => {
                Err(unusable(repository, format!("its packs could not be put together within {} s", limits.time.as_secs())))
            }
            done => done,
        }
    }

    fn tidy_until(&self, repository: &str, limits: &Limits, go_on: &(dyn Fn() -> bool + Sync)) -> Result<Tidied, MirrorError> {
        let failed = |error: &dyn std::fmt::Display| unusable(repository, super::super::clean(&error.to_string()));
        let own = File::create(self.path(repository, ".tidying")).map_err(|error| failed(&error))?;
        if !taken(&own).map_err(|error| failed(&error))? {
            return Ok(Tidied::Nothing);
        }
        let mirror = self.path(repository, "");
        {
            let _lock = self.lock(repository)?;
            older::sweep(&mirror, limits.left).map_err(|error| failed(&error))?;
            older::settle(&mirror).map_err(|error| failed(&error))?;
        }
        let git = self.source(repository)?.repository;
        for some in older::of_commits(&git).map_err(|error| failed(&error))?.chunks(REFERENCES) {
            if !go_on() {
                return Ok(Tidied::Stopped);
            }
            let _lock = self.lock(repository)?;
            room::remove(&git, some).map_err(|error| failed(&error))?;
        }
        let beside = self.path(repository, ".packing");
        let done = self.put_together(repository, &beside, limits, go_on);
        packs::gone(fs::remove_dir_all(&beside)).map_err(|error| failed(&error))?;
        done
    }

    fn put_together(&self, repository: &str, beside: &Path, limits: &Limits, go_on: &(dyn Fn() -> bool + Sync)) -> Result<Tidied, MirrorError> {
        let failed = |error: Failed| unusable(repository, super::super::clean(&error.to_string()));
        packs::gone(fs::remove_dir_all(beside)).map_err(|error| failed(error.into()))?;
        let mirror = self.path(repository, "");
        let Some(written) = aside(|| written(&mirror, beside, limits, go_on)).map_err(failed)? else {
            return Ok(if go_on() { Tidied::Nothing } else { Tidied::Stopped });
        };
        let objects = mirror.join("objects");
        {
            let _lock = self.lock(repository)?;
            written.let_in(&objects, go_on).map_err(|error| failed(error.into()))?;
        }
        written.remove_loose(go_on).map_err(|error| failed(error.into()))?;
        Ok(Tidied::Packed { packs: written.packs(), objects: written.objects() })
    }
}

fn unusable(repository: &str, why: String) -> MirrorError {
    MirrorError::Unusable { repository: repository.to_owned(), why }
}

/// Nothing where too little is there, or it is not to go on.
fn written(mirror: &Path, beside: &Path, limits: &Limits, go_on: &dyn Fn() -> bool) -> Result<Option<together::Written>, Failed> {
    let objects = mirror.join("objects");
    let (packs, loose) = (packs::packs(&objects, limits.pack)?, packs::loose(&objects, limits.loose * 10)?);
    if packs.len() <= limits.packs && loose.len() <= limits.loose {
        return Ok(None);
    }
    let git = Git::open_bare(mirror)?;
    let chosen = together::choose(&git, beside, packs, loose, limits, go_on)?;
    if !go_on() || chosen.packs.len() + chosen.loose.len() < 2 {
        return Ok(None);
    }
    together::write(beside, chosen, go_on).map(Some)
}

/// On a thread of its own, which everything else goes before. Whoever holds a lock that others wait for must not be on it.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let last = || {
        // As it is, if it may not.
        let _ = rustix::process::setpriority_process(None, LAST);
        work()
    };
    std::thread::scope(|scope| scope.spawn(last).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// A program that is begun while it is held holds it as well, for a moment.
fn taken(lock: &File) -> std::io::Result<bool> {
    for _ in 0..50 {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(2)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}
