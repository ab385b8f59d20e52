//! Who we are to a registry: what the usual Docker configuration says, as `docker login` writes it.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::{Deserialize, Serialize};

/// The registry of names that name none, and what configurations call it.
pub(super) const HUB: &str = "docker.io";
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// For one registry. Never on disk, never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Credentials {
    registry: String,
    user: String,
    secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl From<Credentials> for DockerCredentials {
    fn from(Credentials { registry, user, secret }: Credentials) -> Self {
        // A helper's word for "this is a token".
        if user == "<token>" {
            return Self { identitytoken: Some(secret), serveraddress: Some(registry), ..Self::default() };
        }
        Self { username: Some(user), password: Some(secret), serveraddress: Some(registry), ..Self::default() }
    }
}

/// The registry that an image comes from.
pub(super) fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => HUB,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Configuration {
    auths: std::collections::BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    identitytoken: String,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// `None` where there are none: then the registry decides what it gives to everybody.
pub(super) fn find(image: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<Credentials> {
    let folder = variable("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(Path::new(&variable("HOME")?).join(".docker")))?;
    let configuration: Configuration = serde_json::from_slice(&std::fs::read(folder.join("config.json")).ok()?).ok()?;
    of(&configuration, registry_of(image))
}

fn of(configuration: &Configuration, registry: &str) -> Option<Credentials> {
    let keys = if registry == HUB { vec![HUB_KEY, HUB, "index.docker.io"] } else { vec![registry] };
    let made = |user: &str, secret: &str| Credentials { registry: keys[0].to_owned(), user: user.to_owned(), secret: secret.to_owned() };
    let helper = keys.iter().find_map(|key| configuration.cred_helpers.get(*key)).or(configuration.creds_store.as_ref());
    if let Some(Answer { username, secret }) = helper.and_then(|helper| keys.iter().find_map(|key| ask(helper, key))) {
        return Some(made(&username, &secret));
    }
    let same = |key: &str| keys.contains(&key) || keys.contains(&key.trim_start_matches("https://").trim_end_matches('/'));
    let entry = configuration.auths.iter().find(|(key, _)| same(key)).map(|(_, entry)| entry)?;
    if !entry.identitytoken.is_empty() {
        return Some(made("<token>", &entry.identitytoken));
    }
    let text = String::from_utf8(STANDARD.decode(&entry.auth).ok()?).ok()?;
    let (user, secret) = text.split_once(':')?;
    Some(made(user, secret.trim_end_matches('\0')))
}

/// The program that keeps them, as Docker calls it.
fn ask(helper: &str, key: &str) -> Option<Answer> {
    if !helper.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return None;
    }
    let program = format!("docker-credential-{helper}");
    let mut asked = Command::new(program).arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    // Its end of the pipe is closed with the statement.
    asked.stdin.take()?.write_all(key.as_bytes()).ok()?;
    let output = asked.wait_with_output().ok()?;
    if output.status.success() { serde_json::from_slice(&output.stdout).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(text: &str) -> Configuration {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_image_names_its_registry_or_means_the_hub() {
        for (image, registry) in [
            ("busybox", "docker.io"),
            ("library/busybox:1", "docker.io"),
            ("ghcr.io/a/b", "ghcr.io"),
            ("localhost/a", "localhost"),
            ("127.0.0.1:5000/a:1", "127.0.0.1:5000"),
        ] {
            assert_eq!(registry_of(image), registry, "{image}");
        }
    }

    #[test]
    fn what_docker_login_has_written_is_found_for_its_registry_only() {
        let written = configuration(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YWRhOnNlY3JldDp3aXRoIGNvbG9u"},"ghcr.io":{"identitytoken":"t"},"broken.io":{"auth":"?"}}}"#,
        );
        let found = of(&written, "docker.io").unwrap();
        assert_eq!((found.user.as_str(), found.secret.as_str()), ("ada", "secret:with colon"));
        assert!(!format!("{found:?}").contains("secret"));
        assert_eq!(DockerCredentials::from(of(&written, "ghcr.io").unwrap()).identitytoken.as_deref(), Some("t"));
        assert_eq!(of(&written, "broken.io"), None);
        assert_eq!(of(&written, "elsewhere.io"), None);
        assert_eq!(of(&configuration(r#"{"credsStore":"../../bin/sh"}"#), "docker.io"), None);
    }
}
