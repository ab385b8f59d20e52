//! The state folder: where runs, releases and the journal are kept, and which processes that wrote there are still alive.
//!
//! ```text
//! STATE/journal.db           facts
//! STATE/runs/RUN/NODE.N.log  what attempt N of a node said
//! STATE/runs/RUN/tree        the path of the tree that its steps stand on
//! STATE/runs/RUN/adopted     locked as long as a process that goes on with a dead one's run lives
//! STATE/owners/OWNER         locked as long as that process lives: the kernel lets go of the lock however it dies
//! STATE/invocations/RUN/…   the records of invocations under way (executor)
//! STATE/admission/…          the queue for room on this machine (admission)
//! STATE/…                    other folders, each of one adapter: `StateFolder::folder`
//! ```
//!
//! Everything in it is private to its user (0700). A process never trusts a process id, which is reused, nor a heartbeat, which a stopped process
//! does not send: only the lock says who lives.

mod names;
mod owner;

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::model::id::{NodeId, RunId};

pub use names::{attempt_name, file_name, log_name, service_log};
pub use owner::{Adoption, Owner};

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(
        "there is no place for the state folder: neither --state-dir, XDG_STATE_HOME nor HOME is set (as an absolute path); give --state-dir DIR"
    )]
    Nowhere,
    #[error("the state folder {path} can not be used: {why}")]
    Unusable { path: PathBuf, why: String },
}

/// A private folder that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFolder {
    root: PathBuf,
}

/// Where the state folder is: `--state-dir`, else by the XDG rules (which say that a relative path is to be ignored). Makes nothing.
pub fn locate(chosen: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, StateError> {
    if let Some(chosen) = chosen {
        return std::path::absolute(chosen).map_err(|error| StateError::Unusable { path: chosen.to_owned(), why: error.to_string() });
    }
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    home.map(|home| home.join("tidegate")).ok_or(StateError::Nowhere)
}

impl StateFolder {
    /// Uses `root`, makes it if it is not there, and makes it private.
    pub fn open(root: PathBuf) -> Result<Self, StateError> {
        let unusable = |why: String| StateError::Unusable { path: root.clone(), why };
        if root.to_str().is_none() {
            return Err(unusable("its name is not UTF-8; choose another one".to_owned()));
        }
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .map_err(|error| unusable(format!("{error}; choose another one with --state-dir")))?;
        let found = std::fs::metadata(&root).map_err(|error| unusable(error.to_string()))?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(unusable("it belongs to another user; choose another one with --state-dir".to_owned()));
        }
        if found.mode() & 0o077 != 0 {
            make_private(&root).map_err(unusable)?;
        }
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.db")
    }
    /// Tokens and sessions.
    pub fn access(&self) -> PathBuf {
        self.root.join("access.db")
    }
    /// A private folder in it, made if it is not there.
    pub fn folder(&self, name: &str) -> Result<PathBuf, StateError> {
        private_folder(self.root.join(file_name(name)))
    }
    /// Where the logs of a run are. Not made.
    pub fn run(&self, run: &RunId) -> PathBuf {
        self.root.join("runs").join(file_name(run.as_str()))
    }
    /// Where an attempt's log is. Not made: `make_run` makes the folder.
    pub fn log(&self, run: &RunId, node: &NodeId, attempt: u32) -> PathBuf {
        self.run(run).join(log_name(node, attempt))
    }
    /// A file that is locked as long as anything of an attempt lives, whoever began it. Not made.
    pub fn life(&self, run: &RunId, node: &NodeId, attempt: u32) -> PathBuf {
        invocation(&self.root, run, node, attempt).join("lock")
    }
    /// Where it is written which tree the steps of a run stand on. Not made.
    pub fn tree(&self, run: &RunId) -> PathBuf {
        self.run(run).join("tree")
    }
    pub fn make_run(&self, run: &RunId) -> Result<PathBuf, StateError> {
        self.folder("runs")?;
        private_folder(self.run(run))
    }
}

/// In a state folder: the record of an attempt, while it is under way. Not made.
pub fn invocation(state: &Path, run: &RunId, node: &NodeId, attempt: u32) -> PathBuf {
    state.join("invocations").join(file_name(run.as_str())).join(attempt_name(node, attempt))
}

fn private_folder(path: PathBuf) -> Result<PathBuf, StateError> {
    match std::fs::DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(StateError::Unusable { path, why: error.to_string() }),
        _ => Ok(path),
    }
}

/// Only an empty folder or one that is a state folder already: whoever says `--state-dir /tmp` must not find /tmp closed to everybody else.
fn make_private(root: &Path) -> Result<(), String> {
    let mut inside = std::fs::read_dir(root).map_err(|error| error.to_string())?;
    let (writable, empty) = (std::fs::metadata(root).map_err(|error| error.to_string())?.mode() & 0o022 != 0, inside.next().is_none());
    if writable && !empty {
        return Err("others may write to it and it is not empty, so they may have put in what is there: choose a new or an empty folder".to_owned());
    }
    if !empty && !root.join("owners").is_dir() {
        return Err("others may look into it and it holds other things: choose a new or an empty folder, or `chmod 700` it".to_owned());
    }
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o700)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(chosen: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        locate(chosen.map(Path::new), variable).ok().map(|path| path.display().to_string())
    }

    #[test]
    fn the_state_folder_is_where_the_xdg_rules_say() {
        let home = ("HOME", "/home/ada");
        assert_eq!(at(Some("/srv/state"), &[home]).as_deref(), Some("/srv/state"));
        assert_eq!(at(None, &[home, ("XDG_STATE_HOME", "/var/ada")]).as_deref(), Some("/var/ada/tidegate"));
        assert_eq!(at(None, &[home, ("XDG_STATE_HOME", "relative")]).as_deref(), Some("/home/ada/.local/state/tidegate"));
        assert_eq!(at(None, &[home, ("XDG_STATE_HOME", "")]).as_deref(), Some("/home/ada/.local/state/tidegate"));
        assert_eq!(at(None, &[("HOME", "")]), None);
    }

    #[test]
    fn the_state_folder_is_private_and_nobody_elses_folder_becomes_so() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let mode = |path: &Path| std::fs::metadata(path).expect("is there").mode() & 0o777;
        let open = |path: &Path, bits| std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).expect("its mode");

        let state = StateFolder::open(place.path().join("deep/state")).expect("a new folder");
        assert_eq!(mode(state.root()), 0o700);
        assert_eq!(mode(&state.make_run(&RunId::new("r1")).expect("made")), 0o700);
        assert_eq!(mode(&state.root().join("runs")), 0o700);

        let shared = place.path().join("shared");
        std::fs::create_dir(&shared).expect("made");
        open(&shared, 0o755);
        StateFolder::open(shared.clone()).expect("an empty folder is taken");
        assert_eq!(mode(&shared), 0o700);

        std::fs::write(shared.join("thesis.txt"), "years of work").expect("written");
        open(&shared, 0o755);
        let error = StateFolder::open(shared.clone()).expect_err("a folder with other things").to_string();
        assert!(error.contains("choose a new or an empty folder"), "{error}");
        assert_eq!(mode(&shared), 0o755);

        // What looks like a state folder, in a place where anybody could have made it look so.
        let trap = place.path().join("trap");
        std::fs::create_dir_all(trap.join("owners")).expect("made");
        open(&trap, 0o775);
        let error = StateFolder::open(trap.clone()).expect_err("a folder that others fill").to_string();
        assert!(error.contains("others may write to it"), "{error}");
    }
}
