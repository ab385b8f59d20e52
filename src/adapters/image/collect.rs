//! What is kept, and what of it is removed: by last use, down to a size, and never what is being used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::ImageError;
use super::reference::hex_of;
use super::store::{Images, Kept};
use crate::adapters::workspace;

/// One image, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub digest: String,
    /// None: no name stands for it any more.
    pub names: Vec<String>,
    pub layers: usize,
    /// Of all its layers and their archives, shared ones included.
    pub bytes: u64,
    pub used: SystemTime,
    pub in_use: bool,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub images: Vec<String>,
    pub layers: usize,
    pub bytes: u64,
}

impl Images {
    /// Newest use first.
    pub fn list(&self) -> Result<Vec<Listed>, ImageError> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, digest) in files(&self.root.join("names"))?.into_iter().filter_map(|path| read::<(String, String)>(&path)) {
            names.entry(digest).or_default().push(name);
        }
        let mut all: Vec<Listed> = self.kept()?.into_iter().map(|(kept, used)| self.listed(kept, used, &mut names)).collect();
        all.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.digest.cmp(&b.digest)));
        Ok(all)
    }

    fn listed(&self, kept: Kept, used: SystemTime, names: &mut BTreeMap<String, Vec<String>>) -> Listed {
        let layers: BTreeSet<&String> = kept.layers.iter().collect();
        let bytes = layers.iter().filter_map(|hex| self.note(hex)).map(|note| note.bytes + note.packed).sum();
        let in_use = hex_of(&kept.digest).is_some_and(|hex| File::open(self.record(hex)).is_ok_and(|file| !free(&file)));
        Listed { names: names.remove(&kept.digest).unwrap_or_default(), layers: kept.layers.len(), bytes, used, in_use, digest: kept.digest }
    }

    /// Removes images that were not used for the longest time until the rest has at most so many bytes, and layers that no image has. `wait`: for pulls
    /// under way; otherwise nothing is done while there is one.
    pub fn prune(&self, most: u64, wait: bool) -> Result<Pruned, ImageError> {
        let how = if wait { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
        let gate = File::options().create(true).append(true).open(self.root.join("gate")).map_err(ImageError::at(&self.root))?;
        match flock(&gate, how) {
            Err(Errno::WOULDBLOCK) => return Ok(Pruned::default()),
            other => other.map_err(|error| ImageError::at(&self.root)(error.into()))?,
        }
        let mut pruned = Pruned::default();
        let mut kept = self.kept()?;
        kept.sort_by_key(|(_, used)| *used);
        let mut rest: Vec<Kept> = kept.into_iter().map(|(kept, _)| kept).collect();
        let mut at = 0;
        while self.bytes(&rest) > most && at < rest.len() {
            if self.remove(&rest[at])? {
                pruned.images.push(rest.remove(at).digest);
            } else {
                at += 1;
            }
        }
        self.remove_layers(&rest, &mut pruned)?;
        Ok(pruned)
    }

    /// What killed processes left: layers that are no image's.
    pub fn sweep(&self) -> Result<Pruned, ImageError> {
        self.prune(u64::MAX, false)
    }

    fn bytes(&self, images: &[Kept]) -> u64 {
        let layers: BTreeSet<&String> = images.iter().flat_map(|kept| &kept.layers).collect();
        layers.into_iter().filter_map(|hex| self.note(hex)).map(|note| note.bytes + note.packed).sum()
    }

    /// Unless somebody uses it.
    fn remove(&self, kept: &Kept) -> Result<bool, ImageError> {
        let record = self.record(hex_of(&kept.digest).unwrap_or_default());
        let Ok(file) = File::open(&record) else { return Ok(true) };
        if !free(&file) {
            return Ok(false);
        }
        fs::remove_file(&record).map_err(ImageError::at(&record))?;
        for path in files(&self.root.join("names"))? {
            if read::<(String, String)>(&path).is_none_or(|(_, digest)| digest == kept.digest) {
                fs::remove_file(&path).map_err(ImageError::at(&path))?;
            }
        }
        Ok(true)
    }

    fn remove_layers(&self, images: &[Kept], pruned: &mut Pruned) -> Result<(), ImageError> {
        let needed: BTreeSet<&str> = images.iter().flat_map(|kept| kept.layers.iter().map(String::as_str)).collect();
        for path in files(&self.root.join("layers"))? {
            let Some(hex) = path.file_name().and_then(|name| name.to_str()).filter(|name| name.len() == 64 && !needed.contains(name)) else {
                continue;
            };
            let bytes = self.note(hex).map_or(0, |note| note.bytes + note.packed);
            // Out of the way at once: half a layer has no name.
            let aside = self.scratch()?;
            fs::rename(&path, aside.path().join("layer")).map_err(ImageError::at(&path))?;
            aside.discard().map_err(|error| ImageError::File { place: path.display().to_string(), why: error.to_string() })?;
            let _ = workspace::remove(&self.root.join("locks").join(hex));
            pruned.layers += 1;
            pruned.bytes += bytes;
        }
        Ok(())
    }

    fn kept(&self) -> Result<Vec<(Kept, SystemTime)>, ImageError> {
        let used = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(files(&self.root.join("kept"))?.into_iter().filter_map(|path| Some((read::<Kept>(&path)?, used(&path)))).collect())
    }
}

/// Whether nobody holds it. The lock that this takes goes with the file.
fn free(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>, ImageError> {
    let entries = fs::read_dir(folder).map_err(ImageError::at(folder))?;
    Ok(entries.filter_map(Result::ok).map(|entry| entry.path()).collect())
}
