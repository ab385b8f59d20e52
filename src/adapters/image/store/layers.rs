//! Layers: each is unpacked once, under the digest of its contents.

use std::fs::{self, File};
use std::path::Path;

use super::super::error::ImageError;
use super::super::layer::{self, Fault};
use super::{ARCHIVE, Images, Note, write_whole};

/// What every image has on top of its own layers: real folders where things are mounted, and files that are not the image's to say.
pub(super) const FURNITURE: &str = "furniture-1";

impl Images {
    /// Makes a layer of an archive (a file in the scratch space), whose uncompressed bytes must have this digest. The archive is kept as well: an image
    /// that is built on it shall have it as it was made, owners, set-user-id bits and all, and not as what became of it here.
    pub(in super::super) fn unpack(&self, archive: &Path, hex: &str) -> Result<Note, ImageError> {
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

    pub(super) fn furnish(&self) -> Result<(), ImageError> {
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
}
