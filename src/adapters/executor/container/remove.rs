//! Takes containers out of an engine, with all that is theirs.

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, RemoveVolumeOptions};

use super::words;

/// Removes a container with its volumes, whatever it does. What is not there is removed already.
pub(super) async fn remove(docker: &Docker, name: &str) -> Result<(), Error> {
    remove_container(docker, name).await?;
    there(docker.remove_volume(name, None::<RemoveVolumeOptions>).await)
}

/// One without a volume of its name.
pub(super) async fn remove_container(docker: &Docker, name: &str) -> Result<(), Error> {
    let all = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    there(docker.remove_container(name, Some(all)).await)
}

fn there(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if !words::is_status(&error, 404) => Err(error),
        _ => Ok(()),
    }
}
