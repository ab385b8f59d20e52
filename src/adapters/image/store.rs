//! Images as they are kept: records of images, layers by digest, and who uses them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::config::Process;
use super::error::ImageError;
use super::layer::{self, Fault, Limits};
use super::reference::{ImageName, hex_of};
use crate::adapters::state::file_name;
use crate::adapters::workspace::Store;

/// The images of one state folder.
#[derive(Debug, Clone)]
pub struct Images {
    pub(super) root: PathBuf,
    pub(super) store: Store,
    owner: Option<u32>,
    pub(super) limits: Limits,
    /// Bytes that are kept when something was pulled.
    pub(super) most: u64,
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

/// Who a process in it is, as it sees itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// `None`: nobody says.
    pub home: Option<String>,
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

/// What every image has on top of its own layers: real folders where things are mounted, and files that are not the image's to say.
const FURNITURE: &str = "furniture-1";

/// The name of a layer's archive, beside its tree.
pub(super) const ARCHIVE: &str = "archive";

impl Images {
    /// `owner`: as for the store, who files must belong to (`sandbox::outer_uid`).
    pub fn open(state: &Path, store: Store, owner: Option<u32>) -> Result<Self, ImageError> {
        Self::with_limits(state, store, owner, Limits::default())
    }

    pub fn with_limits(state: &Path, store: Store, owner: Option<u32>, limits: Limits) -> Result<Self, ImageError> {
        let images = Self { root: state.join("images"), store, owner, limits, most: u64::MAX };
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

    /// Whether anything was ever kept in a state folder.
    pub fn are_there(state: &Path) -> bool {
        state.join("images/gate").exists()
    }

    /// Held shared while something is added, so that nothing is taken for rubbish before it is anybody's.
    pub(super) fn gate(&self, how: FlockOperation) -> Result<File, ImageError> {
        let path = self.root.join("gate");
        let gate = File::options().create(true).append(true).open(&path).map_err(ImageError::at(&path))?;
        flock(&gate, how).map_err(|error| ImageError::at(&path)(error.into()))?;
        Ok(gate)
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

    /// Makes a layer of an archive (a file in the scratch space), whose uncompressed bytes must have this digest. The archive is kept as well: an image
    /// that is built on it shall have it as it was made, owners, set-user-id bits and all, and not as what became of it here.
    pub(super) fn unpack(&self, archive: &Path, hex: &str) -> Result<Note, ImageError> {
        let digest = format!("sha256:{hex}");
        let aside = self.store.scratch().map_err(|error| ImageError::File { place: "the scratch folder".to_owned(), why: error.to_string() })?;
        let made = aside.path().join("layer");
        let tree = made.join("tree");
        for folder in [&made, &tree] {
            fs::create_dir(folder).map_err(ImageError::at(folder))?;
        }
        self.give(&tree)?;
        let unpacked =
            layer::unpack(File::open(archive).map_err(ImageError::at(archive))?, &tree, self.owner, self.limits).map_err(|fault| match fault {
                Fault::Bad(why) => ImageError::Layer { digest: digest.clone(), why },
                Fault::Ours(error) => ImageError::at(&tree)(error),
            })?;
        if unpacked.digest != digest {
            return Err(ImageError::Digest { what: "the contents of a layer".to_owned(), expected: digest, found: unpacked.digest });
        }
        let kept = made.join(ARCHIVE);
        let packed = fs::hard_link(archive, &kept).and_then(|()| fs::metadata(&kept)).map_err(ImageError::at(&kept))?.len();
        let note = Note { bytes: unpacked.bytes, entries: unpacked.entries, packed };
        write_whole(&made, "note.json", &note)?;
        self.move_in(&made, &self.layer(hex))?;
        Ok(note)
    }

    fn move_in(&self, made: &Path, place: &Path) -> Result<(), ImageError> {
        let layers = self.root.join("layers");
        match fs::rename(made, place) {
            // Somebody else was faster, with the same contents.
            Err(_) if place.is_dir() => Ok(()),
            other => other.and_then(|()| File::open(&layers)?.sync_all()).map_err(ImageError::at(place)),
        }
    }

    fn give(&self, path: &Path) -> Result<(), ImageError> {
        self.owner.map_or(Ok(()), |uid| std::os::unix::fs::lchown(path, Some(uid), Some(uid)).map_err(ImageError::at(path)))
    }

    fn furnish(&self) -> Result<(), ImageError> {
        let place = self.layer(FURNITURE);
        if place.is_dir() {
            return Ok(());
        }
        let aside = self.store.scratch().map_err(|error| ImageError::File { place: "the scratch folder".to_owned(), why: error.to_string() })?;
        let made = aside.path().join("layer");
        let tree = made.join("tree");
        for folder in ["", "dev", "etc", "proc", "run", "run/tidegate", "tmp", "workspace"] {
            let path = tree.join(folder);
            fs::create_dir_all(&path).map_err(ImageError::at(&path))?;
            self.give(&path)?;
        }
        let hosts = "127.0.0.1 localhost tidegate\n::1 localhost\n";
        for (file, text) in [("etc/hosts", hosts), ("etc/hostname", "tidegate\n"), ("etc/resolv.conf", "")] {
            let path = tree.join(file);
            fs::write(&path, text).map_err(ImageError::at(&path))?;
            self.give(&path)?;
        }
        self.move_in(&made, &place)
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
        kept.layers.iter().all(|hex| self.note(hex).is_some()).then_some(kept)
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

    /// Who the image wants its processes to be, by its own list of users.
    fn user(&self, name: &ImageName, kept: &Kept) -> Result<User, ImageError> {
        let trees = kept.layers.iter().rev().map(|hex| self.layer(hex).join("tree"));
        let passwd = trees.into_iter().find_map(|tree| read_below(&tree, Path::new("etc/passwd"))).unwrap_or_default();
        let wanted = kept.process.user.as_str();
        user_of(if wanted.is_empty() { "0" } else { wanted }, &passwd).ok_or_else(|| ImageError::Malformed {
            reference: name.to_string(),
            why: format!("it wants to run as {:?}, who is not in its /etc/passwd", super::error::said(wanted)),
        })
    }
}

impl Image {
    /// The same image for somebody else, as its own list of users knows him.
    pub fn as_user(self, wanted: &str) -> Result<Self, ImageError> {
        let found = self.layers.iter().rev().find_map(|tree| read_below(&self.folder.join(tree), Path::new("etc/passwd")));
        let user = user_of(wanted, &found.unwrap_or_default()).ok_or_else(|| ImageError::Malformed {
            reference: self.reference.clone(),
            why: format!("{:?} is not in its /etc/passwd", super::error::said(wanted)),
        })?;
        Ok(Self { user, ..self })
    }

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

/// A small text file below a folder, through no link.
pub(super) fn read_below(folder: &Path, path: &Path) -> Option<String> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    let at = File::open(folder).ok()?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(openat2(&at, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty(), resolve).ok()?);
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file.metadata().ok()?.is_file().then_some(file)?, 1 << 20), &mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// `name`, `uid`, `name:group` or `uid:gid`. A group that is no number is that of the user.
fn user_of(wanted: &str, passwd: &str) -> Option<User> {
    let (user, group) = wanted.split_once(':').map_or((wanted, None), |(user, group)| (user, Some(group)));
    let number = user.parse::<u32>().ok();
    let found = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|parts| parts.len() >= 6 && (parts[0] == user || number.is_some() && parts[2].parse().ok() == number));
    let own = |at: usize| found.as_ref().and_then(|parts| parts[at].parse::<u32>().ok());
    let uid = number.or_else(|| own(2)).or((user == "root").then_some(0))?;
    let gid = group.and_then(|group| group.parse().ok()).or_else(|| own(3)).unwrap_or(0);
    // The largest means "nobody" to the kernel.
    if uid == u32::MAX || gid == u32::MAX {
        return None;
    }
    let home = found.map(|parts| parts[5].to_owned()).or((uid == 0).then(|| "/root".to_owned()));
    Some(User { uid, gid, home: home.filter(|home| home.starts_with('/') && !home.contains("..") && home != "/nonexistent") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_or_somebody_whom_the_image_knows() {
        let users = "root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002::/home/app:/bin/sh\nbroken\nup:x:5:5::/../etc:/bin/sh\n";
        let user = |wanted: &str| user_of(wanted, users).map(|user| (user.uid, user.gid, user.home.unwrap_or_default()));
        assert_eq!(user("0"), Some((0, 0, "/root".to_owned())));
        assert_eq!(user("app"), Some((1001, 1002, "/home/app".to_owned())));
        assert_eq!(user("1001:7"), Some((1001, 7, "/home/app".to_owned())));
        assert_eq!(user("4711"), Some((4711, 0, String::new())));
        assert_eq!(user("up"), Some((5, 5, String::new())), "a home is a plain path");
        assert_eq!(user("who"), None);
        assert_eq!(user("4294967295"), None);
        assert_eq!(user_of("root", "").map(|user| user.uid), Some(0));
    }
}
