//! Whether a stored layer is still what its digests say. Files of a store are never written to again; whoever replays something wants to know, not to believe.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::adapters::workspace::{Halt, Store};
use crate::model::artifact::{Artifact, ArtifactKind};
use crate::model::id::Digest;

/// It is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Tampered {
    #[error("{} is not there any more", .0.display())]
    Gone(PathBuf),
    #[error("{} is not what was recorded: it has the digest {found}, not {recorded}", path.display())]
    Other { path: PathBuf, found: String, recorded: Digest },
    #[error("{} is in it, and was not recorded", .0.display())]
    More(PathBuf),
    #[error("{}: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
}

/// The lines of a folder's listing, which its digest is made from.
pub(super) fn folder_line(inner: &Path) -> String {
    format!("folder {inner:?}\n")
}

pub(super) fn file_line(inner: &Path, executable: bool, digest: &Digest) -> String {
    format!("file {inner:?} {executable} {digest}\n")
}

pub(super) fn link_line(inner: &Path, to: &Path) -> String {
    format!("link {inner:?} {to:?}\n")
}

/// All that makes a layer what it is: a program is not the same text as a file, nor a folder a file that says what the folder's listing says.
pub(super) fn artifact_line(artifact: &Artifact, executable: bool) -> String {
    format!("{:?} {executable} {:?} {}\n", artifact.kind, artifact.path, artifact.digest)
}

/// A layer holds these artifacts, as they were recorded, and nothing else.
pub fn verify(store: &Store, layer: &Path, artifacts: &[Artifact]) -> Result<(), Tampered> {
    let mut whole = Sha256::new();
    for artifact in artifacts {
        let path = layer.join(&artifact.path);
        let (found, executable) = match artifact.kind {
            ArtifactKind::File => file(store, &path)?,
            ArtifactKind::Folder => {
                let mut listing = Sha256::new();
                folder(store, &path, Path::new(""), &mut listing)?;
                (Digest::from_sha256(listing.finalize().into()), false)
            }
        };
        if found != artifact.digest {
            return Err(Tampered::Other { path, found: found.to_string(), recorded: artifact.digest.clone() });
        }
        whole.update(artifact_line(artifact, executable));
    }
    let found = Digest::from_sha256(whole.finalize().into());
    match layer.file_name().and_then(|name| Digest::try_from(format!("sha256:{}", name.to_str()?)).ok()) {
        Some(recorded) if recorded == found => nothing_more(layer, Path::new(""), artifacts),
        Some(recorded) => Err(Tampered::Other { path: layer.to_owned(), found: found.to_string(), recorded }),
        None => Err(Tampered::Unreadable { path: layer.to_owned(), why: "it is no layer of the store".to_owned() }),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Tampered {
    match error.kind() {
        io::ErrorKind::NotFound => Tampered::Gone(path.to_owned()),
        _ => Tampered::Unreadable { path: path.to_owned(), why: error.to_string() },
    }
}

fn file(store: &Store, path: &Path) -> Result<(Digest, bool), Tampered> {
    let meta = fs::symlink_metadata(path).map_err(|error| unreadable(path, &error))?;
    if !meta.is_file() || meta.mode() & 0o7000 != 0 {
        return Err(Tampered::Unreadable { path: path.to_owned(), why: "it is not a plain file".to_owned() });
    }
    store.digest_of(path, Halt::NEVER).map_err(|error| Tampered::Unreadable { path: path.to_owned(), why: error.to_string() })
}

fn folder(store: &Store, top: &Path, below: &Path, listing: &mut Sha256) -> Result<(), Tampered> {
    for (inner, path, kind) in entries(top, below)? {
        let line = if kind.is_dir() {
            folder(store, top, &inner, listing)?;
            folder_line(&inner)
        } else if kind.is_symlink() {
            link_line(&inner, &fs::read_link(&path).map_err(|error| unreadable(&path, &error))?)
        } else {
            let (digest, executable) = file(store, &path)?;
            file_line(&inner, executable, &digest)
        };
        listing.update(line);
    }
    Ok(())
}

/// Everything in a layer is an artifact, in one, or a folder above one.
fn nothing_more(layer: &Path, below: &Path, artifacts: &[Artifact]) -> Result<(), Tampered> {
    for (inner, path, kind) in entries(layer, below)? {
        if artifacts.iter().any(|artifact| inner == Path::new(&artifact.path)) {
            continue;
        }
        if !kind.is_dir() || !artifacts.iter().any(|artifact| Path::new(&artifact.path).starts_with(&inner)) {
            return Err(Tampered::More(path));
        }
        nothing_more(layer, &inner, artifacts)?;
    }
    Ok(())
}

/// In the order of their names: below `top`, in all, and what each is.
fn entries(top: &Path, below: &Path) -> Result<Vec<(PathBuf, PathBuf, fs::FileType)>, Tampered> {
    let at = top.join(below);
    let read = || -> io::Result<Vec<_>> {
        if !fs::symlink_metadata(&at)?.is_dir() {
            return Err(io::Error::other("it is no folder any more"));
        }
        fs::read_dir(&at)?.map(|entry| entry.and_then(|entry| Ok((below.join(entry.file_name()), entry.path(), entry.file_type()?)))).collect()
    };
    let mut found = read().map_err(|error| unreadable(&at, &error))?;
    found.sort_by(|one, other| one.0.file_name().cmp(&other.0.file_name()));
    Ok(found)
}
