//! The image of a step, before its supervisor is asked: pulled where need be, with what is said about that at the beginning of the step's log.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::{LogSink, Watcher};
use super::{SandboxExecutor, infrastructure};
use crate::adapters::image::{Image, Images, Lease};
use crate::adapters::sandbox::{self, Isolation};
use crate::model::invocation::InvocationSpec;
use crate::model::outcome::Outcome;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Obtained {
    /// The lease is held until the supervisor has ended: it takes one of its own, and this one bridges the time until then.
    pub(super) image: Option<(Image, Lease)>,
    /// Bytes that are in the log already.
    pub(super) said: u64,
    /// How much of the step's time it took.
    pub(super) took: Duration,
}

impl SandboxExecutor {
    /// `Err`: the outcome, where there is no image to be had, or nobody waits for it any more. The time that it takes is the step's.
    pub(super) async fn obtain(&self, spec: &InvocationSpec, log: &Path, watcher: &mut Watcher) -> Result<Obtained, (Outcome, u64)> {
        let Some(wanted) = spec.image.clone() else { return Ok(Obtained::default()) };
        if self.setup.isolation == Isolation::None {
            return Err((
                infrastructure("a step in an image needs isolation or an engine: leave `--allow-unisolated` out, see `tidegate doctor`"),
                0,
            ));
        }
        let images = self.images().map_err(|error| (infrastructure(error), 0))?;
        let begun = Instant::now();
        let mut preface = Preface { path: log, file: None, sink: &mut *watcher.log, said: 0 };
        let obtained = {
            let mut progress = |line: String| preface.say(&line);
            tokio::select! {
                obtained = images.obtain(&wanted, self.pull, &mut progress) => obtained.map_err(infrastructure),
                Ok(_) = watcher.cancel.wait_for(|cancelled| *cancelled) => Err(Outcome::Cancelled { reason: "it was asked to stop".to_owned() }),
                () = tokio::time::sleep(spec.timeout) => Err(Outcome::TimedOut { after_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX) }),
            }
        };
        let said = preface.said;
        obtained.map(|image| Obtained { image: Some(image), said, took: begun.elapsed() }).map_err(|outcome| (outcome, said))
    }

    fn images(&self) -> Result<&Images, crate::adapters::image::ImageError> {
        if let Some(images) = self.images.get() {
            return Ok(images);
        }
        let images = Images::open(&self.state, self.store.clone(), sandbox::outer_uid())?.keeping(self.keep_images);
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
