//! A server, through its API.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};

use super::super::args::Global;
use super::sse::Events;
use super::{Log, credentials, run_facts};
use crate::adapters::deliveries::Known;
use crate::model::fact::Entry;
use crate::model::id::{RolloutId, RunId};
use crate::model::secret::Secret;
use crate::model::settings::Prices;
use crate::report::run::list::Line;
use crate::report::run::text::clean;
use crate::report::run::usage::Repository;
use crate::runtime::records::Found;
use crate::server::api::actions::Asked;
use crate::server::api::deliveries::{Lines as Deliveries, Whole as Delivery};
use crate::server::api::requests::{Request, Requests};
use crate::server::api::rollouts::Rollouts;
use crate::server::api::runs::{Facts, Runs};
use crate::server::api::system::Whoami;
use crate::server::api::usage::{OfAll, OfRun};
use crate::server::api::{Problem, tls};

/// Bytes of an answer that is no log.
const MAX_ANSWER: usize = 256 << 20;
/// Bytes of a log.
const MAX_LOG: u64 = 8 << 30;
const CONNECT: Duration = Duration::from_secs(15);
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(60);
/// Of a page of a list.
const PAGE: usize = 100;
/// How often a stream that was cut off is asked for again before something has come, and how long is waited for that.
const AGAIN: (u32, Duration) = (10, Duration::from_millis(500));

#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("{0}")]
    Usage(String),
    #[error("{server} can not be reached: {why}")]
    Unreachable { server: String, why: String },
    #[error("{server}: {}", .0.detail, server = .1)]
    Refused(Problem, String),
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// Of whoever stands before it, mostly.
    #[error("{server} has trouble ({status})")]
    Trouble { server: String, status: StatusCode },
    #[error("{server} sends on to another address ({status}), where nothing is sent, as a token goes to nobody but whom you name: name that address")]
    Elsewhere { server: String, status: StatusCode },
    #[error("{server} answers what is not understood ({why}): is it a Tidegate of this version?")]
    Odd { server: String, why: String },
    #[error("{0}")]
    File(#[from] std::io::Error),
}

impl RemoteError {
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) | Self::Refused(..) | Self::Elsewhere { .. } => true,
            Self::Problem(problem) => (400..500).contains(&problem.status),
            _ => false,
        }
    }

    /// There is no such thing there.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.status == 404)
    }

    /// It may be better in a while.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Trouble { .. } => true,
            Self::Problem(problem) => problem.status == 429 || problem.status >= 500,
            _ => false,
        }
    }
}

#[derive(Debug)]
pub struct Remote {
    http: reqwest::Client,
    url: Url,
    token: Option<Secret>,
}

impl Remote {
    /// The server that `--server` or TIDEGATE_SERVER names.
    pub fn of(global: &Global) -> Result<Option<Self>, RemoteError> {
        global.server.as_ref().map(|given| Self::at(given, global.insecure_http)).transpose()
    }

    /// With the token that is kept for it.
    pub fn at(given: &str, insecure: bool) -> Result<Self, RemoteError> {
        let url = address(given, insecure)?;
        let token = credentials::find(&url)?;
        Self::open(url, token)
    }

    pub fn open(url: Url, token: Option<Secret>) -> Result<Self, RemoteError> {
        tls();
        if token.as_ref().is_some_and(|token| !token.reveal().iter().all(u8::is_ascii_graphic)) {
            return Err(RemoteError::Usage(
                "the token can not be sent: expected letters, digits and punctuation, without spaces and line breaks".to_owned(),
            ));
        }
        // A token goes to the one that was named and to nobody whom that one names.
        let http = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).redirect(reqwest::redirect::Policy::none());
        let http = http.user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION"))).build();
        let http = http.map_err(|error| RemoteError::Unreachable { server: url.to_string(), why: error.to_string() })?;
        Ok(Self { http, url, token })
    }

    /// Names are percent-encoded, so that they are one part of the path whatever they hold.
    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(String::from_utf8_lossy(token.reveal())),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, RemoteError> {
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let Ok(mut problem) = serde_json::from_slice::<Problem>(&self.body(response).await?) else {
            return Err(match status {
                _ if status.is_server_error() => RemoteError::Trouble { server: self.server(), status },
                _ if status.is_redirection() => RemoteError::Elsewhere { server: self.server(), status },
                _ => self.odd(status),
            });
        };
        // Somebody else's words, for a terminal.
        problem.detail = clean(&problem.detail);
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(RemoteError::Refused(problem, self.server()));
        }
        Err(RemoteError::Problem(problem))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, RemoteError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_ANSWER {
                return Err(self.odd(format!("more than {MAX_ANSWER} bytes")));
            }
        }
        Ok(body)
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<T, RemoteError> {
        self.answer(self.asking(path, query)).await
    }

    fn asking(&self, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let (http, request) = self.request(Method::GET, path).build_split();
        match request {
            Ok(mut request) => {
                if !query.is_empty() {
                    request.url_mut().query_pairs_mut().extend_pairs(query);
                }
                RequestBuilder::from_parts(http, request)
            }
            Err(_) => self.request(Method::GET, path),
        }
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, RemoteError> {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, RemoteError> {
        let response = self.send(request).await?;
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| self.odd(error))
    }

    pub async fn whoami(&self) -> Result<Whoami, RemoteError> {
        self.get(&["whoami"], &[]).await
    }

    pub async fn runs(&self, limit: usize) -> Result<Vec<Line>, RemoteError> {
        let mut lines = Vec::new();
        let mut cursor: Option<String> = None;
        while lines.len() < limit {
            let mut query = vec![("limit", (limit - lines.len()).min(PAGE).to_string())];
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page: Runs = self.get(&["runs"], &query).await?;
            lines.extend(page.runs);
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        Ok(lines)
    }

    pub async fn run(&self, given: &str) -> Result<Found, RemoteError> {
        let (_, entries, interrupted) = self.facts("runs", given).await?;
        Ok(run_facts(entries, interrupted))
    }

    /// All facts of a stream, page by page.
    async fn facts(&self, kind: &str, given: &str) -> Result<(String, Vec<Entry>, bool), RemoteError> {
        let mut page: Facts = self.get(&[kind, given, "facts"], &[]).await?;
        let (mut entries, of) = (Vec::new(), page.of.clone());
        while let Some(last) = page.facts.last() {
            let after = last.number;
            entries.append(&mut page.facts);
            page = self.get(&[kind, &of, "facts"], &[("after", after.to_string())]).await?;
        }
        Ok((of, entries, page.interrupted))
    }

    /// A page of what came after, and whether more will.
    pub async fn facts_after(&self, run: &str, after: u64) -> Result<Facts, RemoteError> {
        self.get(&["runs", run, "facts"], &[("after", after.to_string())]).await
    }

    /// The request for this run, while it waits.
    pub async fn request_of(&self, repository: &str, run: &str) -> Result<Option<Request>, RemoteError> {
        let mut cursor: Option<String> = None;
        loop {
            let mut query = vec![("repository", repository.to_owned()), ("limit", PAGE.to_string())];
            query.extend(cursor.iter().map(|cursor| ("cursor", cursor.clone())));
            let page: Requests = self.get(&["requests"], &query).await?;
            if let Some(found) = page.requests.into_iter().find(|request| request.run == run) {
                return Ok(Some(found));
            }
            match page.next {
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => return Ok(None),
            }
        }
    }

    pub async fn rollouts(&self, limit: usize) -> Result<Vec<(Entry, Entry)>, RemoteError> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        while all.len() < limit {
            let mut query = vec![("limit", (limit - all.len()).min(PAGE).to_string())];
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page: Rollouts = self.get(&["rollouts"], &query).await?;
            all.extend(page.rollouts.into_iter().map(|rollout| (rollout.first, rollout.last)));
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        Ok(all)
    }

    pub async fn rollout(&self, given: &str) -> Result<(RolloutId, Vec<Entry>), RemoteError> {
        let (of, entries, _) = self.facts("rollouts", given).await?;
        Ok((RolloutId::new(of), entries))
    }

    pub async fn usage_of(&self, run: &RunId) -> Result<OfRun, RemoteError> {
        self.get(&["runs", run.as_str(), "usage"], &[]).await
    }

    pub async fn usage(&self, only: Option<&str>) -> Result<(Vec<Repository>, Prices), RemoteError> {
        let query: Vec<(&str, String)> = only.map(|only| ("repository", only.to_owned())).into_iter().collect();
        let all: OfAll = self.get(&["usage"], &query).await?;
        Ok((all.repositories, all.prices))
    }

    pub async fn deliveries(&self, limit: usize, waiting: Option<bool>, event: Option<&str>) -> Result<Vec<Known>, RemoteError> {
        let mut all = Vec::new();
        let mut cursor: Option<u64> = None;
        while all.len() < limit {
            let mut query = vec![("limit", (limit - all.len()).min(PAGE).to_string())];
            query.extend(waiting.map(|waiting| ("waiting", waiting.to_string())));
            query.extend(event.map(|event| ("event", event.to_owned())));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor.to_string())));
            let page: Deliveries = self.get(&["deliveries"], &query).await?;
            all.extend(page.deliveries.into_iter().map(Known::from));
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        Ok(all)
    }

    /// With its body, where that is kept.
    pub async fn delivery(&self, given: &str) -> Result<(Known, Option<Vec<u8>>), RemoteError> {
        let whole: Delivery = self.get(&["deliveries", given], &[]).await?;
        let body = whole.body.map(|body| serde_json::to_vec(&body)).transpose().map_err(|error| self.odd(error))?;
        Ok((whole.delivery.into(), body))
    }

    /// What a person wants done with one thing.
    pub async fn act(&self, kind: &str, id: &str, verb: &str, body: &impl Serialize) -> Result<Asked, RemoteError> {
        self.post(&[kind, id, verb], body).await
    }

    /// The whole log in a file that has no name; `None` where nothing was said.
    pub async fn log(&self, log: Log<'_>) -> Result<Option<File>, RemoteError> {
        let attempt = log.attempt.to_string();
        let query: Vec<(&str, String)> = log.service.map(|service| ("service", service.to_owned())).into_iter().collect();
        let request = self.asking(&["runs", log.run.as_str(), "logs", log.node.as_str(), &attempt], &query);
        let mut response = self.send(request).await?;
        let (mut file, mut length) = (tempfile::tempfile()?, 0);
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            length += piece.len() as u64;
            if length > MAX_LOG {
                return Err(self.odd(format!("more than {MAX_LOG} bytes of log")));
            }
            file.write_all(&piece)?;
        }
        file.seek(SeekFrom::Start(0))?;
        Ok((length > 0).then_some(file))
    }

    /// What is said, as it is said. A stream that is cut off is gone on with from where it was.
    pub async fn follow(&self, log: Log<'_>, mut told: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<(), RemoteError> {
        let (attempt, mut last, mut failures) = (log.attempt.to_string(), String::from("0"), 0);
        let query: Vec<(&str, String)> = log.service.map(|service| ("service", service.to_owned())).into_iter().collect();
        loop {
            let request = self.asking(&["runs", log.run.as_str(), "logs", log.node.as_str(), &attempt, "events"], &query);
            match self.send(request.header("last-event-id", &last)).await {
                Ok(response) => {
                    let mut events = Events::new(response);
                    while let Ok(Some(event)) = events.next().await {
                        failures = 0;
                        match event.name.as_str() {
                            "log" => told(&event.bytes().ok_or_else(|| self.odd("an event of a log"))?)?,
                            "end" => return Ok(()),
                            _ => continue,
                        }
                        last = event.id;
                    }
                }
                Err(error @ RemoteError::Unreachable { .. }) if failures >= AGAIN.0 => return Err(error),
                Err(RemoteError::Unreachable { .. }) => {}
                Err(error) => return Err(error),
            }
            failures += 1;
            if failures > AGAIN.0 {
                return Err(self.odd("a stream that has no end and says nothing"));
            }
            tokio::time::sleep(AGAIN.1).await;
        }
    }

    fn server(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    fn odd(&self, why: impl std::fmt::Display) -> RemoteError {
        RemoteError::Odd { server: self.server(), why: why.to_string() }
    }

    fn unreachable(&self, error: reqwest::Error) -> RemoteError {
        let mut why = String::new();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            why = error.to_string();
            cause = error.source();
        }
        RemoteError::Unreachable { server: self.server(), why }
    }
}

/// Over TLS, but for this machine: a token that travels openly is everybody's.
pub fn address(given: &str, insecure: bool) -> Result<Url, RemoteError> {
    let wrong = |why: &str| RemoteError::Usage(format!("{given:?} is no server: {why} (expected https://HOST[:PORT])"));
    let url = Url::parse(given).map_err(|error| wrong(&error.to_string()))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(wrong("it names no host")),
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it holds more than an address"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback || insecure => Ok(url),
        "http" => Err(RemoteError::Usage(format!(
            "{given} is not over TLS: what is sent there, your token too, can be read on the way; use https, or --insecure-http if you know the way"
        ))),
        _ => Err(wrong("it is neither https nor http")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_can_not_be_a_path_and_a_token_is_one_word() {
        let open = |token: &str| Remote::open(address("https://ci.example.com/base/", false).unwrap(), Some(Secret::new(token)));
        let request = open("tgp_x").unwrap().request(Method::GET, &["runs", "../../admin?x=1#y", "facts"]).build().unwrap();
        assert_eq!(request.url().as_str(), "https://ci.example.com/base/api/v1/runs/..%2F..%2Fadmin%3Fx=1%23y/facts");
        for bad in ["two\nlines", "a b", "tükn"] {
            let error = open(bad).unwrap_err();
            assert!(error.is_usage() && !error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn a_token_goes_over_tls_or_stays_on_this_machine() {
        for good in
            ["https://ci.example.com", "https://ci.example.com/tidegate/", "http://127.0.0.1:7171", "http://[::1]:7171", "http://localhost:7171"]
        {
            assert!(address(good, false).is_ok(), "{good}");
        }
        for bad in ["http://ci.example.com", "http://10.0.0.1:7171", "http://localhost.example.com", "http://127.0.0.1.example.com"] {
            assert!(address(bad, false).unwrap_err().to_string().contains("is not over TLS"), "{bad}");
            assert!(address(bad, true).is_ok(), "{bad}");
        }
        for bad in
            ["", "ci.example.com", "ftp://ci.example.com", "https://user:word@ci.example.com", "https://ci.example.com/?x=1", "file:///etc/passwd"]
        {
            assert!(address(bad, true).is_err(), "{bad}");
        }
    }
}
