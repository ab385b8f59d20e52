//! What can be at a forge, and how each kind of it is made, found again and changed.

use std::path::Path;
use std::sync::PoisonError;

use crate::adapters::forge::ForgeError;
use crate::adapters::forge::github::{Found, Github};
use crate::adapters::scan::Masker;
use crate::core::findings::masked_sarif;
use crate::model::check::{Check, Deployment, Place, Status};
use crate::model::id::{CommitId, Digest};

use super::gather::ONE;
use super::gather::files::{MOST_SARIF, read_regular};

pub(super) enum Thing<'a> {
    Check(&'a Check),
    Status(Status),
    Deployment(&'a Deployment),
    Comment { pull: u64, body: String },
    Sarif { file: &'a Digest, path: &'a Path, reference: String, masker: &'a Masker },
}

/// Of what has no id.
const DONE: Found = Found { id: 0, annotations: 0 };

impl Thing<'_> {
    /// Names it among the things of its run (or among the comments of its repository).
    pub(super) fn key(&self) -> String {
        match self {
            Self::Check(check) => format!("check {}", check.external),
            Self::Status(status) => format!("status {}", status.context),
            Self::Deployment(deployment) => format!("deployment {}", deployment.external),
            Self::Comment { pull, .. } => format!("comment {pull}"),
            Self::Sarif { file, .. } => format!("findings {file}"),
        }
    }

    /// All that is said by it.
    pub(super) fn content(&self) -> String {
        match self {
            Self::Check(check) => format!("{check:?}"),
            Self::Status(status) => format!("{status:?}"),
            Self::Deployment(deployment) => format!("{deployment:?}"),
            Self::Comment { body, .. } => body.clone(),
            Self::Sarif { file, reference, .. } => format!("{file} {reference}"),
        }
    }

    /// Annotations: they are only ever added.
    pub(super) fn notes(&self) -> usize {
        if let Self::Check(check) = self { check.annotations.len() } else { 0 }
    }

    /// A deployment says nothing of how it goes until it is told.
    pub(super) fn is_complete_when_made(&self) -> bool {
        !matches!(self, Self::Deployment(_))
    }

    pub(super) async fn make(&self, github: &Github, place: &Place, commit: &CommitId) -> Result<Found, ForgeError> {
        let plain = |id| Found { id, annotations: 0 };
        match self {
            Self::Check(check) => github.create_check(place, commit, check).await,
            Self::Status(status) => github.set_status(place, commit, status).await.map(|()| DONE),
            Self::Deployment(deployment) => github.create_deployment(place, commit, deployment).await.map(plain),
            Self::Comment { pull, body } => github.create_comment(place, *pull, body).await.map(plain),
            Self::Sarif { path, reference, masker, .. } => match findings(path, masker).await? {
                Some(text) => github.upload_sarif(place, commit, reference, &text).await.map(|_| DONE),
                None => Ok(DONE),
            },
        }
    }

    /// It may have been made by somebody who died before its id was written down.
    pub(super) async fn find(&self, github: &Github, place: &Place, commit: &CommitId) -> Result<Option<Found>, ForgeError> {
        let plain = |id: Option<u64>| id.map(|id| Found { id, annotations: 0 });
        match self {
            Self::Check(check) => github.find_check(place, commit, check).await,
            Self::Deployment(deployment) => github.find_deployment(place, commit, deployment).await.map(plain),
            Self::Comment { pull, .. } => github.find_comment(place, *pull).await.map(plain),
            // Who says them looks first, or they are the same when they are said twice.
            Self::Status(_) | Self::Sarif { .. } => Ok(None),
        }
    }

    pub(super) async fn notes_there(&self, github: &Github, place: &Place, id: u64) -> Result<usize, ForgeError> {
        match self {
            Self::Check(_) => github.check(place, id).await.map(|found| found.annotations),
            _ => Ok(0),
        }
    }

    /// Says it anew, with the annotations after the first `sent`; how many there are then.
    pub(super) async fn change(&self, github: &Github, place: &Place, commit: &CommitId, id: u64, sent: usize) -> Result<usize, ForgeError> {
        match self {
            Self::Check(check) => return github.update_check(place, id, check, sent).await,
            Self::Deployment(deployment) => github.set_deployment(place, id, &deployment.state, deployment.details.as_deref()).await?,
            Self::Comment { body, .. } => github.edit_comment(place, id, body).await?,
            Self::Status(status) => github.set_status(place, commit, status).await?,
            Self::Sarif { .. } => {}
        }
        Ok(0)
    }
}

/// Read only now, and by one report at a time: it may be large. `None` where it says nothing, not even that there is nothing.
///
/// Masked like all else that a step says: it is the step's own file.
async fn findings(path: &Path, masker: &Masker) -> Result<Option<Vec<u8>>, ForgeError> {
    let (path, masker) = (path.to_owned(), masker.clone());
    let refused = |why: String| ForgeError::Refused { why };
    let read = tokio::task::spawn_blocking(move || {
        let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let text = read_regular(&path, MOST_SARIF)?;
        Some(masked_sarif(&text, &|text| masker.mask(text)))
    });
    let masked = read.await.ok().flatten().ok_or_else(|| refused("the file of findings can not be read any more".to_owned()))?;
    masked.map_err(|error| refused(error.to_string()))
}
