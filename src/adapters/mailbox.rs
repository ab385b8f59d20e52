//! Letters from one process to the one that drives a rollout: what a person decided at another terminal.
//!
//! A letter is a small file named after the rollout, written beside and renamed, so that it is there whole or not at all. The driver takes it out, which is
//! also the answer that it was read. Knows nothing of what a decision means.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::id::RolloutId;

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
        let mut file = tempfile::Builder::new().prefix(".tmp").tempfile_in(&self.folder)?;
        io::Write::write_all(&mut file, letter.word().as_bytes())?;
        file.persist(self.path(rollout)).map_err(|error| error.error)?;
        Ok(())
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
}
