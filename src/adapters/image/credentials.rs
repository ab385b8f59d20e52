//! Credentials for a registry, from the usual Docker configuration: `auths`, `credHelpers` and `credsStore` of `~/.docker/config.json` (or of
//! `$DOCKER_CONFIG`), and before it what `$DOCKER_AUTH_CONFIG` holds, for who keeps it where secrets are kept and not in a file.

use std::ffi::OsString;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError as Trouble, DockerCredential, get_credential, get_credential_from_reader};
use serde::{Deserialize, Serialize};

use super::error::said;

/// The registry of names that name none; and what configurations call it from long ago.
pub(super) const HUB: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");

/// A helper is somebody's program, which may wait for a person.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Who we are to one registry. Never on disk, never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    Password {
        user: String,
        secret: String,
    },
    /// What some registries give for a password.
    Token(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// What there is. `note`: what is there and can not be used; it is then tried without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub credentials: Option<Credentials>,
    pub note: Option<String>,
    /// What to do where the registry does not take them, if it is not `docker login`.
    pub remedy: Option<String>,
}

impl Found {
    /// What to do where a registry does not take them.
    pub fn remedy(&self, registry: &str) -> String {
        self.remedy.clone().unwrap_or_else(|| format!("`docker login {registry}` again, as the user who runs tidegate"))
    }
}

impl Credentials {
    /// Asks whoever has to be asked.
    pub(super) async fn of(registry: &str) -> Found {
        let (asked, wanted) = (registry.to_owned(), registry.to_owned());
        let (answer, answered) = tokio::sync::oneshot::channel();
        // A thread that nobody waits for: the end of tidegate does not depend on somebody's helper.
        let begun = std::thread::Builder::new().spawn(move || answer.send(look_up(&asked, |name| std::env::var_os(name))));
        match begun.map(|_| tokio::time::timeout(PATIENCE, answered)) {
            Ok(answered) => answered.await.ok().and_then(Result::ok).unwrap_or_else(|| unusable(&wanted, "its helper does not answer")),
            Err(error) => unusable(&wanted, &error.to_string()),
        }
    }

    /// Whether anybody has to be asked.
    pub(super) fn are_configured() -> bool {
        let file = || Some(folder(|name| std::env::var_os(name))?.join("config.json"));
        std::env::var_os(TEXT).is_some() || file().is_some_and(|file| file.exists())
    }

    /// What somebody said who knows them, without them.
    pub fn hide(&self, text: &str) -> String {
        let known = match self {
            Self::Password { user, secret } => vec![secret.clone(), STANDARD.encode(format!("{user}:{secret}")), STANDARD.encode(secret)],
            Self::Token(secret) => vec![secret.clone(), STANDARD.encode(secret)],
        };
        known.iter().filter(|known| !known.is_empty()).fold(text.to_owned(), |text, known| text.replace(known.as_str(), "…"))
    }

    /// What an engine calls the registry that they are for.
    pub fn address(registry: &str) -> &str {
        if registry == HUB.0 { HUB.1 } else { registry }
    }
}

const TEXT: &str = "DOCKER_AUTH_CONFIG";

fn folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<std::path::PathBuf> {
    variable("DOCKER_CONFIG").map(Into::into).or_else(|| Some(std::path::Path::new(&variable("HOME")?).join(".docker")))
}

/// Blocks.
fn look_up(registry: &str, variable: impl Fn(&str) -> Option<OsString>) -> Found {
    let server = Credentials::address(registry);
    let given = variable(TEXT).map(|text| get_credential_from_reader(text.as_encoded_bytes(), server));
    match given {
        None | Some(Err(Trouble::NoCredentialConfigured)) => told(registry, get_credential(server)),
        Some(found) => told(registry, found),
    }
}

fn told(registry: &str, found: Result<DockerCredential, Trouble>) -> Found {
    let credentials = |credentials| Found { credentials: Some(credentials), ..Found::default() };
    match found {
        Ok(DockerCredential::UsernamePassword(user, secret)) => {
            credentials(Credentials::Password { user, secret: secret.trim_end_matches('\0').to_owned() })
        }
        Ok(DockerCredential::IdentityToken(secret)) => credentials(Credentials::Token(secret)),
        Err(Trouble::NoCredentialConfigured | Trouble::ConfigNotFound) => Found::default(),
        // As helpers say that they have none.
        Err(Trouble::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => Found::default(),
        // Not what it said: that may be anything.
        Err(Trouble::HelperFailure { helper, .. }) => unusable(registry, &format!("{} failed", said(helper))),
        Err(Trouble::HelperCommunicationError) => unusable(registry, "the program that keeps them can not be run; is it installed?"),
        Err(Trouble::MalformedHelperResponse) => unusable(registry, "the program that keeps them answered something else"),
        Err(Trouble::ConfigReadError) => match folder(|name| std::env::var_os(name)) {
            Some(folder) if folder.join("config.json").exists() => unusable(registry, "the file is no JSON, or not yours to read"),
            _ => Found::default(),
        },
        Err(Trouble::CredentialDecodingError | Trouble::CredentialMismatchError) => unusable(registry, "what is written there is damaged"),
    }
}

fn unusable(registry: &str, why: &str) -> Found {
    Found { note: Some(format!("the credentials for {registry} in Docker's configuration can not be used: {why}")), ..Found::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(registry: &str, text: &str) -> Found {
        told(registry, get_credential_from_reader(text.as_bytes(), Credentials::address(registry)))
    }

    #[test]
    fn what_docker_login_has_written_is_found_for_its_registry_only() {
        let text = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YWRhOnNlY3JldDp3aXRoIGNvbG9u"},"ghcr.io":{"identitytoken":"t"},"broken.io":{"auth":"?"}}}"#;
        let found = written("docker.io", text).credentials.unwrap();
        assert_eq!(found, Credentials::Password { user: "ada".to_owned(), secret: "secret:with colon".to_owned() });
        assert_eq!(format!("{found:?}"), "Credentials(…)");
        assert_eq!(written("ghcr.io", text).credentials, Some(Credentials::Token("t".to_owned())));
        assert_eq!(written("elsewhere.io", text), Found::default());
        assert!(written("broken.io", text).note.unwrap().contains("broken.io in Docker's configuration can not be used"));
        assert!(written("docker.io", r#"{"credsStore":"../../bin/sh"}"#).note.unwrap().contains("is it installed?"));
    }

    #[test]
    fn what_a_variable_holds_comes_first() {
        let variable = |name: &str| (name == TEXT).then(|| r#"{"auths":{"ghcr.io":{"auth":"YWRhOmI="}}}"#.into());
        let found = look_up("ghcr.io", variable).credentials;
        assert_eq!(found, Some(Credentials::Password { user: "ada".to_owned(), secret: "b".to_owned() }));
    }

    #[test]
    fn who_repeats_them_is_not_repeated() {
        let own = Credentials::Password { user: "ada".to_owned(), secret: "hidden".to_owned() };
        assert_eq!(own.hide("Authorization: Basic YWRhOmhpZGRlbg==, that is ada with hidden"), "Authorization: Basic …, that is ada with …");
    }
}
