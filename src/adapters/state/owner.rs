//! Who lives: a file per process, locked until it ends.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{StateError, StateFolder, file_name, private_folder};

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
        match claim() {
            Ok(lock) => Ok(Owner { id, path, _lock: lock }),
            Err(error) => Err(unusable(&path, &error)),
        }
    }

    /// Whether the process that claimed this id still runs. One that nobody knows is dead: it has ended and tidied up, or was tidied up after.
    pub fn is_alive(&self, owner: &str) -> Result<bool, StateError> {
        let path = self.root().join("owners").join(file_name(owner));
        is_locked(&path).map_err(|error| unusable(&path, &error))
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
            // One that is being claimed right now is not locked for a moment; it has no name yet either.
            if !id.starts_with('.') {
                let _ = std::fs::remove_file(&path);
                dead.push(id);
            }
        }
        dead.sort();
        Ok(dead)
    }
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
    fn a_file_without_its_lock_is_a_dead_owner_and_is_buried_once() {
        let (_place, state) = state();
        let living = state.claim().expect("a living one");
        std::fs::write(state.root().join("owners/gone"), "1234\n").expect("what a killed process leaves");
        assert!(!state.is_alive("gone").expect("asked"));
        assert_eq!(state.bury_the_dead().expect("tidied"), ["gone"]);
        assert_eq!(state.bury_the_dead().expect("tidied"), Vec::<String>::new());
        assert!(state.is_alive(living.id()).expect("asked"));
    }
}
