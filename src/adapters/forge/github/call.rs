//! One request: made, waited for, read to a limit, and understood as done, for later, or never.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Limited};
use hyper::Method;
use octocrab::Octocrab;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::check::Place;
use crate::model::secret::Secret;
use crate::model::settings::GithubLogin;

use super::super::ForgeError;
use super::super::error::clean;
use super::Github;

/// Bytes of one answer.
const MOST_BYTES: usize = 16 << 20;
/// What GitHub asks for when it says "later" and not when.
const SOME_TIME: Duration = Duration::from_secs(60);
/// Longer than its limits are counted over, and no clock that is wrong holds us up longer.
const LONGEST: Duration = Duration::from_secs(3700);

#[derive(Debug)]
pub(super) struct Request {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl Request {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: None }
    }
    pub(super) fn post(path: String, body: &impl Serialize) -> Self {
        Self { method: Method::POST, path, body: serde_json::to_value(body).ok() }
    }
    pub(super) fn patch(path: String, body: &impl Serialize) -> Self {
        Self { method: Method::PATCH, path, body: serde_json::to_value(body).ok() }
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    remaining: Option<u64>,
    reset: Option<u64>,
    after: Option<u64>,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ForgeError> {
        serde_json::from_slice(&self.body).map_err(|error| ForgeError::later(format!("GitHub's answer is not understood: {error}")))
    }
}

impl Github {
    /// As the installation that the place belongs to. A token that GitHub does not take any more is renewed, once.
    pub(super) async fn call<T: DeserializeOwned>(&self, place: &Place, request: Request) -> Result<T, ForgeError> {
        let (token, who) = self.token(place).await?;
        match self.ask(&request, &token, who).await {
            Err(Refusal { status: 401, .. }) if matches!(self.inner.login, GithubLogin::App { .. }) => {
                self.forget(who, &token).await;
                let (token, who) = self.token(place).await?;
                self.ask(&request, &token, who).await?.read()
            }
            answered => answered?.read(),
        }
    }

    /// Every page of a list, up to `pages` of a hundred: what `of` takes out of each.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        place: &Place,
        path: &str,
        pages: usize,
        of: impl Fn(Value) -> Result<Vec<T>, serde_json::Error>,
    ) -> Result<Vec<T>, ForgeError> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        for page in 1..=pages {
            let answer: Value = self.call(place, Request::get(format!("{path}{separator}per_page=100&page={page}"))).await?;
            let found = of(answer).map_err(|error| ForgeError::later(format!("GitHub's answer is not understood: {error}")))?;
            let last = found.len() < 100;
            all.extend(found);
            if last {
                break;
            }
        }
        Ok(all)
    }

    pub(super) async fn ask(&self, request: &Request, token: &Secret, who: u64) -> Result<Answer, Refusal> {
        let now = Instant::now();
        if let Some(left) = self.inner.gate.closed(who, now) {
            let why = "GitHub's rate limit is used up".to_owned();
            return Err(Refusal { status: 0, error: ForgeError::Retry { after: Some(left), why } });
        }
        if request.method != Method::GET {
            let turn = self.inner.gate.turn(who, &self.inner.manners, now);
            tokio::time::sleep_until(turn.into()).await;
        }
        let sent = tokio::time::timeout(self.inner.manners.patience, self.send(request, token)).await;
        let answer = match sent {
            Ok(answer) => answer.map_err(|error| Refusal { status: 0, error })?,
            Err(_) => return Err(Refusal { status: 0, error: ForgeError::later("GitHub has not answered in time") }),
        };
        let wait = answer.wait();
        if let Some(wait) = wait {
            self.inner.gate.close(who, Instant::now() + wait);
        }
        if (200..300).contains(&answer.status) { Ok(answer) } else { Err(answer.refusal(request, wait)) }
    }

    async fn send(&self, request: &Request, token: &Secret) -> Result<Answer, ForgeError> {
        let token = std::str::from_utf8(token.reveal()).map_err(|_| ForgeError::later("the token for GitHub is no text"))?;
        // A header that can not be would be shown in the error.
        if token.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(ForgeError::later("the token for GitHub has characters that no token has"));
        }
        let crab: Octocrab = self.inner.crab.user_access_token(token.to_owned()).map_err(|_| ForgeError::later("the token can not be used"))?;
        let builder = head(request);
        let unsent = |error: octocrab::Error| ForgeError::later(format!("GitHub could not be reached: {}", said(&error)));
        let built = crab.build_request(builder, request.body.as_ref()).map_err(unsent)?;
        let response = crab.execute(built).await.map_err(unsent)?;
        let number = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let (remaining, reset, after) = (number("x-ratelimit-remaining"), number("x-ratelimit-reset"), number("retry-after"));
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        let body = body.map_err(|_| ForgeError::later("GitHub's answer broke off, or was too long"))?.to_bytes().to_vec();
        Ok(Answer { status, remaining, reset, after, body })
    }
}

fn head(request: &Request) -> hyper::http::request::Builder {
    hyper::Request::builder()
        .method(request.method.clone())
        .uri(request.path.as_str())
        .header("accept", "application/vnd.github+json")
        .header("user-agent", concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .header("x-github-api-version", "2022-11-28")
}

/// What went wrong, and GitHub's number for it (0: none).
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) error: ForgeError,
}

impl From<Refusal> for ForgeError {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

#[derive(serde::Deserialize, Default)]
struct Complaint {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Value>,
}

impl Answer {
    /// How long GitHub wants to hear nothing: it says so in a header, or by having nothing left.
    fn wait(&self) -> Option<Duration> {
        let asked = self.after.map(Duration::from_secs);
        let reset = self.reset.filter(|_| self.remaining == Some(0)).map(|at| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // Clocks differ a little.
            Duration::from_secs(at).saturating_sub(now) + Duration::from_secs(1)
        });
        let limited = self.status == 429 || self.status == 403 && self.complaint().message.to_ascii_lowercase().contains("rate limit");
        let wait = match (limited, asked) {
            (_, Some(asked)) if matches!(self.status, 403 | 429 | 500..=599) => Some(asked),
            (true, _) => Some(reset.unwrap_or(SOME_TIME)),
            // The last one that was free was answered.
            (false, _) => reset,
        };
        wait.map(|wait| wait.min(LONGEST))
    }

    fn complaint(&self) -> Complaint {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn refusal(&self, request: &Request, wait: Option<Duration>) -> Refusal {
        let Complaint { message, errors } = self.complaint();
        let details: Vec<String> =
            errors.iter().take(3).map(|error| error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned)).collect();
        let said = clean(&if details.is_empty() { message } else { format!("{message}: {}", details.join("; ")) });
        let (method, path) = (&request.method, clean(request.path.split('?').next().unwrap_or_default()));
        let error = match self.status {
            _ if wait.is_some() => ForgeError::Retry { after: wait, why: format!("GitHub's rate limit is used up ({said})") },
            500..=599 | 408 => ForgeError::later(format!("GitHub has trouble ({}: {said})", self.status)),
            401 => ForgeError::never(format!("GitHub does not take the login (401: {said}): check the App's key, or the token")),
            403 => ForgeError::never(format!("GitHub does not allow {method} {path} (403: {said}): look at the App's permissions")),
            404 | 410 => {
                ForgeError::never(format!("GitHub knows no {path}, or the App may not see it ({}: {said}): is it installed there?", self.status))
            }
            status => ForgeError::never(format!("GitHub refuses {method} {path} ({status}: {said})")),
        };
        Refusal { status: self.status, error }
    }
}

/// The innermost cause, which says most and never what was sent.
pub(super) fn said(error: &octocrab::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    clean(&cause.to_string())
}
