//! The images of a step and of its services, before its supervisor is asked: pulled where need be, with what is said about that at the beginning of the step's log.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::{LogSink, Watcher};
use super::{SandboxExecutor, infrastructure};
use crate::adapters::image::{Image, ImageError, Images, Lease, Progress};
use crate::adapters::sandbox::{self, Isolation};
use crate::model::invocation::InvocationSpec;
use crate::model::outcome::Outcome;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Obtained {
    /// The lease is held until the supervisor has ended: it takes one of its own, and this one bridges the time until then.
    pub(super) image: Option<(Image, Lease)>,
    /// Those of its services, in their order.
    pub(super) services: Vec<(Image, Lease)>,
    /// Bytes that are in the log already.
    pub(super) said: u64,
    /// How much of the step's time it took.
    pub(super) took: Duration,
}

/// There is no image to be had, or nobody waits for it any more.
#[derive(Debug)]
pub(super) struct NotObtained {
    pub(super) outcome: Outcome,
    /// Why the sandbox can not stand on it, where that was known before anything of it was here.
    pub(super) unfit: Option<String>,
    pub(super) said: u64,
    pub(super) took: Duration,
}

impl SandboxExecutor {
    /// The time that it takes is the step's.
    pub(super) async fn obtain(&self, spec: &InvocationSpec, log: &Path, watcher: &mut Watcher) -> Result<Obtained, NotObtained> {
        if spec.image.is_none() && spec.services.is_empty() {
            return Ok(Obtained::default());
        }
        let without = |outcome| NotObtained { outcome, unfit: None, said: 0, took: Duration::ZERO };
        if self.setup.isolation == Isolation::None {
            let why = "a step with an image or with services needs isolation or an engine: leave `--allow-unisolated` out, see `tidegate doctor`";
            return Err(without(infrastructure(why)));
        }
        let images = self.images().map_err(|error| without(infrastructure(error)))?;
        let begun = Instant::now();
        let mut preface = Preface { path: log, file: None, sink: &mut *watcher.log, said: 0 };
        let obtained = {
            tokio::select! {
                obtained = self.obtain_all(images, spec, |line| preface.say(&line)) => obtained.map_err(|error| {
                    let unfit = if let ImageError::Unfit { reference, why } = &error { Some(format!("the sandbox can not stand on {reference}: {why}")) } else { None };
                    (infrastructure(error), unfit)
                }),
                Ok(_) = watcher.cancel.wait_for(|cancelled| *cancelled) => Err((Outcome::Cancelled { reason: "it was asked to stop".to_owned() }, None)),
                () = tokio::time::sleep(spec.timeout) => Err((Outcome::TimedOut { after_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX) }, None)),
            }
        };
        let (said, took) = (preface.said, begun.elapsed());
        match obtained {
            Ok(obtained) => Ok(Obtained { said, took, ..obtained }),
            Err((outcome, unfit)) => Err(NotObtained { outcome, unfit, said, took }),
        }
    }

    async fn obtain_all(&self, images: &Images, spec: &InvocationSpec, mut progress: impl FnMut(String) + Send) -> Result<Obtained, ImageError> {
        let mut obtained = Obtained { image: self.image_of(spec, &mut progress).await?, ..Obtained::default() };
        for service in &spec.services {
            let (image, lease) = images.obtain(&service.image, self.pull, &mut progress).await?;
            let image = if let Some(user) = &service.user { image.as_user(user)? } else { image };
            obtained.services.push((image, lease));
        }
        Ok(obtained)
    }

    /// The step's own.
    pub(super) async fn image_of(&self, spec: &InvocationSpec, progress: Progress<'_>) -> Result<Option<(Image, Lease)>, ImageError> {
        match &spec.image {
            Some(wanted) => self.images()?.obtain(wanted, self.pull, progress).await.map(Some),
            None => Ok(None),
        }
    }

    fn images(&self) -> Result<&Images, ImageError> {
        if let Some(images) = self.images.get() {
            return Ok(images);
        }
        let images = Images::open(&self.state, self.store.clone(), sandbox::outer_uid())?.keeping(self.keep_images).knowing(self.keyring.clone());
        Ok(self.images.get_or_init(|| images))
    }
}

/// The beginning of a log, which is not the step's.
struct Preface<'a> {
    path: &'a Path,
    file: Option<File>,
    sink: &'a mut dyn LogSink,
    said: u64,
}

impl Preface<'_> {
    /// What can not be kept is not shown either: both are the same.
    fn say(&mut self, line: &str) {
        if self.file.is_none() {
            self.file = File::options().create(true).append(true).open(self.path).ok();
        }
        let line = format!("[tidegate: {line}]\n");
        let Some(file) = &mut self.file else { return };
        if file.write_all(line.as_bytes()).is_ok() {
            self.said = file.metadata().map_or(0, |meta| meta.len());
            self.sink.write(line.as_bytes());
        }
    }
}
