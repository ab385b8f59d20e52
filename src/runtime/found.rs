//! What a step has found, read from the file that its supervisor has kept, before its end becomes a fact.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::adapters::workspace::stored;
use crate::core::findings::{note, read_sarif};
use crate::model::finding::Found;

/// A file takes several times its size in memory while it is read: one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// Notes in it what its file says. A step's findings never change how it ended.
pub(super) async fn read(state: &Path, found: &mut Found) {
    let Some(digest) = &found.file else { return };
    let path = stored(state, digest);
    let mut noted = found.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        match std::fs::read(&path) {
            Ok(bytes) => note(&mut noted, read_sarif(&bytes)),
            Err(error) => noted.problem = Some(format!("the findings that were kept can not be read: {error}")),
        }
        noted
    });
    match reading.await {
        Ok(noted) => *found = noted,
        Err(_) => found.problem = Some("the findings could not be read".to_owned()),
    }
}
