//! Removes what nobody owns any more: what a supervisor that was killed had in the engine. It touches nothing of another state folder, and nothing that only
//! says that it is ours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};

use super::super::supervisor::desk::Desk;
use super::names::{Identity, Labelled};
use super::remove::remove;

/// How often an engine is asked again whose answer can not be understood.
const TRIES: u32 = 50;

/// What becomes of something in an engine whose supervisor is dead.
enum Left {
    /// A supervisor has it.
    Kept,
    Removed,
}

/// Answers how many invocations it has tidied up after.
pub(super) async fn sweep(docker: &Docker, identity: &Identity, desk: &Desk) -> Result<usize, Error> {
    let mut removed = 0;
    for (whose, names) in found(docker, identity).await? {
        if let Left::Removed = look_after(docker, desk, &whose, &names).await? {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes all that is left of one invocation.
pub(super) async fn clear(docker: &Docker, identity: &Identity, whose: &Labelled) -> Result<(), Error> {
    let names = found(docker, identity).await?.remove(whose).unwrap_or_default();
    remove_all(docker, &names).await
}

/// The names of what is ours in an engine, by whose it is. A container and its volume have one name.
async fn found(docker: &Docker, identity: &Identity) -> Result<BTreeMap<Labelled, BTreeSet<String>>, Error> {
    let filters = identity.filter();
    let containers = list(docker, &filters).await?;
    let volumes = docker.list_volumes(Some(ListVolumesOptionsBuilder::default().filters(&filters).build())).await?;
    let containers = containers.into_iter().filter_map(|one| Some((one.names?.into_iter().next()?, one.labels.unwrap_or_default())));
    let volumes = volumes.volumes.into_iter().flatten().map(|one| (one.name, one.labels));
    let mut found: BTreeMap<Labelled, BTreeSet<String>> = BTreeMap::new();
    for (name, labels) in containers.chain(volumes) {
        if let Some(whose) = identity.whose(&name, &labels) {
            found.entry(whose).or_default().insert(name.trim_start_matches('/').to_owned());
        }
    }
    Ok(found)
}

/// All of ours. Podman has a state between two others that Docker's API does not know, and that passes.
async fn list(docker: &Docker, filters: &HashMap<String, Vec<String>>) -> Result<Vec<ContainerSummary>, Error> {
    let mut tries = TRIES;
    loop {
        match docker.list_containers(Some(ListContainersOptionsBuilder::default().all(true).filters(filters).build())).await {
            Err(Error::JsonDataError { .. }) if tries > 0 => tries -= 1,
            other => return other,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn look_after(docker: &Docker, desk: &Desk, whose: &Labelled, names: &BTreeSet<String>) -> Result<Left, Error> {
    // Whoever has something in the engine has held the lock of its record since before.
    let place = desk.place(&whose.run, &whose.node, whose.attempt);
    if place.is_held() {
        return Ok(Left::Kept);
    }
    if let Ok(Some(_)) = desk.adopt(&place) {
        return Ok(Left::Kept);
    }
    match remove_all(docker, names).await {
        // Somebody else is at it.
        Err(Error::DockerResponseServerError { status_code: 409, .. }) => Ok(Left::Kept),
        other => other.map(|()| Left::Removed),
    }
}

/// Services first: they live in the network of the step's container, whose name is the beginning of theirs, and some engines do not let go of it before.
async fn remove_all(docker: &Docker, names: &BTreeSet<String>) -> Result<(), Error> {
    for name in names.iter().rev() {
        remove(docker, name).await?;
    }
    Ok(())
}
