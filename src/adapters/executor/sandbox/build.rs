//! The image that a step leaves (`build:`): made when the step is dead, and put into its workspace as if the step had written it. The time that it takes is the
//! step's, and whoever stops the step stops it.

use std::fs;
use std::io;
use std::path::Path;

use super::super::supervisor::ending::{Patience, Stopped};
use super::super::supervisor::followers::Followers;
use super::super::supervisor::infrastructure;
use super::super::supervisor::log::Log;
use super::super::supervisor::wish::Wish;
use super::surroundings::Surroundings;
use crate::adapters::image::{Blueprint, Image, Limits, Material, NotBuilt};
use crate::adapters::workspace::Halt;
use crate::model::build::ImageBuild;
use crate::model::invocation::InvocationSpec;
use crate::model::outcome::{Exit, Outcome};

/// The variable that says which time everything in what is built has, as in other tools.
const TIME: &str = "SOURCE_DATE_EPOCH";

/// Before the step has begun.
pub(super) fn plan(build: &ImageBuild, image: Option<&Image>) -> Result<Blueprint, Outcome> {
    let Some(image) = image else { return Err(failed("`build` makes an image of the one that a step runs in: add `image: …` to it".to_owned())) };
    image.blueprint(build).map_err(|error| not_built(&error))
}

/// After it has ended well.
pub(super) fn make(
    blueprint: &Blueprint,
    spec: &InvocationSpec,
    surroundings: &Surroundings,
    log: &mut Log,
    followers: &mut Followers,
    patience: Patience,
) -> Result<(), Outcome> {
    let Some(root) = &surroundings.sandbox.root else { return Err(infrastructure("its image is missing")) };
    let aside = surroundings.aside("image");
    fs::create_dir(&aside).map_err(infrastructure)?;
    let time = spec.env.get(TIME).map_or(Ok(0), |text| text.parse()).map_err(|_| failed(format!("${TIME} is no number of seconds since 1970")))?;
    let archive = aside.join("archive");
    let wish = Wish::until(followers, patience.deadline);
    let halt = || wish.is_over();
    let material =
        Material { upper: &root.upper, aside: &aside, time, bytes: spec.limits.outputs, entries: Limits::default().entries, halt: Halt(&halt) };
    let left_out = blueprint.make(material, &archive).map_err(|error| outcome(error, wish.stopped(), spec))?;
    if left_out > 0 {
        log.write(format!("[tidegate: left {left_out} sockets, FIFOs or devices out of the image]\n").as_bytes());
    }
    let wanted = spec.build.as_ref().map(|build| build.archive.as_str()).unwrap_or_default();
    put(&archive, &surroundings.places.upper, wanted)?;
    // Its layer is in the archive.
    fs::remove_dir_all(&aside).map_err(infrastructure)
}

/// In the place of whatever the step has there.
fn put(archive: &Path, upper: &Path, name: &str) -> Result<(), Outcome> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(failed(format!("{name:?} is no name for the archive of an image: it is a file right in the workspace")));
    }
    fs::rename(archive, upper.join(name)).map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => failed(format!("the step made a folder {name}, where the archive of its image is to be put")),
        _ => infrastructure(error),
    })
}

fn outcome(error: NotBuilt, stopped: Stopped, spec: &InvocationSpec) -> Outcome {
    match (&error, stopped) {
        (NotBuilt::Halted, Stopped::TimedOut) => Outcome::TimedOut { after_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX) },
        (NotBuilt::Halted, _) => Outcome::Cancelled { reason: "it was asked to stop".to_owned() },
        _ => not_built(&error),
    }
}

fn not_built(error: &NotBuilt) -> Outcome {
    match error {
        NotBuilt::Halted => infrastructure("its image can not be built: it was stopped"),
        NotBuilt::Step(why) => failed(format!("its image can not be built: {why}")),
        NotBuilt::Ours(why) => infrastructure(format!("its image can not be built: {why}")),
    }
}

fn failed(reason: String) -> Outcome {
    Outcome::Failed { exit: Exit::None, reason }
}
