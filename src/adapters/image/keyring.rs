//! Who we are to which registry, as the settings say it. Where they say nothing, Docker's configuration is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::credentials::{Credentials, Found, HUB, PATIENCE};
use super::error::ImageError;
use crate::adapters::secrets;
use crate::model::secret::SecretSource;
use crate::model::settings::Account;

/// Where passwords are, not what they are: each is read when something is pulled with it, so that one can be changed without a new start.
#[derive(Debug, Clone, Default)]
pub struct Keyring(Arc<BTreeMap<String, Account>>);

impl Keyring {
    pub fn new(accounts: BTreeMap<String, Account>) -> Self {
        Self(Arc::new(accounts))
    }

    /// Whether anybody has to be asked for a registry.
    pub fn may_know(&self, registry: &str) -> bool {
        self.account(registry).is_some() || Credentials::are_configured()
    }

    /// What the settings say counts alone: where it can not be read nothing else is tried, which would be a pull as somebody else.
    pub async fn find(&self, registry: &str) -> Result<Found, ImageError> {
        let Some((setting, account)) = self.account(registry) else { return Ok(Credentials::of(registry).await) };
        let setting = format!("`registries: {setting}` in the settings");
        let unusable = |why: String| ImageError::Password { registry: registry.to_owned(), setting: setting.clone(), why };
        let secret = password(account.password.clone()).await.map_err(unusable)?;
        let remedy = format!("they are those of {setting}: is {:?} right, and what is in {}?", account.user, account.password);
        Ok(Found { credentials: Some(Credentials::Password { user: account.user.clone(), secret }), note: None, remedy: Some(remedy) })
    }

    fn account(&self, registry: &str) -> Option<(&str, &Account)> {
        let name = if registry == OTHER_HUB { HUB.0 } else { registry };
        self.0.get_key_value(name).map(|(name, account)| (name.as_str(), account))
    }
}

/// As some names have it that mean the usual one.
const OTHER_HUB: &str = "index.docker.io";

/// A file may be one that somebody else has to write: a thread that nobody waits for reads it.
async fn password(source: SecretSource) -> Result<String, String> {
    let place = source.to_string();
    let (answer, answered) = tokio::sync::oneshot::channel();
    let begun = std::thread::Builder::new().spawn(move || answer.send(secrets::read(&source)));
    begun.map_err(|error| error.to_string())?;
    let late = || format!("{place} does not answer");
    let secret = tokio::time::timeout(PATIENCE, answered).await.map_err(|_| late())?.map_err(|_| late())?.map_err(|error| error.to_string())?;
    let text = String::from_utf8(secret.reveal().to_vec()).ok().filter(|text| !text.chars().any(char::is_control));
    text.ok_or_else(|| format!("what is in {place} is no password: it is not one line of text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(registry: &str, password: SecretSource) -> Keyring {
        Keyring::new(BTreeMap::from([(registry.to_owned(), Account { user: "ada".to_owned(), password })]))
    }

    #[tokio::test]
    async fn a_password_is_read_each_time_and_for_its_registry_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let keyring = keyring("docker.io", SecretSource::File(file.clone()));
        for (text, expected) in [("first\n", "first"), ("sec ond", "sec ond")] {
            std::fs::write(&file, text).unwrap();
            for registry in ["docker.io", "index.docker.io"] {
                let found = keyring.find(registry).await.unwrap();
                assert_eq!(found.credentials, Some(Credentials::Password { user: "ada".to_owned(), secret: expected.to_owned() }));
                let remedy = found.remedy(registry);
                assert!(remedy.contains("`registries: docker.io`") && !remedy.contains(expected), "{remedy}");
            }
        }
        assert!(keyring.account("docker.io:443").or(keyring.account("evil.docker.io")).is_none());
    }

    #[tokio::test]
    async fn what_can_not_be_read_says_where_and_nothing_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let asked = || keyring("ghcr.io", SecretSource::File(file.clone()));
        let said = asked().find("ghcr.io").await.unwrap_err().to_string();
        assert!(said.contains("`registries: ghcr.io`") && said.contains("No such file"), "{said}");
        for bytes in [&b"hidden\nhidden"[..], b"hidden\xff", b" \n"] {
            std::fs::write(&file, bytes).unwrap();
            let said = asked().find("ghcr.io").await.unwrap_err().to_string();
            assert!(said.contains(&file.display().to_string()) && !said.contains("hidden"), "{said}");
        }
    }
}
