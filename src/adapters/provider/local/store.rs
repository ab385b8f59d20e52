//! Releases and splits on disk. What is there is whole: it was written elsewhere, synced, and renamed into place.
//!
//! ```text
//! local/functions/NAME.json      releases, split, revision: one file, replaced as a whole
//! local/packages/HEX/            an unpacked artifact by its digest, never changed
//! local/staging/                 what is being written; swept at the next start
//! local/logs/NAME/               of instances
//! ```
//! One process at a time has it open: the one that holds `local/host.lock`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::{ProviderError, TrafficState};
use super::unpack::{Limits, UnpackError, unpack};
use crate::adapters::gateway::{Deployed, good_name};
use crate::model::function::Function;
use crate::model::id::Digest;
use crate::model::release::{Release, ReleaseId};
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, TrafficSplit};

const SCHEMA: u32 = 1;

/// All that is known of one function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FunctionRecord {
    schema: u32,
    pub name: String,
    pub traffic: TrafficState,
    pub releases: Vec<ReleaseRecord>,
}

/// One release with the configuration that it was published with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseRecord {
    pub release: Release,
    pub function: Function,
}

#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    limits: Limits,
}

fn disk(what: &Path, error: &dyn std::fmt::Display) -> ProviderError {
    ProviderError::Unavailable(format!("{}: {error}", what.display()))
}

impl Store {
    /// Makes the folders where they are missing, and sweeps what a process that died has left.
    pub fn open(root: &Path) -> io::Result<Self> {
        let staging = root.join("staging");
        match std::fs::remove_dir_all(&staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for folder in ["functions", "packages", "logs", "staging"] {
            std::fs::create_dir_all(root.join(folder))?;
        }
        Ok(Self { root: root.to_owned(), limits: Limits::default() })
    }

    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    fn file_of(&self, function: &str) -> PathBuf {
        self.root.join("functions").join(format!("{function}.json"))
    }

    /// Every function that was ever published.
    pub fn functions(&self) -> Result<Vec<FunctionRecord>, ProviderError> {
        let folder = self.root.join("functions");
        let mut names: Vec<PathBuf> = std::fs::read_dir(&folder).map_err(|e| disk(&folder, &e))?.flatten().map(|entry| entry.path()).collect();
        names.retain(|path| path.extension().is_some_and(|end| end == "json"));
        names.sort();
        names.iter().filter_map(|path| read(path).transpose()).collect()
    }

    pub fn function(&self, name: &str) -> Result<Option<FunctionRecord>, ProviderError> {
        if !good_name(name) {
            return Ok(None);
        }
        read(&self.file_of(name))
    }

    pub fn deployed(&self, record: &ReleaseRecord) -> Deployed {
        Deployed { release: record.release.clone(), function: record.function.clone(), root: self.package(&record.release.artifact) }
    }

    fn package(&self, artifact: &Digest) -> PathBuf {
        self.root.join("packages").join(artifact.hex())
    }

    /// Makes sure that the artifact is there, unpacked. May run beside anything else: of two that unpack the same, one wins and both are right.
    pub fn unpack(&self, artifact: &Path, digest: &Digest) -> Result<(), ProviderError> {
        let package = self.package(digest);
        if package.is_dir() {
            return Ok(());
        }
        let staging = self.root.join("staging");
        let folder = tempfile::tempdir_in(&staging).map_err(|e| disk(&staging, &e))?;
        // What is unpacked is a copy whose digest was checked while it was made, so it is what was asked for.
        let copy = copy_checked(artifact, digest, &staging, &self.limits)?;
        let tree = folder.path().join("tree");
        std::fs::create_dir(&tree).map_err(|e| disk(&tree, &e))?;
        unpack(copy, &tree, &self.limits).map_err(|error| match error {
            UnpackError::Package(why) => ProviderError::Rejected(format!("{}: {why}", artifact.display())),
            UnpackError::Disk(error) => disk(&tree, &error),
        })?;
        match std::fs::rename(&tree, &package) {
            Err(error) if !package.is_dir() => Err(disk(&package, &error)),
            Ok(()) | Err(_) => sync(&self.root.join("packages")),
        }
    }

    /// Of an unpacked artifact. The same artifact and configuration are one release, however often they come.
    pub fn publish(&self, function: &Function, digest: &Digest, now: Timestamp) -> Result<ReleaseRecord, ProviderError> {
        let id = release_id(function, digest).map_err(|error| ProviderError::Rejected(error.to_string()))?;
        let mut record = self.function(&function.name)?.unwrap_or_else(|| FunctionRecord {
            schema: SCHEMA,
            name: function.name.clone(),
            traffic: TrafficState { split: TrafficSplit::all(Destination::Vacant), revision: 0 },
            releases: Vec::new(),
        });
        if let Some(known) = record.releases.iter().find(|known| known.release.id == id) {
            return Ok(known.clone());
        }
        let version = record.releases.iter().map(|known| known.release.version).max().unwrap_or(0) + 1;
        let release = Release { id, function: function.name.clone(), version, artifact: digest.clone(), published_at: now };
        let new = ReleaseRecord { release, function: function.clone() };
        record.releases.push(new.clone());
        self.write(&record)?;
        Ok(new)
    }

    /// Compare-and-set. Setting what is in force is no change, whatever was expected: a call that is repeated after a crash succeeds.
    pub fn shift(&self, function: &str, split: &TrafficSplit, expected: u64) -> Result<u64, ProviderError> {
        let Some(mut record) = self.function(function)? else {
            return Err(ProviderError::Rejected(format!("the function {function} was never published here")));
        };
        if record.traffic.split == *split {
            return Ok(record.traffic.revision);
        }
        if record.traffic.revision != expected {
            return Err(ProviderError::Conflict { expected, found: record.traffic.revision });
        }
        for (to, _) in split.iter() {
            match to {
                Destination::Release(id) if !record.releases.iter().any(|known| known.release.id == *id) => {
                    return Err(ProviderError::Rejected(format!(
                        "the release {id} of {function} is not published here: publish it before it gets traffic"
                    )));
                }
                Destination::Upstream(url) => {
                    return Err(ProviderError::Rejected(format!("traffic to the upstream {url} is not supported yet by the local provider")));
                }
                Destination::Release(_) | Destination::Vacant => {}
            }
        }
        record.traffic = TrafficState { split: split.clone(), revision: expected + 1 };
        self.write(&record)?;
        Ok(record.traffic.revision)
    }

    fn write(&self, record: &FunctionRecord) -> Result<(), ProviderError> {
        let path = self.file_of(&record.name);
        let put = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(self.root.join("staging"))?;
            serde_json::to_writer_pretty(&mut file, record)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        put().map_err(|e| disk(&path, &e))?;
        sync(&self.root.join("functions"))
    }
}

fn sync(folder: &Path) -> Result<(), ProviderError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| disk(folder, &e))
}

fn read(path: &Path) -> Result<Option<FunctionRecord>, ProviderError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(disk(path, &error)),
    };
    let record: FunctionRecord = serde_json::from_slice(&bytes).map_err(|e| disk(path, &e))?;
    if record.schema > SCHEMA {
        return Err(disk(path, &format!("it was written by a newer Tidegate (schema {}, this one knows {SCHEMA}): use that version", record.schema)));
    }
    Ok(Some(record))
}

/// Over the artifact and the effective configuration, so that a change of either is a new release.
fn release_id(function: &Function, artifact: &Digest) -> serde_json::Result<ReleaseId> {
    let text = serde_json::to_vec(&(artifact, function))?;
    Ok(ReleaseId::new(Digest::from_sha256(Sha256::digest(text).into())))
}

/// An unnamed copy: nobody can change it after it was checked, and nothing is left of it.
fn copy_checked(artifact: &Path, digest: &Digest, staging: &Path, limits: &Limits) -> Result<File, ProviderError> {
    let unreadable = |error: io::Error| ProviderError::Rejected(format!("the artifact {} can not be read: {error}", artifact.display()));
    if artifact.is_dir() {
        return Err(ProviderError::Rejected(format!(
            "the artifact {} is a folder, expected a zip: declare the zip as the step's output",
            artifact.display()
        )));
    }
    let mut source = File::open(artifact).map_err(unreadable)?;
    if !source.metadata().map_err(unreadable)?.is_file() {
        return Err(ProviderError::Rejected(format!("the artifact {} is no regular file, expected a zip", artifact.display())));
    }
    let mut copy = tempfile::tempfile_in(staging).map_err(|e| disk(staging, &e))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut left = limits.zip + 1;
    loop {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = source.read(&mut buffer[..want]).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        left -= count as u64;
        hash.update(&buffer[..count]);
        copy.write_all(&buffer[..count]).map_err(|e| disk(staging, &e))?;
    }
    if left == 0 {
        return Err(ProviderError::Rejected(format!("the artifact {} has more than {} bytes", artifact.display(), limits.zip)));
    }
    let found = Digest::from_sha256(hash.finalize().into());
    if found != *digest {
        return Err(ProviderError::Rejected(format!(
            "the artifact {} is not what was asked for: its digest is {found}, expected {digest}",
            artifact.display()
        )));
    }
    io::Seek::rewind(&mut copy).map_err(|e| disk(staging, &e))?;
    Ok(copy)
}
