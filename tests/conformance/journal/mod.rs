//! What every journal must do: [`stories`], told by one line for each; and what the embedded one must survive: [`crash`], [`old`].

mod crash;
mod old;
mod samples;
mod stories;

use std::path::{Path, PathBuf};

use tidegate::adapters::journal::{self, AnyJournal};

/// A place for one journal, and the way to open it as often as a story likes.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }
    fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }
}

fn open(path: &Path, owner: &str) -> AnyJournal {
    journal::open(path, owner).expect("the journal opens")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime").block_on(future)
}

#[test]
fn sqlite_tells_every_story() {
    block_on(async {
        stories::all(|| {
            let place = Place::new();
            move |owner: &str| open(&place.path(), owner)
        })
        .await;
    });
}
