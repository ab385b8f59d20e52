//! What is asked of a server's API. Answers are somebody else's: limited, and nothing in them is believed but what it says of the run.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::exit::Exit;
use crate::model::fact::Entry;
use crate::report::run::text::clean;

/// Of one answer.
const ANSWER_BYTES: usize = 16 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize)]
pub struct Start {
    pub repository: String,
    pub pipeline: String,
    #[serde(rename = "ref")]
    pub reference: String,
    pub params: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub struct Asked {
    pub runs: Vec<String>,
    #[serde(default)]
    pub said: String,
}

#[derive(Debug, Deserialize)]
pub struct Facts {
    #[serde(default)]
    pub interrupted: bool,
    pub facts: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Requests {
    requests: Vec<Request>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Request {
    run: String,
    approval: Option<String>,
}

/// RFC 9457.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0}")]
    Url(String),
    #[error("the token in $TIDEGATE_TOKEN can not be sent: expected letters, digits and punctuation, without spaces and line breaks")]
    Token,
    #[error("{0} can not be reached: {1}")]
    Away(String, String),
    #[error("the server says no ({status}): {why}{hint}")]
    Refused { status: u16, why: String, hint: &'static str },
    #[error("the server knows no such run: {0}")]
    Unknown(String),
    #[error("the run was asked for and will not begin: its request was dropped ({0})")]
    Dropped(String),
    #[error("the server has trouble ({status}): {why}")]
    Trouble { status: u16, why: String },
    #[error("the server's answer is not understood: {0}. Is it of another version of Tidegate?")]
    Nonsense(String),
}

impl ClientError {
    /// It may be better in a while.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Away(..) | Self::Trouble { .. })
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Url(_) | Self::Token | Self::Refused { .. } => Exit::Usage,
            Self::Dropped(_) => Exit::Cancelled,
            Self::Away(..) | Self::Unknown(_) | Self::Trouble { .. } | Self::Nonsense(_) => Exit::Infrastructure,
        }
    }
}

pub struct Client {
    http: reqwest::Client,
    base: url::Url,
    token: Option<HeaderValue>,
}

impl Client {
    pub fn new(base: &str, token: Option<String>) -> Result<Self, ClientError> {
        // The second time it says that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = address(base)?;
        let token = token.filter(|token| !token.is_empty()).map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        // A redirect could lead the token elsewhere.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT).build();
        Ok(Self { http: http.map_err(|error| ClientError::Away(base.to_string(), whole(&error)))?, token: token.transpose()?, base })
    }

    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Once: whether an answer that did not come would have been a run, nobody knows.
    pub async fn start(&self, start: &Start) -> Result<Asked, ClientError> {
        self.ask(self.request(Method::POST, &["runs"]).json(start)).await
    }

    pub async fn facts(&self, run: &str, after: u64) -> Result<Facts, ClientError> {
        self.ask(self.request(Method::GET, &["runs", run, "facts"]).query(&[("after", after)])).await
    }

    pub async fn cancel(&self, run: &str) -> Result<(), ClientError> {
        self.ask::<serde_json::Value>(self.request(Method::POST, &["runs", run, "cancel"])).await.map(drop)
    }

    /// Why a run has not begun; `None` when nobody waits for it.
    pub async fn waits(&self, repository: &str, run: &str) -> Result<Option<String>, ClientError> {
        let mut cursor: Option<String> = None;
        loop {
            let mut request = self.request(Method::GET, &["requests"]).query(&[("repository", repository), ("limit", "100")]);
            if let Some(cursor) = &cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let page: Requests = self.ask(request).await?;
            if let Some(found) = page.requests.into_iter().find(|request| request.run == run) {
                return Ok(Some(found.approval.map_or_else(|| "it waits for its turn".to_owned(), |why| format!("it waits for approval: {why}"))));
            }
            match page.next {
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => return Ok(None),
            }
        }
    }

    /// Every part of the path is one, whatever is in it.
    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let request = self.http.request(method, url).header(ACCEPT, "application/json");
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.clone()),
            None => request,
        }
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let away = |error: reqwest::Error| ClientError::Away(self.url().to_owned(), whole(&error.without_url()));
        let mut answer = request.send().await.map_err(away)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(away)? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES {
                return Err(ClientError::Nonsense(format!("it is longer than {ANSWER_BYTES} bytes")));
            }
        }
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| ClientError::Nonsense(error.to_string()));
        }
        let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        let why = clean(if problem.detail.is_empty() { &problem.title } else { &problem.detail });
        let why = if why.is_empty() { status.canonical_reason().unwrap_or("no reason").to_owned() } else { why };
        Err(match status {
            StatusCode::NOT_FOUND => ClientError::Unknown(why),
            StatusCode::TOO_MANY_REQUESTS => ClientError::Trouble { status: status.as_u16(), why },
            status if status.is_server_error() => ClientError::Trouble { status: status.as_u16(), why },
            status => ClientError::Refused { status: status.as_u16(), why, hint: hint(status) },
        })
    }
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => ". Expected a token of it in $TIDEGATE_TOKEN",
        StatusCode::FORBIDDEN => ". The token needs the scope `run` for this repository",
        status if status.is_redirection() => ". Name the address that it redirects to: a token is not taken along",
        _ => "",
    }
}

/// A token goes over TLS, or stays on this machine.
fn address(text: &str) -> Result<url::Url, ClientError> {
    let wrong = |why: &str| ClientError::Url(format!("--url {text:?}: {why}: expected https://HOST"));
    let url = url::Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ClientError::Url("--url has a name or password in it: expected https://HOST, and the token in $TIDEGATE_TOKEN".to_owned()));
    }
    let near = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => return Err(wrong("it names no host")),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if near => Ok(url),
        "http" => Err(wrong("a token would be sent for everybody to read")),
        _ => Err(wrong("it is no address of a server")),
    }
}

/// With all that stands behind it.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    clean(&causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_sent_for_everybody_to_read() {
        assert!(address("https://ci.example.com/tidegate").is_ok());
        for near in ["http://localhost:1234", "http://127.0.0.1:7071", "http://[::1]:7071"] {
            assert!(address(near).is_ok(), "{near}");
        }
        for (bad, why) in [
            ("http://ci.example.com", "for everybody to read"),
            ("http://localhost.evil.example", "for everybody to read"),
            ("https://ada:secret@ci.example.com", "a name or password"),
            ("file:///etc/passwd", "names no host"),
            ("ci.example.com", "expected https://HOST"),
        ] {
            let error = address(bad).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_run_can_not_be_a_path() {
        let client = Client::new("https://ci.example.com/base/", None).unwrap();
        let request = client.request(Method::GET, &["runs", "../../admin?x=1#y", "facts"]).build().unwrap();
        assert_eq!(request.url().as_str(), "https://ci.example.com/base/api/v1/runs/..%2F..%2Fadmin%3Fx=1%23y/facts");
        assert!(matches!(Client::new("https://ci.example.com", Some("two\nlines".to_owned())), Err(ClientError::Token)));
    }
}
