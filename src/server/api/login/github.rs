//! What is asked of GitHub when somebody logs in: three calls, which need nothing of the App.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::super::problem::Problem;
use crate::adapters::secrets;
use crate::model::access::Person;
use crate::model::secret::Secret;
use crate::model::settings::{Github, GithubOauth};
use crate::model::trust::Permission;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const MAX_ANSWER: usize = 256 << 10;
const API: &str = "https://api.github.com";

#[derive(Debug, Clone)]
pub struct Oauth {
    settings: GithubOauth,
    /// Where people look at GitHub, and where programs do.
    web: String,
    api: String,
    http: reqwest::Client,
}

impl Oauth {
    /// `None` where the settings do not say how people log in.
    pub fn new(github: &Github) -> Result<Option<Self>, reqwest::Error> {
        let Some(settings) = github.oauth.clone() else { return Ok(None) };
        let api = github.api.clone().unwrap_or_else(|| API.to_owned());
        let web = match api.as_str() {
            API => "https://github.com".to_owned(),
            // GitHub Enterprise.
            other => other.strip_suffix("/api/v3").unwrap_or(other).to_owned(),
        };
        super::super::tls();
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).user_agent("tidegate").build()?;
        Ok(Some(Self { settings, web, api, http }))
    }

    /// Where the browser is sent. No scope: who somebody is, and what of public or installed repositories they may, needs none.
    pub(super) fn authorize(&self, back: &str, state: &str, verifier: &str) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.settings.client)
            .append_pair("redirect_uri", back)
            .append_pair("state", state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        format!("{}/login/oauth/authorize?{query}", self.web)
    }

    /// Who has logged in, and the token to ask with what they may.
    pub(super) async fn who(&self, code: &str, verifier: &str, back: &str) -> Result<(Person, Secret), Problem> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: Option<String>,
        }
        let secret = secrets::read(&self.settings.secret).map_err(|error| Problem::ours(&error))?;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.settings.client)
            .append_pair("client_secret", &String::from_utf8_lossy(secret.reveal()))
            .append_pair("code", code)
            .append_pair("code_verifier", verifier)
            .append_pair("redirect_uri", back)
            .finish();
        let request = self.http.post(format!("{}/login/oauth/access_token", self.web)).header("content-type", "application/x-www-form-urlencoded");
        let granted: Granted = answer(request.header("accept", "application/json").body(body)).await?.ok_or_else(no)?;
        let token = granted.access_token.filter(|token| !token.is_empty()).ok_or_else(no)?;
        let person: Person = answer(self.get("/user", &token)).await?.ok_or_else(no)?;
        Ok((person, Secret::new(token)))
    }

    /// A repository that the person can not see is one where they have no permission.
    pub(super) async fn permission(&self, token: &Secret, repository: &str) -> Result<Permission, Problem> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Permissions {
            admin: bool,
            maintain: bool,
            push: bool,
            triage: bool,
            pull: bool,
        }
        #[derive(Deserialize)]
        struct Repository {
            #[serde(default)]
            permissions: Permissions,
        }
        let plain = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        if !matches!(repository.split('/').collect::<Vec<_>>().as_slice(), [owner, name] if plain(owner) && plain(name)) {
            return Ok(Permission::None);
        }
        let token = String::from_utf8_lossy(token.reveal()).into_owned();
        let found: Option<Repository> = answer(self.get(&format!("/repos/{repository}"), &token)).await?;
        Ok(match found.map(|found| found.permissions).unwrap_or_default() {
            Permissions { admin: true, .. } => Permission::Admin,
            Permissions { maintain: true, .. } => Permission::Maintain,
            Permissions { push: true, .. } => Permission::Write,
            Permissions { triage: true, .. } => Permission::Triage,
            Permissions { pull: true, .. } => Permission::Read,
            _ => Permission::None,
        })
    }

    fn get(&self, path: &str, token: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.api)).bearer_auth(token).header("accept", "application/vnd.github+json")
    }
}

fn no() -> Problem {
    Problem::forbidden("GitHub did not say who you are: log in again, from /login")
}

/// `None` for what GitHub says is not there or not allowed.
async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<Option<T>, Problem> {
    let unreachable = |error: reqwest::Error| {
        tracing::warn!("GitHub does not answer: {}", error.without_url());
        Problem::unavailable("GitHub does not answer")
    };
    let mut response = request.send().await.map_err(unreachable)?;
    if response.status().is_client_error() {
        return Ok(None);
    }
    if !response.status().is_success() {
        return Err(Problem::unavailable("GitHub does not answer"));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER {
            return Err(Problem::unavailable("GitHub's answer is too long"));
        }
    }
    serde_json::from_slice(&body).map(Some).map_err(|_| Problem::unavailable("GitHub's answer is not understood"))
}
