//! The image in the engine: there already, or pulled.

use std::collections::BTreeMap;
use std::time::Instant;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::words;
use crate::adapters::image::{Credentials, Found, Meter, PullPolicy};
use crate::model::invocation::ImageRecord;
use crate::model::outcome::Outcome;

/// When an image is fetched from its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// When the engine does not have it.
    #[default]
    Missing,
    /// Each time: a tag may have moved.
    Always,
    Never,
}

impl From<PullPolicy> for Pull {
    fn from(policy: PullPolicy) -> Self {
        match policy {
            PullPolicy::Missing => Self::Missing,
            PullPolicy::Always => Self::Always,
            PullPolicy::Never => Self::Never,
        }
    }
}

/// The registry of names that name none.
const HUB: &str = "docker.io";

/// An image that the engine has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Image {
    /// What containers are made from: a tag may move meanwhile, this does not.
    pub(super) id: String,
    pub(super) used: ImageRecord,
    pub(super) architecture: String,
    /// What it brings into the environment. Nobody's secret: whoever has the image has it.
    #[serde(skip)]
    pub(super) env: BTreeMap<String, String>,
    /// What it runs by itself, the first word of it. `None`: nothing.
    #[serde(skip)]
    pub(super) program: Option<String>,
}

/// `said` is called with a line now and then while it is pulled.
pub(super) async fn have(docker: &Docker, reference: &str, pull: Pull, found: Found, said: &mut impl FnMut(String)) -> Result<Image, Outcome> {
    let failed = |why: String| Outcome::Infrastructure { reason: why };
    let whole = whole(reference);
    if pull != Pull::Always {
        match there(docker, &whole).await {
            Ok(there) => return Ok(of(reference, &there)),
            Err(error) if !words::is_status(&error, 404) => {
                return Err(failed(format!("the container engine could not be asked for the image {reference}: {}", words::why(&error))));
            }
            Err(_) if pull == Pull::Never => {
                return Err(failed(format!(
                    "the image {reference} is not in the container engine, and --pull never forbids to fetch it: fetch it yourself (`docker pull {reference}`), or leave the option out"
                )));
            }
            Err(_) => {}
        }
    }
    found.note.iter().cloned().for_each(&mut *said);
    let login = found.credentials.clone().map(|credentials| login(credentials, registry_of(reference)));
    let failed = |error: &bollard::errors::Error| failed(not_pulled(reference, &words::why(error), &found));
    fetch(docker, &whole, login, said).await.map_err(|error| failed(&error))?;
    let pulled = docker.inspect_image(&whole).await;
    pulled.map(|pulled| of(reference, &pulled)).map_err(|error| failed(&error))
}

/// One that is named by its digest may be called otherwise here by now, or by nothing else at all.
async fn there(docker: &Docker, whole: &str) -> Result<ImageInspect, bollard::errors::Error> {
    match (docker.inspect_image(whole).await, whole.split_once('@')) {
        (Err(error), Some((_, digest))) if words::is_status(&error, 404) => docker.inspect_image(digest).await,
        (found, _) => found,
    }
}

/// Whether a registry would have to be asked for it.
pub(super) async fn is_to_be_pulled(docker: &Docker, reference: &str, pull: Pull) -> bool {
    match pull {
        Pull::Never => false,
        Pull::Always => true,
        Pull::Missing => there(docker, &whole(reference)).await.is_err(),
    }
}

fn login(credentials: Credentials, registry: &str) -> DockerCredentials {
    let serveraddress = Some(Credentials::address(registry).to_owned());
    match credentials {
        Credentials::Password { user, secret } => {
            DockerCredentials { username: Some(user), password: Some(secret), serveraddress, ..DockerCredentials::default() }
        }
        Credentials::Token(secret) => DockerCredentials { identitytoken: Some(secret), serveraddress, ..DockerCredentials::default() },
    }
}

/// The registry that an image comes from.
pub(super) fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        // An engine takes capitals for a host as well: what is not for it must not get to it.
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" || first.contains(|c: char| c.is_uppercase()) => first,
        _ => HUB,
    }
}

/// A name without tag or digest would be all tags to an engine.
fn whole(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

/// With all that a name may leave out.
fn full(reference: &str) -> String {
    let whole = whole(reference);
    match registry_of(reference) {
        HUB if !whole.contains('/') => format!("{HUB}/library/{whole}"),
        HUB if !whole.starts_with(HUB) => format!("{HUB}/{whole}"),
        _ => whole,
    }
}

/// `why`: as the engine says it, who repeats what the registry says, who may repeat anything.
fn not_pulled(reference: &str, why: &str, known: &Found) -> String {
    let registry = registry_of(reference);
    let hint = match words::Refusal::of(why) {
        Some(words::Refusal::NoRoom) => words::NO_ROOM.to_owned(),
        Some(words::Refusal::NotLetIn) if known.credentials.is_some() => format!(
            "{registry} does not take the credentials that are known for it, or does not let them pull this image: {}",
            known.remedy(registry)
        ),
        Some(words::Refusal::NotLetIn) => {
            format!(
                "is the name right? {registry} does not let anybody without credentials pull it: `docker login {registry}` as the user who runs tidegate, or name them in the settings (`registries:`)"
            )
        }
        Some(words::Refusal::OtherMachine) => "it is not made for this machine's architecture".to_owned(),
        Some(words::Refusal::NotThere) => "is the name right?".to_owned(),
        None => String::new(),
    };
    let why = known.credentials.as_ref().map_or_else(|| why.to_owned(), |credentials| credentials.hide(why));
    format!("the image {reference} could not be pulled ({why}){}{hint}", if hint.is_empty() { "" } else { ": " })
}

async fn fetch(docker: &Docker, whole: &str, login: Option<DockerCredentials>, said: &mut impl FnMut(String)) -> Result<(), bollard::errors::Error> {
    said(format!("pulling {whole}"));
    let options = CreateImageOptionsBuilder::default().from_image(whole).build();
    let mut progress = docker.create_image(Some(options), None, login);
    let mut meter = Meter::new(whole, Instant::now());
    while let Some(step) = progress.next().await {
        hear(&mut meter, &step?);
        meter.due(Instant::now()).into_iter().for_each(&mut *said);
    }
    said(meter.end(Instant::now()));
    Ok(())
}

/// What an engine says of one layer.
fn hear(meter: &mut Meter, step: &CreateImageInfo) {
    let (Some(layer), Some(status)) = (&step.id, &step.status) else { return };
    let bytes = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    match (status.as_str(), &step.progress_detail) {
        ("Pulling fs layer", _) => meter.is_at(layer, 0, 0),
        ("Downloading", Some(detail)) => meter.is_at(layer, bytes(detail.current), bytes(detail.total)),
        ("Already exists", _) => meter.was_here(layer),
        ("Pull complete", _) => meter.is_done(layer),
        _ => {}
    }
}

fn of(reference: &str, found: &ImageInspect) -> Image {
    let id = found.id.clone().unwrap_or_default();
    let digest = found.repo_digests.iter().flatten().find_map(|digest| Some(digest.split_once('@')?.1.to_owned()));
    let env = found.config.iter().flat_map(|config| config.env.iter().flatten());
    let program = found.config.iter().flat_map(|config| config.entrypoint.iter().chain(&config.cmd).flatten());
    Image {
        // What was never in a registry has no manifest: its own digest names it as well.
        used: ImageRecord { reference: full(reference), digest: digest.unwrap_or_else(|| id.clone()) },
        architecture: found.architecture.clone().unwrap_or_default(),
        env: env.filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        program: program.map(String::to_owned).next(),
        id: if id.is_empty() { whole(reference) } else { id },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_means_one_image_and_not_all() {
        for (reference, meant) in
            [("busybox", "busybox:latest"), ("localhost:5000/a", "localhost:5000/a:latest"), ("a/b:1", "a/b:1"), ("a@sha256:0f", "a@sha256:0f")]
        {
            assert_eq!(whole(reference), meant);
        }
    }

    #[test]
    fn an_image_names_its_registry_or_means_the_hub() {
        for (image, registry) in [
            ("busybox", "docker.io"),
            ("library/busybox:1", "docker.io"),
            ("ghcr.io/a/b", "ghcr.io"),
            ("localhost/a", "localhost"),
            ("INTERN/a", "INTERN"),
            ("127.0.0.1:5000/a:1", "127.0.0.1:5000"),
        ] {
            assert_eq!(registry_of(image), registry, "{image}");
        }
    }

    #[test]
    fn why_there_is_no_image_says_what_to_do_and_no_password() {
        let own = Found { credentials: Some(Credentials::Password { user: "ada".to_owned(), secret: "hidden".to_owned() }), ..Found::default() };
        let none = Found::default();
        for (why, known, says) in [
            ("Error response: unauthorized: hidden is wrong", &own, "unauthorized: … is wrong): r.io does not take the credentials"),
            ("no basic auth credentials", &none, "without credentials pull it: `docker login r.io`"),
            ("write /x: no space left on device", &none, "`docker system prune`"),
            ("manifest unknown", &none, "is the name right?"),
            ("something", &none, "could not be pulled (something)"),
        ] {
            let said = not_pulled("r.io/a:1", why, known);
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn a_record_says_all_of_a_name() {
        for (reference, all) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("docker.io/library/a:1", "docker.io/library/a:1"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
        ] {
            assert_eq!(full(reference), all);
        }
    }

    #[test]
    fn progress_is_told_as_in_the_sandbox() {
        let begun = Instant::now();
        let mut meter = Meter::new("a:1", begun);
        let step = |id: &str, status: &str, current, total| CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: Some(bollard::models::ProgressDetail { current, total }),
            ..CreateImageInfo::default()
        };
        for told in [
            step("1", "Pulling from library/a", None, None),
            step("a", "Pulling fs layer", None, None),
            step("b", "Already exists", None, None),
            step("a", "Downloading", Some(1 << 24), Some(4 << 24)),
            step("c", "Downloading", Some(-1), Some(2 << 24)),
            step("c", "Downloading", Some(2 << 24), Some(2 << 24)),
            step("c", "Download complete", None, None),
        ] {
            hear(&mut meter, &told);
        }
        let later = begun + std::time::Duration::from_secs(6);
        assert_eq!(meter.due(later).as_deref(), Some("pulling a:1: 48 MiB of 96 MiB, 1 of 3 layers"));
        for layer in ["a", "c"] {
            hear(&mut meter, &step(layer, "Pull complete", None, None));
        }
        assert_eq!(meter.end(later), "pulled a:1 in 6.0 s: 3 layers (1 of them were here), 96 MiB");
    }
}
