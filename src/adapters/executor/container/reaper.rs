//! Removes what nobody owns any more: what a supervisor that was killed had in the engine. It touches nothing of another state folder, and nothing that only
//! says that it is ours.

use std::path::Path;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};

use super::super::supervisor::place::Place;
use super::names::{Identity, Labelled};
use super::perform::remove;

/// Answers how many invocations it has tidied up after.
pub(super) async fn sweep(docker: &Docker, identity: &Identity, state: &Path) -> Result<usize, Error> {
    let filters = identity.filter();
    let containers = docker.list_containers(Some(ListContainersOptionsBuilder::default().all(true).filters(&filters).build())).await?;
    let volumes = docker.list_volumes(Some(ListVolumesOptionsBuilder::default().filters(&filters).build())).await?;
    let containers = containers.into_iter().filter_map(|one| Some((one.names?.into_iter().next()?, one.labels.unwrap_or_default())));
    let volumes = volumes.volumes.into_iter().flatten().map(|one| (one.name, one.labels));
    let found = containers.chain(volumes).filter_map(|(name, labels)| Some((identity.whose(&name, &labels)?, name)));
    let mut left: Vec<String> = found.filter(|(whose, _)| is_left(state, whose)).map(|(_, name)| name.trim_start_matches('/').to_owned()).collect();
    left.sort();
    left.dedup();
    for name in &left {
        match remove(docker, name).await {
            // Somebody else is at it.
            Err(Error::DockerResponseServerError { status_code: 409, .. }) => {}
            other => other?,
        }
    }
    Ok(left.len())
}

/// Whoever has something in the engine has held the lock of its record since before.
fn is_left(state: &Path, whose: &Labelled) -> bool {
    !Place::of(state, &whose.run, &whose.node, whose.attempt).is_held()
}
