//! What is known of the repositories that have mirrors: schedules and the API need it when no delivery says it.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

use super::{MirrorError, Mirrors};
use crate::model::trigger::Repository;

/// Bytes of what is known of one repository.
const MAX_BYTES: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub id: u64,
    pub name: String,
    pub url: String,
    pub default_branch: String,
    pub private: bool,
    pub installation: Option<u64>,
}

impl From<&Repository> for Known {
    fn from(repository: &Repository) -> Self {
        let Repository { id, name, url, default_branch, private, installation } = repository.clone();
        Self { id, name, url, default_branch, private, installation }
    }
}

impl From<Known> for Repository {
    fn from(known: Known) -> Self {
        let Known { id, name, url, default_branch, private, installation } = known;
        Self { id, name, url, default_branch, private, installation }
    }
}

impl Mirrors {
    /// Written beside and renamed; nothing is done where nothing has changed.
    pub fn remember(&self, repository: &Repository) -> Result<(), MirrorError> {
        let known = Known::from(repository);
        if self.known(&repository.name).as_ref() == Some(&known) {
            return Ok(());
        }
        let unusable = |why: String| MirrorError::Unusable { repository: repository.name.clone(), why };
        let text = serde_json::to_vec(&known).map_err(|error| unusable(error.to_string()))?;
        let mut file = tempfile::Builder::new().prefix(".tmp").tempfile_in(&self.root).map_err(|error| unusable(error.to_string()))?;
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(|error| unusable(error.to_string()))?;
        file.persist(self.path(&repository.name, ".json")).map_err(|error| unusable(error.to_string()))?;
        Ok(())
    }

    /// What a delivery has said of it last.
    pub fn known(&self, repository: &str) -> Option<Known> {
        read(&self.path(repository, ".json"))
    }

    /// All of them, by name.
    pub fn all_known(&self) -> Vec<Known> {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return Vec::new() };
        let files = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "json"));
        let mut all: Vec<Known> = files.filter_map(|path| read(&path)).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

/// What can not be understood is not known: the next delivery says it again.
fn read(path: &std::path::Path) -> Option<Known> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(std::fs::File::open(path).ok()?, MAX_BYTES), &mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}
