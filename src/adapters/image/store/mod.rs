//! Images as they are kept: records of images, layers by digest, and who uses them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Keyring;
use super::config::Process;
use super::error::ImageError;
use super::layer::Limits;
use super::reference::{ImageName, hex_of};
use crate::adapters::state::file_name;
use crate::adapters::workspace::Store;

mod layers;
mod user;

pub use user::User;

use layers::FURNITURE;

/// The images of one state folder.
#[derive(Debug, Clone)]
pub struct Images {
    pub(super) root: PathBuf,
    pub(super) store: Store,
    owner: Option<u32>,
    pub(super) limits: Limits,
    /// Bytes that are kept when something was pulled.
    pub(super) most: u64,
    pub(super) keyring: Keyring,
}

/// An image that is there and checked, and how a sandbox stands on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// As it was asked for, in full.
    pub reference: String,
    /// Of its manifest; of its configuration where it came without one.
    pub digest: String,
    /// The folder that holds the layers, and below it their trees, lowest first.
    pub folder: PathBuf,
    pub layers: Vec<PathBuf>,
    pub env: BTreeMap<String, String>,
    pub user: User,
    /// What it runs by itself: its entry point and what that is given. A step does not.
    pub program: Vec<String>,
    /// Where that begins.
    pub working_dir: Option<PathBuf>,
    /// What is locked by whoever uses it.
    pub(super) record: PathBuf,
}

/// As long as it is held, nothing of the image is removed.
#[derive(Debug)]
pub struct Lease(File);

impl Lease {
    /// Now is its last use. That nobody may write it down is no reason not to use it.
    pub(super) fn touch(&self) {
        let _ = self.0.set_modified(SystemTime::now());
    }
}

/// The record of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) digest: String,
    /// Digests of the uncompressed layers, hexadecimal, lowest first.
    pub(super) layers: Vec<String>,
    pub(super) process: Process,
}

/// The record of a layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) bytes: u64,
    pub(super) entries: u64,
    /// Of the archive that it came in, which is kept beside its tree.
    #[serde(default)]
    pub(super) packed: u64,
}

/// The name of a layer's archive, beside its tree.
pub(super) const ARCHIVE: &str = "archive";

impl Images {
    /// `owner`: as for the store, who files must belong to (`sandbox::outer_uid`).
    pub fn open(state: &Path, store: Store, owner: Option<u32>) -> Result<Self, ImageError> {
        Self::with_limits(state, store, owner, Limits::default())
    }

    pub fn with_limits(state: &Path, store: Store, owner: Option<u32>, limits: Limits) -> Result<Self, ImageError> {
        let images = Self { root: state.join("images"), store, owner, limits, most: u64::MAX, keyring: Keyring::default() };
        for folder in ["layers", "kept", "names", "locks"] {
            let path = images.root.join(folder);
            fs::create_dir_all(&path).map_err(ImageError::at(&path))?;
        }
        images.furnish()?;
        Ok(images)
    }

    /// After a pull, what was not used for the longest time goes until the rest has at most so many bytes.
    pub fn keeping(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// Who we are to registries.
    pub fn knowing(self, keyring: Keyring) -> Self {
        Self { keyring, ..self }
    }

    /// Whether anything was ever kept in a state folder.
    pub fn are_there(state: &Path) -> bool {
        state.join("images/gate").exists()
    }

    /// Held shared while something is added, so that nothing is taken for rubbish before it is anybody's.
    pub(super) fn gate(&self, how: FlockOperation) -> Result<File, ImageError> {
        let (path, gate) = self.open_gate()?;
        flock(&gate, how).map_err(|error| ImageError::at(&path)(error.into()))?;
        Ok(gate)
    }

    /// The same, shared. `None`: somebody is removing something.
    pub(super) fn gate_at_once(&self) -> Result<Option<File>, ImageError> {
        let (path, gate) = self.open_gate()?;
        match flock(&gate, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Some(gate)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(ImageError::at(&path)(error.into())),
        }
    }

    fn open_gate(&self) -> Result<(PathBuf, File), ImageError> {
        let path = self.root.join("gate");
        let gate = File::options().create(true).append(true).open(&path).map_err(ImageError::at(&path))?;
        Ok((path, gate))
    }

    pub(super) fn layer(&self, hex: &str) -> PathBuf {
        self.root.join("layers").join(hex)
    }

    pub(super) fn note(&self, hex: &str) -> Option<Note> {
        serde_json::from_slice(&fs::read(self.layer(hex).join("note.json")).ok()?).ok()
    }

    /// Held by whoever makes a layer. Waits.
    pub(super) fn layer_lock(&self, hex: &str) -> Result<File, ImageError> {
        let path = self.root.join("locks").join(hex);
        let lock = File::options().create(true).append(true).open(&path).map_err(ImageError::at(&path))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| ImageError::at(&path)(error.into()))?;
        Ok(lock)
    }

    /// Writes down that an image is there, and by what name.
    pub(super) fn keep(&self, name: &ImageName, kept: &Kept) -> Result<(), ImageError> {
        let hex = hex_of(&kept.digest).ok_or_else(|| ImageError::Malformed { reference: name.to_string(), why: "its digest is none".to_owned() })?;
        let file = format!("{hex}.json");
        // It says the same for ever, and may be locked by somebody.
        if !self.root.join("kept").join(&file).exists() {
            write_whole(&self.root.join("kept"), &file, kept)?;
        }
        write_whole(&self.root.join("names"), &file_name(&name.to_string()), &(name.to_string(), &kept.digest))
    }

    /// What a name stood for when it was pulled last, if all of it is there.
    pub(super) fn find(&self, name: &ImageName) -> Option<Kept> {
        let named = || serde_json::from_slice::<(String, String)>(&fs::read(self.root.join("names").join(file_name(&name.to_string()))).ok()?).ok();
        let named = named().filter(|(called, _)| *called == name.to_string()).map(|(_, digest)| digest);
        let digest = named.or_else(|| name.digest().map(str::to_owned))?;
        let kept: Kept = serde_json::from_slice(&fs::read(self.record(hex_of(&digest)?)).ok()?).ok()?;
        // A layer has its name only when it is whole: there is no need to read what is noted of it.
        kept.layers.iter().all(|hex| self.layer(hex).is_dir()).then_some(kept)
    }

    pub(super) fn record(&self, hex: &str) -> PathBuf {
        self.root.join("kept").join(format!("{hex}.json"))
    }

    /// As a sandbox needs it. Nothing of it is removed before the lease is let go of.
    pub(super) fn hold(&self, name: &ImageName, kept: &Kept) -> Result<(Image, Lease), ImageError> {
        let record = self.record(hex_of(&kept.digest).unwrap_or_default());
        let lease = lease(&record)?;
        let mut layers: Vec<PathBuf> = Vec::new();
        for hex in kept.layers.iter().map(String::as_str).chain([FURNITURE]) {
            let tree = Path::new(hex).join("tree");
            // A layer may stand in an overlay once; twice the same (mostly the empty one) is the same as its upper one.
            layers.retain(|other| *other != tree);
            layers.push(tree);
        }
        let user = self.user(name, kept)?;
        let folder = self.root.join("layers");
        let process = &kept.process;
        let image = Image {
            reference: name.to_string(),
            digest: kept.digest.clone(),
            folder,
            layers,
            env: process.env.clone(),
            user,
            program: process.entrypoint.iter().chain(&process.cmd).cloned().collect(),
            working_dir: Some(PathBuf::from(&process.working_dir)).filter(|path| path.is_absolute()),
            record,
        };
        Ok((image, lease))
    }
}

impl Image {
    /// Another lease, for another process.
    pub fn lease(&self) -> Result<Lease, ImageError> {
        lease(&self.record)
    }
}

/// Nobody has removed it before the lock was there, and nobody does as long as it is.
fn lease(record: &Path) -> Result<Lease, ImageError> {
    let gone = || ImageError::File { place: record.display().to_string(), why: "the image has just been removed; try again".to_owned() };
    let file = File::open(record).map_err(|_| gone())?;
    flock(&file, FlockOperation::LockShared).map_err(|error| ImageError::at(record)(error.into()))?;
    let (held, there) = (file.metadata().map_err(ImageError::at(record))?, fs::metadata(record).map_err(|_| gone())?);
    if (held.ino(), held.dev()) != (there.ino(), there.dev()) {
        return Err(gone());
    }
    Ok(Lease(file))
}

/// Under its name only when it is whole and on disk.
fn write_whole(folder: &Path, name: &str, value: &impl Serialize) -> Result<(), ImageError> {
    let path = folder.join(name);
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(value).map_err(io::Error::other)?)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(ImageError::at(&path))
}
