//! How much a step's outputs may be, and how much they are before anything of them is read: what is too large is refused at once, however long its files are.

use std::path::Path;

use super::collect::NotCollected;
use super::merged::{Found, Merged};
use crate::adapters::workspace::{Halt, WorkspaceError};

/// Files in all outputs of a step together.
const FILES: u64 = 1_000_000;
/// Folders in folders.
pub(super) const DEPTH: usize = 128;

/// What is left of what all outputs together may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) files: u64,
    bytes: u64,
    limit: u64,
}

impl Room {
    pub(super) fn of(limit: u64) -> Self {
        Self { files: FILES, bytes: limit, limit }
    }

    /// One more file, by its length and not by what it takes on disk: a file of holes would be written out by whoever reads it.
    pub(super) fn take(&mut self, length: u64) -> Result<(), NotCollected> {
        let limit = self.limit;
        let too_many = || NotCollected::Step(format!("has more than {FILES} files: pack them into one"));
        self.files = self.files.checked_sub(1).ok_or_else(too_many)?;
        let too_large = || NotCollected::Step(format!("makes the outputs larger than their limit of {limit} bytes"));
        self.bytes = self.bytes.checked_sub(length).ok_or_else(too_large)?;
        Ok(())
    }

    /// One output. Whatever else is wrong with it is found when it is taken.
    pub(super) fn weigh(&mut self, merged: &Merged, output: &Path, halt: Halt<'_>) -> Result<(), NotCollected> {
        match merged.look(output) {
            Ok(Found::File { meta, .. }) => self.take(meta.len()),
            Ok(Found::Folder) => self.folder(merged, output, 0, halt),
            _ => Ok(()),
        }
    }

    fn folder(&mut self, merged: &Merged, folder: &Path, depth: usize, halt: Halt<'_>) -> Result<(), NotCollected> {
        halt.check().map_err(|error| WorkspaceError::at(folder)(error))?;
        let Ok(names) = merged.list(folder, self.files) else { return Ok(()) };
        for (name, found) in names {
            match found {
                Found::File { meta, .. } => self.take(meta.len())?,
                Found::Folder if depth < DEPTH => self.folder(merged, &folder.join(name), depth + 1, halt)?,
                _ => {}
            }
        }
        Ok(())
    }
}
