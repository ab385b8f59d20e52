//! Why there is no image, each with what to do about it.

use std::io;
use std::path::Path;

/// A reason is text of ours; what a registry said is shortened and shown without control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("{text:?} is no image reference: {why}; write it like debian:12, ghcr.io/owner/name:tag or name@sha256:…")]
    Reference { text: String, why: String },
    #[error("the registry {registry} can not be reached: {why}; is its name right, and is it reachable from this machine?")]
    Unreachable { registry: String, why: String },
    #[error(
        "{reference} is not to be found at its registry; is the name right? (a registry may also say so of an image that is not public: `docker login`)"
    )]
    NotFound { reference: String },
    #[error(
        "the registry {registry} does not let anybody without credentials pull {reference}: `docker login {registry}` as the user who runs tidegate, or name them in the settings (`registries:`)"
    )]
    Unauthorised { reference: String, registry: String },
    #[error("the registry {registry} does not take the credentials that are known for it, or does not let them pull {reference}: {remedy}")]
    Refused { reference: String, registry: String, remedy: String },
    #[error("the password for {registry} can not be had: {why}. It is that of {setting}")]
    Password { registry: String, setting: String, why: String },
    #[error(
        "the registry {registry} does not let anybody without credentials pull {reference}, and those that are known are an identity token, which only engines can use: log in with a password or an access token, or use --executor container"
    )]
    Token { reference: String, registry: String },
    #[error("the registry {registry} could not answer: {why}")]
    Registry { registry: String, why: String },
    #[error("{reference} is there for {has} and not for this machine ({needs}): name an image that is made for it")]
    Architecture { reference: String, has: String, needs: String },
    #[error("{what} is not what its digest says ({expected}, but it is {found}): it was changed or damaged on its way, and is not used")]
    Digest { what: String, expected: String, found: String },
    #[error("{reference} can not be used: {why}")]
    Malformed { reference: String, why: String },
    /// Known before anything of it is here.
    #[error("the sandbox can not stand on {reference}: {why}; a container engine may (`--executor container`)")]
    Unfit { reference: String, why: String },
    #[error("the layer {digest} is refused: {why}")]
    Layer { digest: String, why: String },
    #[error("{reference} is not on this machine, and `--pull never` forbids to get it: pull it with `tidegate images pull {reference}`")]
    Absent { reference: String },
    #[error("the disk of the state folder is full: free some space, or remove images with `tidegate images prune`")]
    DiskFull,
    #[error("{place}: {why}")]
    File { place: String, why: String },
}

impl ImageError {
    /// Ties an error to its file: `.map_err(ImageError::at(path))`.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let place = path.display().to_string();
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::File { place, why: error.to_string() },
        }
    }

    /// Whether another try may bring something else.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Registry { .. } | Self::Digest { .. })
    }
}

/// What somebody else said, so that it can be shown: one short line.
pub(super) fn said(text: impl ToString) -> String {
    const LONGEST: usize = 300;
    let text = text.to_string();
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if text.chars().count() > LONGEST {
        line.push('…');
    }
    line
}
