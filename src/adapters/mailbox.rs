//! Letters from one process to the one that drives a rollout or a run: what a person decided at another terminal, or through the API.
//!
//! A letter is a small file named after the rollout or the run, written beside and renamed, so that it is there whole or not at all. The driver takes it out, which is
//! also the answer that it was read. Knows nothing of what a decision means.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::adapters::state::file_name;
use crate::model::id::{RolloutId, RunId};
use crate::model::policy::Word;

/// Bytes of a reason; the rest of it is not read.
const MAX_REASON: u64 = 500;
/// Words that one run is told at most, and bytes of one.
const MOST_WORDS: usize = 1_000;
const WORD_BYTES: u64 = 64 << 10;

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

/// What people say about what a run waits for: a folder for each run, a file for each word, so that none takes the place of another.
#[derive(Debug, Clone)]
pub struct Words {
    folder: PathBuf,
}

impl Words {
    /// `folder` is there and private.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Answers where the word is until it has been heard.
    pub fn say(&self, run: &RunId, word: &Word) -> io::Result<PathBuf> {
        let folder = self.of(run);
        std::fs::create_dir_all(&folder)?;
        let mut file = tempfile::Builder::new().prefix(".tmp").tempfile_in(&folder)?;
        serde_json::to_writer(&mut file, word)?;
        let name = file.path().file_name().unwrap_or_default().to_string_lossy().replace(".tmp", "word-");
        let path = folder.join(name);
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    }

    /// What has been said and not been heard, the oldest first. What can not be read is no word, and is gone.
    pub fn said(&self, run: &RunId) -> Vec<(PathBuf, Word)> {
        let Ok(entries) = std::fs::read_dir(self.of(run)) else { return Vec::new() };
        let whole = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("word-");
        let mut paths: Vec<_> = entries
            .flatten()
            .filter(whole)
            .map(|entry| (entry.metadata().and_then(|data| data.modified()).ok(), entry.path()))
            .take(MOST_WORDS)
            .collect();
        paths.sort();
        let read = |path: PathBuf| match word(&path) {
            Some(word) => Some((path, word)),
            None => {
                let _ = std::fs::remove_file(&path);
                None
            }
        };
        paths.into_iter().filter_map(|(_, path)| read(path)).collect()
    }

    /// A word has been heard; that it is gone is the answer.
    pub fn heard(&self, path: &Path) {
        let _ = std::fs::remove_file(path);
    }

    /// Nothing more is heard by this run.
    pub fn end(&self, run: &RunId) {
        let _ = std::fs::remove_dir_all(self.of(run));
    }

    fn of(&self, run: &RunId) -> PathBuf {
        self.folder.join(file_name(run.as_str()))
    }
}

fn word(path: &Path) -> Option<Word> {
    let mut text = Vec::new();
    std::fs::File::open(path).ok()?.take(WORD_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_for_one_run_and_takes_no_others_place() {
        use crate::model::policy::{Verdict, Voice};
        let folder = tempfile::tempdir().expect("a folder");
        let words = Words::new(folder.path().to_path_buf());
        let (mine, other) = (RunId::new("r1"), RunId::new("../r2"));
        let word = |verdict| Word { environment: None, node: None, by: Voice::Machine { user: "ada".into() }, verdict, ahead: false };
        let first = words.say(&mine, &word(Verdict::Approve)).expect("said");
        words.say(&mine, &word(Verdict::Reject { reason: "no".into() })).expect("said");
        words.say(&other, &word(Verdict::Approve)).expect("said inside of the folder");
        assert_eq!(std::fs::read_dir(folder.path()).expect("it").count(), 2);
        assert_eq!(words.said(&mine).len(), 2);
        words.heard(&first);
        assert_eq!(words.said(&mine).into_iter().map(|(_, word)| word.verdict).collect::<Vec<_>>(), [Verdict::Reject { reason: "no".into() }]);
        std::fs::write(folder.path().join("r1/word-x"), "nonsense").expect("written");
        assert_eq!(words.said(&mine).len(), 1);
        assert!(!folder.path().join("r1/word-x").exists());
        words.end(&mine);
        assert_eq!((words.said(&mine).len(), words.said(&other).len()), (0, 1));
    }

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
