//! From a name to an image that is there: asked of the registry only where it has to be.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};
use rustix::fs::FlockOperation;

use super::config::{self, LARGEST};
use super::error::ImageError;
use super::reference::{ImageName, hex_of};
use super::registry::Registry;
use super::store::{Image, Images, Kept, Lease};
use super::{Meter, platform};

/// When a registry is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// For what is not there yet.
    #[default]
    Missing,
    /// Every time, whether the name now stands for something else.
    Always,
    Never,
}

/// Who is told how it goes on: a line at a time.
pub type Progress<'a> = &'a mut (dyn FnMut(String) + Send);

const TRIES: u32 = 3;

impl Images {
    /// The image of this name, pulled if need be. Nothing of it is removed before the lease is let go of.
    pub async fn obtain(&self, text: &str, policy: PullPolicy, progress: Progress<'_>) -> Result<(Image, Lease), ImageError> {
        let name = ImageName::parse(text)?;
        if policy != PullPolicy::Always {
            // A few small files, which are mostly in memory: no work for another thread, unless somebody has to be waited for.
            let held = match self.gate_at_once()? {
                Some(gate) => self.at_hand(&gate, &name)?,
                None => {
                    let (images, wanted) = (self.clone(), name.clone());
                    blocking(move || images.at_hand(&images.gate(FlockOperation::LockShared)?, &wanted)).await?
                }
            };
            if let Some(held) = held {
                return Ok(held);
            }
        }
        if policy == PullPolicy::Never {
            return Err(ImageError::Absent { reference: name.to_string() });
        }
        let images = self.clone();
        let gate = blocking(move || images.gate(FlockOperation::LockShared)).await?;
        let kept = self.pull(&name, progress).await?;
        let images = self.clone();
        let held = blocking(move || {
            let held = images.hold(&name, &kept)?;
            drop(gate);
            // This one is held. What can not be removed now is so the next time.
            let _ = images.prune(images.most, false);
            Ok(held)
        });
        held.await
    }

    /// What is there, in one go: it is on the way of every step.
    fn at_hand(&self, _gate: &File, name: &ImageName) -> Result<Option<(Image, Lease)>, ImageError> {
        let Some(kept) = self.find(name) else { return Ok(None) };
        let held = self.hold(name, &kept)?;
        held.1.touch();
        Ok(Some(held))
    }

    async fn pull(&self, name: &ImageName, progress: Progress<'_>) -> Result<Kept, ImageError> {
        progress(format!("pulling {name}"));
        let mut found = self.keyring.find(name.registry()).await?;
        found.note.take().into_iter().for_each(&mut *progress);
        let registry = Registry::open(name, found)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_pull(name, &registry, progress).await {
                Err(error) if error.may_pass() && tries < TRIES => {
                    progress(format!("{error}; trying again"));
                    tokio::time::sleep(Duration::from_millis(500) * tries * tries).await;
                }
                other => return other,
            }
        }
    }

    async fn try_pull(&self, name: &ImageName, registry: &Registry<'_>, progress: Progress<'_>) -> Result<Kept, ImageError> {
        let begun = Instant::now();
        let (manifest, digest) = self.manifest(name, registry).await?;
        let bytes = self.small(registry, &manifest.config).await?;
        let (layers, process) = config::read(&name.to_string(), &bytes, self.limits)?;
        if layers.len() != manifest.layers.len() {
            return Err(registry.malformed(format!("its manifest has {} layers, its configuration {}", manifest.layers.len(), layers.len())));
        }
        let most = self.limits.transfer_bytes;
        if let Some(large) = manifest.layers.iter().map(|layer| u64::try_from(layer.size).unwrap_or(0)).find(|size| *size > most) {
            let why = format!("one of its layers has {large} bytes, and {most} are the most");
            return Err(ImageError::Unfit { reference: name.to_string(), why });
        }
        let mut meter = Meter::new(&name.to_string(), begun);
        // The same layer may stand in it twice.
        for (hex, descriptor) in layers.iter().zip(&manifest.layers) {
            match self.note(hex) {
                Some(_) => meter.was_here(hex),
                None => meter.is_at(hex, 0, u64::try_from(descriptor.size).unwrap_or(0)),
            }
        }
        for (hex, descriptor) in layers.iter().zip(&manifest.layers) {
            self.layer_of(registry, hex, descriptor, &mut meter, progress).await?;
        }
        progress(format!("{}; it is {digest}", meter.end(Instant::now())));
        let kept = Kept { digest, layers, process };
        self.keep(name, &kept)?;
        Ok(kept)
    }

    /// That of the image for this machine.
    async fn manifest(&self, name: &ImageName, registry: &Registry<'_>) -> Result<(OciImageManifest, String), ImageError> {
        let index = match registry.manifest(None).await? {
            (OciManifest::Image(manifest), digest) => return Ok((manifest, digest)),
            (OciManifest::ImageIndex(index), _) => index,
        };
        let entry = platform::choose(&index.manifests).map_err(|has| ImageError::Architecture {
            reference: name.to_string(),
            has,
            needs: platform::shown(platform::own()),
        })?;
        hex_of(&entry.digest).ok_or_else(|| registry.malformed("it names a manifest by something else than a sha256 digest".to_owned()))?;
        match registry.manifest(Some(&entry.digest)).await? {
            (OciManifest::Image(manifest), digest) => Ok((manifest, digest)),
            (OciManifest::ImageIndex(_), _) => Err(registry.malformed("its list of images has a list in it".to_owned())),
        }
    }

    async fn small(&self, registry: &Registry<'_>, descriptor: &OciDescriptor) -> Result<Vec<u8>, ImageError> {
        let aside = self.scratch()?;
        let file = aside.path().join("config");
        registry.blob(descriptor, &file, LARGEST, &mut |_| {}).await?;
        tokio::fs::read(&file).await.map_err(ImageError::at(&file))
    }

    /// One layer, unless it is there. Whoever else wants the same one waits for it.
    async fn layer_of(
        &self,
        registry: &Registry<'_>,
        hex: &str,
        descriptor: &OciDescriptor,
        meter: &mut Meter,
        progress: Progress<'_>,
    ) -> Result<(), ImageError> {
        if self.note(hex).is_some() {
            return Ok(());
        }
        let (images, wanted) = (self.clone(), hex.to_owned());
        let lock = blocking(move || images.layer_lock(&wanted)).await?;
        if self.note(hex).is_some() {
            meter.was_here(hex);
            return Ok(());
        }
        let aside = self.scratch()?;
        let archive = aside.path().join("archive");
        let all = u64::try_from(descriptor.size).unwrap_or(0);
        let mut told = |here| {
            meter.is_at(hex, here, all);
            meter.due(Instant::now()).into_iter().for_each(&mut *progress);
        };
        registry.blob(descriptor, &archive, self.limits.transfer_bytes, &mut told).await?;
        let (images, wanted) = (self.clone(), hex.to_owned());
        // Goes on to its end when nobody waits any more, so it holds the lock itself.
        let note = blocking(move || {
            let _held = (lock, aside);
            images.unpack(&archive, &wanted)
        });
        note.await?;
        meter.is_done(hex);
        meter.due(Instant::now()).into_iter().for_each(progress);
        Ok(())
    }

    pub(super) fn scratch(&self) -> Result<crate::adapters::workspace::Scratch, ImageError> {
        self.store.scratch().map_err(|error| ImageError::File { place: "the scratch folder".to_owned(), why: error.to_string() })
    }

    /// Where archives may be put before they are imported.
    pub(super) fn unpack_file(&self, file: PathBuf, hex: &str) -> Result<(), ImageError> {
        if self.note(hex).is_some() {
            return Ok(());
        }
        let _lock = self.layer_lock(hex)?;
        if self.note(hex).is_some() {
            return Ok(());
        }
        self.unpack(&file, hex).map(drop)
    }
}

/// Away from the threads that answer everybody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ImageError> + Send + 'static) -> Result<T, ImageError> {
    let failed = |error: tokio::task::JoinError| ImageError::File { place: "a thread".to_owned(), why: error.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

pub(super) fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 10 << 20 => format!("{} MiB", bytes >> 20),
        bytes => format!("{} KiB", bytes.div_ceil(1024)),
    }
}
