//! Images from a file: what `docker save`, `podman save` and `skopeo` write (an archive with a `manifest.json`, or an OCI layout).

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use oci_client::manifest::{OciImageIndex, OciManifest};
use rustix::fs::FlockOperation;
use serde::Deserialize;

use super::config::{self, LARGEST};
use super::error::{ImageError, said};
use super::layer::{self, Fault};
use super::platform;
use super::reference::{ImageName, hex_of};
use super::registry::digest_of;
use super::store::{Images, Kept};

/// One image of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: PathBuf,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<PathBuf>,
}

/// Annotations that say what an image of a layout is called.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

impl Images {
    /// Takes in what an archive holds. `name`: what it shall be called, where there is one image in it. Answers names and digests.
    pub fn import(&self, archive: impl Read, name: Option<&str>) -> Result<Vec<(String, String)>, ImageError> {
        let name = name.map(ImageName::parse).transpose()?;
        let _gate = self.gate(FlockOperation::LockShared)?;
        let aside = self.scratch()?;
        let (file, folder) = (aside.path().join("archive"), aside.path().join("layout"));
        self.copy(archive, &file)?;
        std::fs::create_dir(&folder).map_err(ImageError::at(&folder))?;
        // An archive of files is unpacked like a layer: nothing of it leaves the folder.
        layer::unpack(File::open(&file).map_err(ImageError::at(&file))?, &folder, None, self.limits).map_err(|fault| match fault {
            Fault::Bad(why) => malformed(why),
            Fault::Ours(error) => ImageError::at(&folder)(error),
        })?;
        let layout = Layout { folder: &folder };
        if layout.has("manifest.json") { self.import_saved(&layout, name.as_ref()) } else { self.import_layout(&layout, name.as_ref()) }
    }

    fn copy(&self, archive: impl Read, to: &Path) -> Result<(), ImageError> {
        let mut file = File::create(to).map_err(ImageError::at(to))?;
        let limit = self.limits.layer_bytes;
        let copied =
            io::copy(&mut archive.take(limit + 1), &mut file).and_then(|copied| file.flush().map(|()| copied)).map_err(ImageError::at(to))?;
        if copied > limit { Err(malformed(format!("it is larger than {limit} bytes"))) } else { Ok(()) }
    }

    fn import_saved(&self, layout: &Layout<'_>, name: Option<&ImageName>) -> Result<Vec<(String, String)>, ImageError> {
        let saved: Vec<Saved> = layout.json(Path::new("manifest.json"))?;
        if saved.is_empty() || name.is_some() && saved.len() != 1 {
            return Err(malformed(format!("there are {} images in it: leave the name out, or save one image", saved.len())));
        }
        let mut done = Vec::new();
        for image in saved {
            let names = match name {
                Some(name) => vec![name.clone()],
                None => image.repo_tags.unwrap_or_default().iter().map(|tag| ImageName::parse(tag)).collect::<Result<_, _>>()?,
            };
            let config = layout.bytes(&image.config)?;
            self.take_in(layout, &names, digest_of(&config), &config, &image.layers, &mut done)?;
        }
        Ok(done)
    }

    fn import_layout(&self, layout: &Layout<'_>, name: Option<&ImageName>) -> Result<Vec<(String, String)>, ImageError> {
        if !layout.has("index.json") {
            return Err(malformed("it has neither a manifest.json nor an index.json: save it with `docker save`, or as an OCI archive".to_owned()));
        }
        let index: OciImageIndex = layout.json(Path::new("index.json"))?;
        if index.manifests.is_empty() || name.is_some() && index.manifests.len() != 1 {
            return Err(malformed(format!("there are {} images in it: leave the name out, or save one image", index.manifests.len())));
        }
        let mut done = Vec::new();
        for entry in &index.manifests {
            let called = NAMES.iter().find_map(|key| entry.annotations.as_ref()?.get(*key)).map(|called| ImageName::parse(called)).transpose();
            let names: Vec<ImageName> = match name {
                Some(name) => vec![name.clone()],
                None => called?.into_iter().collect(),
            };
            let mut digest = entry.digest.clone();
            let mut manifest = layout.manifest(&digest)?;
            if let OciManifest::ImageIndex(of) = &manifest {
                let needs = || platform::shown(platform::own());
                let entry =
                    platform::choose(&of.manifests).map_err(|has| ImageError::Architecture { reference: shown(&names), has, needs: needs() })?;
                digest.clone_from(&entry.digest);
                manifest = layout.manifest(&digest)?;
            }
            let OciManifest::Image(manifest) = manifest else { return Err(malformed("its list of images has a list in it".to_owned())) };
            let layers = manifest.layers.iter().map(|layer| blob(&layer.digest)).collect::<Result<Vec<_>, _>>()?;
            let config = layout.checked(&manifest.config.digest)?;
            self.take_in(layout, &names, digest, &config, &layers, &mut done)?;
        }
        Ok(done)
    }

    fn take_in(
        &self,
        layout: &Layout<'_>,
        names: &[ImageName],
        digest: String,
        config: &[u8],
        archives: &[PathBuf],
        done: &mut Vec<(String, String)>,
    ) -> Result<(), ImageError> {
        if names.is_empty() {
            return Err(malformed("there is an image without a name in it: give it one (`tidegate images import FILE NAME`)".to_owned()));
        }
        let (layers, process) = config::read(&shown(names), config, self.limits)?;
        if layers.len() != archives.len() {
            return Err(malformed(format!("an image in it has {} layers, its configuration {}", archives.len(), layers.len())));
        }
        for (hex, archive) in layers.iter().zip(archives) {
            self.unpack_file(layout.place(archive)?, hex)?;
        }
        let kept = Kept { digest, layers, process };
        for name in names {
            self.keep(name, &kept)?;
            done.push((name.to_string(), kept.digest.clone()));
        }
        Ok(())
    }
}

struct Layout<'a> {
    folder: &'a Path,
}

impl Layout<'_> {
    fn has(&self, name: &str) -> bool {
        self.folder.join(name).is_file()
    }

    /// A file of it, wherever links in it lead, if that is inside.
    fn place(&self, path: &Path) -> Result<PathBuf, ImageError> {
        let missing = |_| malformed(format!("{} is not in it", said(path.display())));
        let place = self.folder.join(path).canonicalize().map_err(missing)?;
        let folder = self.folder.canonicalize().map_err(ImageError::at(self.folder))?;
        if place.starts_with(&folder) && place.is_file() { Ok(place) } else { Err(malformed(format!("{} leads out of it", said(path.display())))) }
    }

    fn bytes(&self, path: &Path) -> Result<Vec<u8>, ImageError> {
        let place = self.place(path)?;
        let mut bytes = Vec::new();
        File::open(&place).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(ImageError::at(&place))?;
        if bytes.len() as u64 > LARGEST { Err(malformed(format!("{} is larger than {LARGEST} bytes", said(path.display())))) } else { Ok(bytes) }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, path: &Path) -> Result<T, ImageError> {
        serde_json::from_slice(&self.bytes(path)?).map_err(|error| malformed(format!("{} can not be read: {}", path.display(), said(error))))
    }

    fn checked(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        let bytes = self.bytes(&blob(digest)?)?;
        let found = digest_of(&bytes);
        if found == digest { Ok(bytes) } else { Err(ImageError::Digest { what: "a blob".to_owned(), expected: said(digest), found }) }
    }

    fn manifest(&self, digest: &str) -> Result<OciManifest, ImageError> {
        serde_json::from_slice(&self.checked(digest)?).map_err(|error| malformed(format!("a manifest in it can not be read: {}", said(error))))
    }
}

fn blob(digest: &str) -> Result<PathBuf, ImageError> {
    let hex = hex_of(digest).ok_or_else(|| malformed(format!("{} is no sha256 digest", said(digest))))?;
    Ok(Path::new("blobs/sha256").join(hex))
}

fn malformed(why: String) -> ImageError {
    ImageError::Malformed { reference: "the archive".to_owned(), why }
}

fn shown(names: &[ImageName]) -> String {
    names.first().map_or_else(|| "the archive".to_owned(), ToString::to_string)
}
