//! The record of one invocation on disk: what is true of it whoever dies.
//!
//! ```text
//! STATE/invocations/RUN/NODE.ATTEMPT/
//!     lock      held by the supervisor and by the sandbox's helper. Free: nothing of the invocation lives any more. In it: which boot of the machine made it
//!     started   there before the step's first process begins
//!     result    what came of it, as JSON; under this name only when it is whole
//!     plan      what a second supervisor needs to go on with what does not die with the first: a container. Nothing secret
//!     socket    where a later tidegate follows it, or asks it to stop
//! ```
//! It stands until the result is in the journal (`Place::remove`).
//!
//! The mark is made before the step can begin, not after: a supervisor that is killed in between must not leave a step that had begun without it. It is not
//! synced, as nothing that is killed can take it back. Only a machine that goes down can, and then what the record does not say is doubted: another boot
//! than the lock's means that the step may have begun. A result is synced, with all folders above it that were made for it, when those who wait for it have
//! been told: they write it into their journal, and sync that, before anything follows from it. (A machine that goes down in between might as well have gone
//! down before the end.) Where nobody waits, it is on disk for whoever comes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::adapters::state::{file_name, invocation};
use crate::adapters::workspace::boot;
use crate::model::id::{NodeId, RunId};
use crate::model::invocation::InvocationResult;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Place {
    path: PathBuf,
}

/// What can be known of an invocation from its record.
#[derive(Debug)]
pub(in super::super) enum Known {
    /// Its supervisor lives.
    Living,
    Ended(Box<InvocationResult>),
    /// There is no result, and nobody who could still write one.
    Lost {
        started: bool,
    },
}

impl Place {
    pub(in super::super) fn of(state: &Path, run: &RunId, node: &NodeId, attempt: u32) -> Self {
        Self { path: invocation(state, run, node, attempt) }
    }

    pub(in super::super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(in super::super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder, and takes its lock: whoever is given the file holds it on.
    pub(in super::super) fn make(&self) -> io::Result<File> {
        let mut folders = fs::DirBuilder::new();
        folders.recursive(true).mode(0o700);
        // Another one of the run may just take the empty folder away.
        while let Err(error) = folders.create(&self.path) {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
        }
        let mut lock = File::create_new(self.path.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        lock.write_all(boot().as_bytes())?;
        Ok(lock)
    }

    pub(in super::super) fn mark_started(&self) -> io::Result<()> {
        File::create(self.path.join("started")).map(drop)
    }

    /// Writes down what somebody needs to go on when the supervisor is killed. Not for the next boot: then there is nothing to go on with.
    pub(in super::super) fn write_plan(&self, plan: &[u8]) -> io::Result<()> {
        let new = self.path.join("plan.new");
        fs::write(&new, plan)?;
        fs::rename(&new, self.path.join("plan"))
    }

    pub(in super::super) fn plan(&self) -> Option<Vec<u8>> {
        fs::read(self.path.join("plan")).ok()
    }

    /// Takes the lock of one whose supervisor was killed, for another one. `None` when there is a result, or somebody who lives.
    pub(in super::super) fn take_over(&self) -> io::Result<Option<File>> {
        let lock = File::open(self.path.join("lock"))?;
        // Whoever looks whether it is free holds it for a moment.
        let mut tries = 20;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            tries -= 1;
            if tries == 0 {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.result().is_some() {
            return Ok(None);
        }
        match fs::remove_file(self.path.join("socket")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Some(lock)),
        }
    }

    /// There when it returns, and on disk after `sync`.
    pub(in super::super) fn keep(&self, result: &InvocationResult) -> io::Result<File> {
        let new = self.path.join("result.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(result).map_err(io::Error::other)?)?;
        fs::rename(&new, self.path.join("result"))?;
        Ok(file)
    }

    /// Unless it has been forgotten by now.
    pub(in super::super) fn sync(&self, result: &File) -> io::Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        result.sync_all()?;
        // Its folder, the run's, and that of all runs.
        self.path.ancestors().take(3).try_for_each(|folder| File::open(folder)?.sync_all())
    }

    pub(in super::super) fn result(&self) -> Option<InvocationResult> {
        serde_json::from_slice(&fs::read(self.path.join("result")).ok()?).ok()
    }

    /// Through a descriptor: a socket's path may have 107 bytes, that of a state folder more.
    pub(in super::super) fn listen(&self) -> io::Result<UnixListener> {
        let folder = File::open(&self.path)?;
        UnixListener::bind(format!("/proc/self/fd/{}/socket", folder.as_raw_fd()))
    }

    pub(in super::super) fn connect(&self) -> io::Result<UnixStream> {
        let folder = File::open(&self.path)?;
        UnixStream::connect(format!("/proc/self/fd/{}/socket", folder.as_raw_fd()))
    }

    pub(in super::super) fn known(&self) -> Known {
        // A helper whose supervisor was killed holds the lock until it has killed the rest. That takes no time worth a name.
        for _ in 0..200 {
            // Looked at first: once there is a result, all that still holds the lock is the end of the sandbox's mounts.
            let free = self.is_free();
            if let Some(result) = self.result() {
                return Known::Ended(Box::new(result));
            }
            if free {
                return Known::Lost { started: self.may_have_started() };
            }
            match self.connect() {
                Ok(_) => return Known::Living,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        Known::Living
    }

    /// In doubt, yes: a record that is not there may have been lost with the machine.
    pub(in super::super) fn may_have_started(&self) -> bool {
        let is_of_this_boot = fs::read_to_string(self.path.join("lock")).is_ok_and(|made| made == boot());
        !is_of_this_boot || self.path.join("started").exists()
    }

    /// Whether anything of it lives.
    pub(in super::super) fn is_held(&self) -> bool {
        !self.is_free()
    }

    fn is_free(&self) -> bool {
        File::open(self.path.join("lock")).map_or(true, |lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_ok())
    }

    /// The result is in the journal, or nobody wants it any more.
    pub(in super::super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Not when something else is in it.
        let _ = self.path.parent().map(fs::remove_dir);
        Ok(())
    }
}

/// The folders' names of all runs that there are records of.
pub(in super::super) fn recorded(state: &Path) -> io::Result<Vec<String>> {
    Ok(folders(&state.join("invocations"))?.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
}

/// The folders of all records whose lock somebody holds.
pub(in super::super) fn held(state: &Path) -> io::Result<Vec<PathBuf>> {
    let places = folders(&state.join("invocations"))?.into_iter().flat_map(|run| folders(&run).unwrap_or_default()).map(Place::at);
    Ok(places.filter(Place::is_held).map(|place| place.path).collect())
}

/// Removes the records of these runs' invocations, but of those that live: it answers how many.
pub(in super::super) fn sweep(state: &Path, runs: &[String]) -> io::Result<usize> {
    let mut living = 0;
    for run in runs.iter().map(|run| state.join("invocations").join(file_name(run))) {
        for place in folders(&run)?.into_iter().map(Place::at) {
            match place.known() {
                Known::Living => living += 1,
                Known::Ended(_) | Known::Lost { .. } => place.remove()?,
            }
        }
        // Not when something is in it.
        let _ = fs::remove_dir(&run);
    }
    Ok(living)
}

fn folders(at: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => Ok(entries?.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::invocation::InvocationRecord;
    use crate::model::outcome::Outcome;

    fn place() -> (tempfile::TempDir, Place) {
        let state = tempfile::tempdir().unwrap();
        let place = Place::of(state.path(), &RunId::new("r1"), &NodeId::new("test[os=a b]"), 2);
        (state, place)
    }

    fn result() -> InvocationResult {
        InvocationResult {
            outcome: Outcome::Succeeded,
            record: InvocationRecord::default(),
            artifacts: Vec::new(),
            values: std::collections::BTreeMap::new(),
            layer: None,
        }
    }

    #[test]
    fn what_is_known_follows_from_the_lock_the_mark_and_the_result() {
        let (_state, place) = place();
        assert!(matches!(place.known(), Known::Lost { started: true }), "a record that is not there may have been lost");
        let lock = place.make().unwrap();
        let _socket = place.listen().unwrap();
        assert!(matches!(place.known(), Known::Living));
        drop(lock);
        assert!(matches!(place.known(), Known::Lost { started: false }));
        place.mark_started().unwrap();
        assert!(matches!(place.known(), Known::Lost { started: true }));
        place.keep(&result()).unwrap();
        assert!(matches!(place.known(), Known::Ended(found) if *found == result()));
        place.remove().unwrap();
        place.remove().unwrap();
    }

    #[test]
    fn what_a_machine_that_went_down_may_have_lost_is_doubted() {
        let (_state, place) = place();
        drop(place.make().unwrap());
        assert!(matches!(place.known(), Known::Lost { started: false }));
        fs::write(place.path().join("lock"), "another boot").unwrap();
        assert!(matches!(place.known(), Known::Lost { started: true }));
    }

    #[test]
    fn a_result_that_is_not_whole_is_none() {
        let (_state, place) = place();
        drop(place.make().unwrap());
        fs::write(place.path().join("result.new"), "{\"outcome\":").unwrap();
        assert!(matches!(place.known(), Known::Lost { started: false }));
    }

    #[test]
    fn a_sweep_leaves_what_is_wanted_and_what_lives() {
        let state = tempfile::tempdir().unwrap();
        let at = |run: &str| Place::of(state.path(), &RunId::new(run), &NodeId::new("a"), 1);
        drop(at("wanted").make().unwrap());
        drop(at("dead").make().unwrap());
        let _living = at("living").make().unwrap();
        let _socket = at("living").listen().unwrap();
        let mut runs = recorded(state.path()).unwrap();
        runs.sort();
        assert_eq!(runs, ["dead", "living", "wanted"]);
        assert_eq!(held(state.path()).unwrap(), [at("living").path()]);
        assert_eq!(sweep(state.path(), &runs[..2]).unwrap(), 1);
        assert!(at("wanted").path().exists() && at("living").path().exists() && !state.path().join("invocations/dead").exists());
    }
}
