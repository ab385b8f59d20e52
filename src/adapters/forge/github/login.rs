//! As whom: tokens of installations, kept until shortly before they end, and renewed once for all who wait for one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::adapters::secrets;
use crate::model::check::Place;
use crate::model::secret::Secret;
use crate::model::settings::GithubLogin;

use super::super::ForgeError;
use super::call::Request;
use super::{Github, names};

/// A token is not used for the last of its time: what was begun with it must be able to end.
const MARGIN: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// By installation. Who renews one holds its lock.
    held: Mutex<HashMap<u64, Arc<tokio::sync::Mutex<Option<Held>>>>>,
    /// By repository.
    installations: Mutex<HashMap<String, u64>>,
}

#[derive(Debug, Clone)]
struct Held {
    token: Secret,
    ends: SystemTime,
}

/// What git says to a repository's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneLogin {
    pub user: String,
    pub password: Secret,
    /// To be asked for again then; a plain token has no end that is known.
    pub ends: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Minted {
    token: String,
    expires_at: String,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

impl Github {
    /// For git over HTTPS: reads (and as far as the App may, writes) the repositories of the installation.
    pub async fn clone_login(&self, place: &Place) -> Result<CloneLogin, ForgeError> {
        let user = "x-access-token".to_owned();
        match &self.inner.login {
            GithubLogin::Token(source) => Ok(CloneLogin { user, password: read(source)?, ends: None }),
            GithubLogin::App { .. } => {
                let held = self.installation_token(self.installation(place).await?).await?;
                Ok(CloneLogin { user, password: held.token, ends: Some(held.ends) })
            }
        }
    }

    /// What is in the header of a request about this place, and for whom it is counted.
    pub(super) async fn token(&self, place: &Place) -> Result<(Secret, u64), ForgeError> {
        match &self.inner.login {
            GithubLogin::Token(source) => Ok((read(source)?, 0)),
            GithubLogin::App { .. } => {
                let installation = self.installation(place).await?;
                Ok((self.installation_token(installation).await?.token, installation))
            }
        }
    }

    /// It is not good, whatever its time: the next one who needs one gets a new one.
    pub(super) async fn forget(&self, installation: u64, bad: &Secret) {
        let slot = self.slot(installation);
        let mut held = slot.lock().await;
        held.take_if(|held| held.token == *bad);
    }

    async fn installation_token(&self, installation: u64) -> Result<Held, ForgeError> {
        let slot = self.slot(installation);
        let mut held = slot.lock().await;
        let usable = |held: &Held| held.ends > SystemTime::now() + MARGIN;
        if let Some(held) = held.as_ref().filter(|held| usable(held)) {
            return Ok(held.clone());
        }
        let path = format!("/app/installations/{installation}/access_tokens");
        let minted: Minted = self.as_the_app(&Request::post(path, &serde_json::json!({}))).await?;
        let ends: jiff::Timestamp =
            minted.expires_at.parse().map_err(|_| ForgeError::later("GitHub has given out a token without an end that can be read"))?;
        let new = Held { token: Secret::new(minted.token), ends: ends.into() };
        *held = Some(new.clone());
        Ok(new)
    }

    fn slot(&self, installation: u64) -> Arc<tokio::sync::Mutex<Option<Held>>> {
        let mut all = self.inner.tokens.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(all.entry(installation).or_default())
    }

    /// Events from elsewhere (a schedule, a person's terminal) know none: then the repository is asked for its own.
    async fn installation(&self, place: &Place) -> Result<u64, ForgeError> {
        let known = || self.inner.tokens.installations.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(id) = place.installation.or_else(|| known().get(&place.repository).copied()) {
            return Ok(id);
        }
        let path = format!("{}/installation", names::repository(place)?);
        let found: Installation = self.as_the_app(&Request::get(path)).await?;
        known().insert(place.repository.clone(), found.id);
        Ok(found.id)
    }

    async fn as_the_app<T: serde::de::DeserializeOwned>(&self, request: &Request) -> Result<T, ForgeError> {
        let jwt = self.jwt()?;
        let answer = self.ask(request, &jwt, 0).await?;
        answer.read()
    }

    fn jwt(&self) -> Result<Secret, ForgeError> {
        let GithubLogin::App { id, key } = &self.inner.login else { return Err(ForgeError::never("only an App has installations")) };
        let pem = read(key)?;
        let key = octocrab::auth::EncodingKey::from_rsa_pem(pem.reveal())
            .map_err(|_| ForgeError::later(format!("the App's key in {key} is no RSA key in PEM: take the file that GitHub gave you")))?;
        // The error could tell of the key.
        let jwt = octocrab::auth::create_jwt((*id).into(), &key).map_err(|_| ForgeError::later("the App's key can not sign"))?;
        Ok(Secret::new(jwt))
    }
}

/// It may be put right without a new start, so it is tried again.
fn read(source: &crate::model::secret::SecretSource) -> Result<Secret, ForgeError> {
    secrets::read(source).map_err(|error| ForgeError::later(error.to_string()))
}
