//! An image of an image and of what a step changed in it, as one archive that engines, registries' tools and Tidegate itself read.
//!
//! ```text
//! upper layer of the step's root ─layer.rs─▶ one more layer, gzipped ─┐
//! archives of the layers below, as they came ──────────────────────────┼─layout.rs─▶ ARCHIVE: an OCI layout that is a `docker save` as well
//! configuration of the image below, with what `build:` says ───────────┘
//! ```
//! The same files give the same bytes: sorted, one time for everything, one owner, no names of whoever made it.

mod layer;
mod layout;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Limits;
use super::error::said;
use super::layer::Bad;
use super::reference::ImageName;
use super::store::{ARCHIVE, Image, Kept};
use crate::adapters::workspace::{Halt, is_halted};
use crate::model::build::ImageBuild;

/// Everything that is known before the step has begun, and has been looked at.
#[derive(Debug)]
pub struct Blueprint {
    image: Image,
    below: Kept,
    name: Option<ImageName>,
    build: ImageBuild,
}

/// Why there is no image, by whose fault.
#[derive(Debug)]
pub enum NotBuilt {
    Step(String),
    Ours(String),
    /// Nobody wants it any more.
    Halted,
}

/// What an image is made of besides the blueprint.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// What the step changed: the upper layer of its root, which nobody writes to any more.
    pub upper: &'a Path,
    /// An empty folder of the caller's.
    pub aside: &'a Path,
    /// Seconds since 1970: the time of everything in it.
    pub time: u64,
    /// Bytes of all files of the new layer together.
    pub bytes: u64,
    /// Files, folders and links in it.
    pub entries: u64,
    pub halt: Halt<'a>,
}

/// A file that a layout holds under its digest.
#[derive(Debug, Clone)]
struct Blob {
    /// `sha256:…`
    digest: String,
    size: u64,
    at: PathBuf,
}

impl Image {
    /// An image that shall be built on this one. What can not work is said before the step runs.
    pub fn blueprint(&self, build: &ImageBuild) -> Result<Blueprint, NotBuilt> {
        let name = build.tag.as_deref().map(ImageName::parse).transpose().map_err(|error| NotBuilt::Step(error.to_string()))?;
        if name.as_ref().is_some_and(|name| name.digest().is_some()) {
            return Err(NotBuilt::Step("a tag with a digest can not be given to an image that is not made yet: leave the digest out".to_owned()));
        }
        let unknown = |error: &dyn std::fmt::Display| NotBuilt::Ours(format!("{}: {error}", self.record.display()));
        let text = fs::read(&self.record).map_err(|error| unknown(&error))?;
        let below: Kept = serde_json::from_slice(&text).map_err(|error| unknown(&error))?;
        let most = Limits::default().layers;
        if below.layers.len() >= most {
            let why = format!("{} has {} layers, and {most} are the most that an image may have", self.reference, below.layers.len());
            return Err(NotBuilt::Step(why));
        }
        let blueprint = Blueprint { image: self.clone(), below, name, build: build.clone() };
        if blueprint.archives().all(|archive| archive.is_file()) {
            return Ok(blueprint);
        }
        let again = "remove it (`tidegate images prune --keep 1MiB`) and get it again";
        Err(NotBuilt::Ours(format!("{} was taken in without the archives of its layers: {again}", self.reference)))
    }
}

impl Blueprint {
    fn archives(&self) -> impl Iterator<Item = PathBuf> {
        self.below.layers.iter().map(|hex| self.image.folder.join(hex).join(ARCHIVE))
    }

    /// Makes the archive, at a place that is not there yet. Answers how many files were left out that no image can hold.
    pub fn make(&self, material: Material<'_>, to: &Path) -> Result<u64, NotBuilt> {
        self.try_to_make(material, to).map_err(|error| match error.get_ref() {
            _ if is_halted(&error) => NotBuilt::Halted,
            Some(inner) if let Some(bad) = inner.downcast_ref::<Bad>() => NotBuilt::Step(bad.0.clone()),
            _ => NotBuilt::Ours(error.to_string()),
        })
    }

    fn try_to_make(&self, material: Material<'_>, to: &Path) -> io::Result<u64> {
        let trees: Vec<PathBuf> = self.below.layers.iter().map(|hex| self.image.folder.join(hex).join("tree")).collect();
        let made = layer::make(material, &trees, &material.aside.join("layer.tar.gz"))?;
        let mut layers = self.archives().map(|archive| Blob::of(&archive, material.halt)).collect::<io::Result<Vec<_>>>()?;
        let diff_ids: Vec<String> = self.below.layers.iter().map(|hex| format!("sha256:{hex}")).chain([made.digest]).collect();
        layers.push(made.blob);
        let config = layout::config(&self.below, &self.image, &self.build, &diff_ids, material.time)?;
        layout::write(to, material, &layers, &config, self.name.as_ref(), &self.image)?;
        Ok(made.left_out)
    }
}

impl Blob {
    fn of(file: &Path, halt: Halt<'_>) -> io::Result<Self> {
        let mut bytes = Counted { inner: io::sink(), hash: Sha256::new(), bytes: 0 };
        io::copy(&mut halt.reading(File::open(file)?), &mut bytes)?;
        let (digest, size) = (bytes.digest(), bytes.bytes);
        Ok(Self { digest, size, at: file.to_owned() })
    }

    fn hex(&self) -> &str {
        self.digest.strip_prefix("sha256:").unwrap_or_default()
    }

    /// As it says itself, whatever a manifest called it.
    fn media_type(&self) -> io::Result<&'static str> {
        let mut magic = [0; 4];
        let read = File::open(&self.at)?.read(&mut magic)?;
        Ok(match &magic[..read] {
            [0x1f, 0x8b, ..] => "application/vnd.oci.image.layer.v1.tar+gzip",
            [0x28, 0xb5, 0x2f, 0xfd] => "application/vnd.oci.image.layer.v1.tar+zstd",
            _ => "application/vnd.oci.image.layer.v1.tar",
        })
    }
}

/// Digests and counts what passes through.
struct Counted<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W> Counted<W> {
    fn digest(&self) -> String {
        let digest = self.hash.clone().finalize();
        digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }
}

impl<W: io::Write> io::Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A path of the step's, as it can be said.
fn shown(path: &Path) -> String {
    said(String::from_utf8_lossy(path.as_os_str().as_bytes()))
}
