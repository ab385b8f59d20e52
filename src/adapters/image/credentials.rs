//! Credentials for a registry, from the usual Docker configuration: `auths`, `credHelpers` and `credsStore` of `~/.docker/config.json` (or `$DOCKER_CONFIG`).

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential};
use oci_client::secrets::RegistryAuth;

/// Blocks: a helper is a program. What is there and can not be used is said by the note; it is then tried without.
pub(super) fn of(registry: &str) -> (RegistryAuth, Option<String>) {
    // Docker keeps its own registry under a name from long ago.
    let server = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
    match get_credential(server) {
        Ok(DockerCredential::UsernamePassword(name, password)) => (RegistryAuth::Basic(name, password), None),
        Ok(DockerCredential::IdentityToken(_)) => {
            (RegistryAuth::Anonymous, Some(format!("the credentials for {registry} are an identity token, which is not supported")))
        }
        Err(
            CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound | CredentialRetrievalError::ConfigReadError,
        ) => (RegistryAuth::Anonymous, None),
        // Not what a helper said: that may be anything.
        Err(_) => (RegistryAuth::Anonymous, Some(format!("the credentials for {registry} in Docker's configuration can not be read"))),
    }
}
