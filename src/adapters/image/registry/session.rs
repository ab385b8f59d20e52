//! Requests to one registry, as somebody. Nothing that it answers is read further than it may be long: a registry is a server that a pipeline file names.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, NoProxy, Proxy, Response, StatusCode, redirect};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::super::reference::ImageName;

/// A registry begins to answer, and goes on, within this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// It may send somebody on to where its blobs are; not again and again.
const REDIRECTS: usize = 5;
/// Bytes of a token's answer.
const TOKEN: u64 = 256 << 10;
/// Bytes that are read of what a registry says about an error.
const COMPLAINT: u64 = 64 << 10;

pub(super) struct Session {
    client: Client,
    /// `https://HOST/v2/REPOSITORY`
    root: String,
    repository: String,
    is_loopback: bool,
    /// User and password.
    account: Option<(String, String)>,
    /// What has let us in so far.
    pass: Mutex<Option<HeaderValue>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It said something else than that it is well, and this about it.
    Status(u16, Vec<u8>),
    /// What it wanted to say is longer than it may be.
    TooLong {
        what: &'static str,
        most: u64,
    },
    /// It wants to know who we are, in a way that can not be answered.
    Challenge(String),
    Request(reqwest::Error),
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        Self::Request(error)
    }
}

impl Session {
    pub(super) fn open(name: &ImageName, account: Option<(String, String)>) -> Result<Self, Trouble> {
        // Somebody else may have chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let is_loopback = name.is_loopback();
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(15))
            .read_timeout(PATIENCE)
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::limited(REDIRECTS))
            // Wherever it sends us.
            .https_only(!is_loopback)
            .no_proxy();
        let client = match proxy().filter(|_| !is_loopback) {
            Some(proxy) => client.proxy(proxy?),
            None => client,
        };
        let (reference, scheme) = (name.reference(), if is_loopback { "http" } else { "https" });
        let repository = reference.repository().to_owned();
        let root = format!("{scheme}://{}/v2/{repository}", reference.resolve_registry());
        Ok(Self { client: client.build()?, root, repository, is_loopback, account, pass: Mutex::default() })
    }

    /// What is at a place of the repository, if all is well.
    pub(super) async fn get(&self, place: &str, accepted: &str) -> Result<Response, Trouble> {
        let known = self.pass.lock().await.clone();
        let mut answer = self.ask(place, accepted, known).await?;
        // Not known yet, or not any more: passes are for minutes.
        // Whoever it has sent us on to asks in vain: what it may know is what the registry gave us for it.
        if answer.status() == StatusCode::UNAUTHORIZED
            && Url::parse(&self.root).is_ok_and(|root| root.origin() == answer.url().origin())
            && let Some(pass) = self.pass_for(Wanted::of(answer.headers())).await?
        {
            *self.pass.lock().await = Some(pass.clone());
            answer = self.ask(place, accepted, Some(pass)).await?;
        }
        if answer.status() == StatusCode::OK { Ok(answer) } else { Err(complaint(answer).await) }
    }

    async fn ask(&self, place: &str, accepted: &str, pass: Option<HeaderValue>) -> Result<Response, Trouble> {
        let mut request = self.client.get(format!("{}/{place}", self.root)).header(ACCEPT, accepted);
        if let Some(pass) = pass {
            request = request.header(AUTHORIZATION, pass);
        }
        Ok(request.send().await?)
    }

    /// `None`: there is nothing to say.
    async fn pass_for(&self, wanted: Wanted) -> Result<Option<HeaderValue>, Trouble> {
        match (wanted, &self.account) {
            (Wanted::Token { realm, service }, _) => self.token(realm, service).await.map(Some),
            (Wanted::Password, Some((user, secret))) => header(&format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))).map(Some),
            (Wanted::Password | Wanted::Nothing, _) => Ok(None),
        }
    }

    /// Of whoever gives them for this registry: it says who.
    async fn token(&self, realm: Option<String>, service: Option<String>) -> Result<HeaderValue, Trouble> {
        #[derive(Deserialize)]
        struct Given {
            token: Option<String>,
            access_token: Option<String>,
        }
        let realm = realm.and_then(|realm| Url::parse(&realm).ok());
        let realm = realm.ok_or_else(|| Trouble::Challenge("it names nobody who gives tokens".to_owned()))?;
        // A password does not go where others can listen.
        if realm.scheme() != "https" && !(self.is_loopback && is_near(&realm)) {
            return Err(Trouble::Challenge(format!("it sends us for a token to {}, which is not HTTPS", realm.origin().ascii_serialization())));
        }
        let mut query = vec![("scope", format!("repository:{}:pull", self.repository))];
        query.extend(service.map(|service| ("service", service)));
        let mut request = self.client.get(realm).query(&query);
        if let Some((user, secret)) = &self.account {
            request = request.basic_auth(user, Some(secret));
        }
        let answer = request.send().await?;
        if answer.status() != StatusCode::OK {
            return Err(complaint(answer).await);
        }
        let given = body(answer, "its token", TOKEN).await?;
        let given: Given = serde_json::from_slice(&given).map_err(|_| Trouble::Challenge("what it gives for a token can not be read".to_owned()))?;
        let token = given.token.or(given.access_token).ok_or_else(|| Trouble::Challenge("there is no token in what it gives".to_owned()))?;
        header(&format!("Bearer {token}"))
    }
}

/// How it wants to be told who we are.
enum Wanted {
    /// With what somebody else gives.
    Token {
        realm: Option<String>,
        service: Option<String>,
    },
    Password,
    Nothing,
}

impl Wanted {
    fn of(asked: &HeaderMap) -> Self {
        let mut wanted = Self::Nothing;
        let lines = asked.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
        for challenge in lines.filter_map(|line| http_auth::parse_challenges(line).ok()).flatten() {
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let said =
                    |name: &str| challenge.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_unescaped());
                return Self::Token { realm: said("realm"), service: said("service") };
            }
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                wanted = Self::Password;
            }
        }
        wanted
    }
}

/// All of an answer.
pub(super) async fn body(mut answer: Response, what: &'static str, most: u64) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if (bytes.len() + piece.len()) as u64 > most {
            return Err(Trouble::TooLong { what, most });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

async fn complaint(mut answer: Response) -> Trouble {
    let (code, mut bytes) = (answer.status().as_u16(), Vec::new());
    // The beginning will do, and without any the code has to.
    while (bytes.len() as u64) < COMPLAINT
        && let Ok(Some(piece)) = answer.chunk().await
    {
        bytes.extend_from_slice(&piece);
    }
    Trouble::Status(code, bytes)
}

fn header(text: &str) -> Result<HeaderValue, Trouble> {
    let mut header = HeaderValue::from_str(text).map_err(|_| Trouble::Challenge("what lets us in can not be said in a header".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn proxy() -> Option<reqwest::Result<Proxy>> {
    let variable = |names: [&str; 2]| names.into_iter().find_map(|name| std::env::var(name).ok()).filter(|text| !text.is_empty());
    let excepted = variable(["NO_PROXY", "no_proxy"]).and_then(|text| NoProxy::from_string(&text));
    variable(["HTTPS_PROXY", "https_proxy"]).map(|address| Ok(Proxy::https(address)?.no_proxy(excepted)))
}
