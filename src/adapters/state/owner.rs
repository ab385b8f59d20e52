//! Who lives: a file per process, locked until it ends.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{StateError, StateFolder, file_name, private_folder};
use crate::model::id::{RolloutId, RunId};

/// This process, as others see it. Lives as long as the value, or as the process if that ends first.
#[derive(Debug)]
pub struct Owner {
    id: String,
    path: PathBuf,
    /// Holds the lock. Closed on exec, so that no child keeps a dead process alive.
    _lock: File,
}

impl Owner {
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A dead process's run or rollout that this one goes on with, until this is dropped or the process ends.
#[derive(Debug)]
pub struct Adoption {
    _lock: File,
    /// What has no folder that goes with it.
    left: Option<PathBuf>,
}

impl Drop for Adoption {
    fn drop(&mut self) {
        if let Some(left) = &self.left {
            let _ = std::fs::remove_file(left);
        }
    }
}

impl StateFolder {
    /// Says that this process lives, under an id that no other ever has.
    pub fn claim(&self) -> Result<Owner, StateError> {
        let folder = private_folder(self.root().join("owners"))?;
        let id = uuid::Uuid::now_v7().to_string();
        let path = folder.join(&id);
        // Locked before it gets its name: whoever finds it under its name finds it locked.
        let claim = || {
            let new = folder.join(format!(".{id}"));
            let mut lock = File::create_new(&new)?;
            lock.lock()?;
            writeln!(lock, "{}", std::process::id())?;
            std::fs::rename(&new, &path)?;
            Ok(lock)
        };
        // Somebody who tidied up between the two took it for one that died there.
        let again = |claimed: std::io::Result<File>| match claimed {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => claim(),
            claimed => claimed,
        };
        match (0..10).fold(claim(), |claimed, _| again(claimed)) {
            Ok(lock) => Ok(Owner { id, path, _lock: lock }),
            Err(error) => Err(unusable(&path, &error)),
        }
    }

    /// Whether the process that claimed this id still runs. One that nobody knows is dead: it has ended and tidied up, or was tidied up after.
    pub fn is_alive(&self, owner: &str) -> Result<bool, StateError> {
        let path = self.root().join("owners").join(file_name(owner));
        is_locked(&path).map_err(|error| unusable(&path, &error))
    }

    /// Takes a dead process's run over, to go on with it; `None` when somebody has done so before and lives. From then on nobody else may write to it: whoever would
    /// only mark it as interrupted asks `is_adopted` before every word.
    pub fn adopt(&self, run: &RunId) -> Result<Option<Adoption>, StateError> {
        self.make_run(run)?;
        let path = self.adopted(run);
        Ok(take(&path)?.map(|lock| Adoption { _lock: lock, left: None }))
    }

    /// The same of a rollout: who goes on with it has perhaps not said anything of it yet.
    pub fn adopt_rollout(&self, rollout: &RolloutId) -> Result<Option<Adoption>, StateError> {
        let path = self.folder("adopted")?.join(file_name(rollout.as_str()));
        Ok(take(&path)?.map(|lock| Adoption { _lock: lock, left: Some(path) }))
    }

    pub fn is_rollout_adopted(&self, rollout: &RolloutId) -> Result<bool, StateError> {
        let path = self.root().join("adopted").join(file_name(rollout.as_str()));
        is_locked(&path).map_err(|error| unusable(&path, &error))
    }

    /// Whether somebody who lives has taken it over. In this process, too.
    pub fn is_adopted(&self, run: &RunId) -> Result<bool, StateError> {
        let path = self.adopted(run);
        is_locked(&path).map_err(|error| unusable(&path, &error))
    }

    fn adopted(&self, run: &RunId) -> PathBuf {
        self.run(run).join("adopted")
    }

    /// Removes what dead processes left in `owners` and answers their ids. Whoever keeps things under an owner's id removes those first.
    pub fn bury_the_dead(&self) -> Result<Vec<String>, StateError> {
        let folder = private_folder(self.root().join("owners"))?;
        let mut dead = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(|error| unusable(&folder, &error))? {
            let entry = entry.map_err(|error| unusable(&folder, &error))?;
            let Ok(id) = entry.file_name().into_string() else { continue };
            let path = entry.path();
            if is_locked(&path).map_err(|error| unusable(&path, &error))? {
                continue;
            }
            let _ = std::fs::remove_file(&path);
            // It died, or is about to be told that it has to begin again, before it had a name.
            if !id.starts_with('.') {
                dead.push(id);
            }
        }
        dead.sort();
        Ok(dead)
    }
}

/// `None`: somebody else holds it.
fn take(path: &Path) -> Result<Option<File>, StateError> {
    let take = || {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        // Who only asks holds it for a moment as well.
        for _ in 0..50 {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(std::time::Duration::from_millis(2)),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    };
    take().map_err(|error| unusable(path, &error))
}

fn is_locked(path: &Path) -> std::io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> StateError {
    StateError::Unusable { path: path.to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, StateFolder) {
        let place = tempfile::tempdir().expect("a temporary folder");
        let state = StateFolder::open(place.path().join("state")).expect("a state folder");
        (place, state)
    }

    #[test]
    fn an_owner_is_alive_until_it_is_dropped() {
        let (_place, state) = state();
        let (ada, bob) = (state.claim().expect("ada"), state.claim().expect("bob"));
        assert!(state.is_alive(ada.id()).expect("asked") && state.is_alive(bob.id()).expect("asked"));
        let id = ada.id().to_owned();
        drop(ada);
        assert!(!state.is_alive(&id).expect("asked"));
        assert!(state.is_alive(bob.id()).expect("asked"));
        assert!(!state.is_alive("nobody").expect("asked"));
        assert!(!state.is_alive("../../etc/passwd").expect("asked"));
    }

    #[test]
    fn a_run_is_taken_over_by_one_at_a_time() {
        let (_place, state) = state();
        let run = RunId::new("r1");
        assert!(!state.is_adopted(&run).expect("asked"));
        let first = state.adopt(&run).expect("asked").expect("nobody else has");
        assert!(state.is_adopted(&run).expect("asked") && !state.is_adopted(&RunId::new("r2")).expect("asked"));
        assert!(state.adopt(&run).expect("asked").is_none());
        drop(first);
        assert!(!state.is_adopted(&run).expect("asked") && state.adopt(&run).expect("asked").is_some());
    }

    #[test]
    fn a_rollout_is_taken_over_by_one_at_a_time_and_leaves_nothing() {
        let (_place, state) = state();
        let rollout = RolloutId::new("hello/20260101");
        assert!(!state.is_rollout_adopted(&rollout).expect("asked"));
        let first = state.adopt_rollout(&rollout).expect("asked").expect("nobody else has");
        assert!(state.is_rollout_adopted(&rollout).expect("asked") && !state.is_rollout_adopted(&RolloutId::new("other")).expect("asked"));
        assert!(state.adopt_rollout(&rollout).expect("asked").is_none());
        drop(first);
        assert!(!state.is_rollout_adopted(&rollout).expect("asked"));
        assert_eq!(std::fs::read_dir(state.root().join("adopted")).expect("listed").count(), 0);
        assert!(state.adopt_rollout(&rollout).expect("asked").is_some());
    }

    #[test]
    fn a_file_without_its_lock_is_a_dead_owner_and_is_buried_once() {
        let (_place, state) = state();
        let living = state.claim().expect("a living one");
        std::fs::write(state.root().join("owners/gone"), "1234\n").expect("what a killed process leaves");
        std::fs::write(state.root().join("owners/.early"), "").expect("what one leaves that was killed while it claimed");
        assert!(!state.is_alive("gone").expect("asked"));
        assert_eq!(state.bury_the_dead().expect("tidied"), ["gone"]);
        assert_eq!(std::fs::read_dir(state.root().join("owners")).expect("listed").count(), 1, "the living one");
        assert_eq!(state.bury_the_dead().expect("tidied"), Vec::<String>::new());
        assert!(state.is_alive(living.id()).expect("asked"));
    }
}
