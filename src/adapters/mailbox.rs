//! Letters from one process to the one that drives a rollout or a run: what a person decided at another terminal, or through the API.
//!
//! A letter is a small file named after the rollout or the run, written beside and renamed, so that it is there whole or not at all. The driver takes it out, which is
//! also the answer that it was read. Knows nothing of what a decision means.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::id::{RolloutId, RunId};

/// Bytes of a reason; the rest of it is not read.
const MAX_REASON: u64 = 500;

/// What a person can say about a rollout that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    Promote,
    Abort,
}

impl Letter {
    fn word(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Abort => "abort",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Mailbox {
    folder: PathBuf,
}

impl Mailbox {
    /// `folder` is there and private.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The last letter wins.
    pub fn post(&self, rollout: &RolloutId, letter: Letter) -> io::Result<()> {
        self.write(&self.path(rollout), letter.word())
    }

    /// The letter for this rollout, if there is one; it is gone then. What can not be read is no letter.
    pub fn take(&self, rollout: &RolloutId) -> Option<Letter> {
        let path = self.path(rollout);
        let word = std::fs::read_to_string(&path).ok()?;
        std::fs::remove_file(&path).ok()?;
        [Letter::Promote, Letter::Abort].into_iter().find(|letter| letter.word() == word)
    }

    /// Whether a letter still waits to be taken.
    pub fn waits(&self, rollout: &RolloutId) -> bool {
        self.path(rollout).exists()
    }

    /// Asks whoever drives this run to stop it, for this reason.
    pub fn cancel(&self, run: &RunId, reason: &str) -> io::Result<()> {
        self.write(&self.path_of_run(run), reason)
    }

    /// Why this run shall stop, if somebody wants that; the letter is gone then.
    pub fn cancelled(&self, run: &RunId) -> Option<String> {
        let path = self.path_of_run(run);
        let mut reason = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(&path).ok()?, MAX_REASON), &mut reason).ok()?;
        std::fs::remove_file(&path).ok()?;
        Some(String::from_utf8_lossy(&reason).into_owned())
    }

    /// Whether such a letter still waits to be taken.
    pub fn cancel_waits(&self, run: &RunId) -> bool {
        self.path_of_run(run).exists()
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".tmp").tempfile_in(&self.folder)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// No rollout is called so: the space is no part of an id.
    fn path_of_run(&self, run: &RunId) -> PathBuf {
        self.folder.join(Path::new(&crate::adapters::state::file_name(&format!("run {run}"))))
    }

    fn path(&self, rollout: &RolloutId) -> PathBuf {
        self.folder.join(Path::new(&crate::adapters::state::file_name(rollout.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_taken_once_and_only_by_whom_it_is_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let mailbox = Mailbox::new(folder.path().to_path_buf());
        let (mine, other) = (RolloutId::new("hello-1"), RolloutId::new("../hello-2"));
        mailbox.post(&mine, Letter::Promote).expect("posted");
        mailbox.post(&mine, Letter::Abort).expect("posted");
        mailbox.post(&other, Letter::Promote).expect("posted inside of the folder");
        assert_eq!(std::fs::read_dir(folder.path()).expect("it").count(), 2);
        assert_eq!(mailbox.take(&mine), Some(Letter::Abort));
        assert_eq!(mailbox.take(&mine), None);
        assert!(mailbox.waits(&other));
    }
    #[test]
    fn a_run_is_cancelled_once_and_a_rollout_of_the_same_name_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let mailbox = Mailbox::new(folder.path().to_path_buf());
        let run = RunId::new("r1");
        mailbox.cancel(&run, &"x".repeat(10_000)).expect("posted");
        assert!(mailbox.cancel_waits(&run) && mailbox.take(&RolloutId::new("r1")).is_none());
        assert_eq!(mailbox.cancelled(&run).map(|reason| reason.len()), Some(500));
        assert_eq!((mailbox.cancelled(&run), mailbox.cancel_waits(&run)), (None, false));
    }
}
