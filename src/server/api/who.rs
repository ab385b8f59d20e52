//! Who asks, and whether they may: in front of every route.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts as _, MatchedPath, RawPathParams, Request, State};
use axum::http::header::{AUTHORIZATION, ORIGIN};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use super::Api;
use super::login::cookies;
use super::problem::Problem;
use super::routes::{self, About, Needs};
use crate::adapters::journal::Journal as _;
use crate::model::access::{Person, Scope, Scopes};
use crate::model::fact::{Fact, RolloutFact, RunFact, Stream};
use crate::model::id::{RolloutId, RunId};
use crate::model::request::RequestFact;
use crate::runtime::clock;

/// What a browser never sends to another site by itself: with it a request was meant.
pub const CSRF: &str = "tidegate-csrf";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    Nobody,
    Token { name: String, scopes: Scopes },
    Person { person: Person, session: Vec<u8> },
}

impl Caller {
    /// As it is written down with what they did.
    pub fn name(&self) -> String {
        match self {
            Self::Nobody => "nobody".to_owned(),
            Self::Token { name, .. } => format!("token {name}"),
            Self::Person { person, .. } => format!("@{}", person.login),
        }
    }
}

/// Lets through who may, and tells the handler who it is.
pub async fn guard(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let path = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let (needs, about) = routes::of(&parts.method, &path).ok_or_else(|| Problem::forbidden("nobody may ask for this"))?;
    let caller = match needs {
        Needs::Nothing => Caller::Nobody,
        Needs::Scope(scope) => {
            let caller = authenticate(&api, &parts).await?;
            if matches!(caller, Caller::Person { .. }) && !parts.method.is_safe() {
                meant(&api, &parts)?;
            }
            allowed(&api, &caller, scope, about, &mut parts).await?;
            caller
        }
    };
    parts.extensions.insert(caller);
    let response = next.run(Request::from_parts(parts, body)).await;
    api.metrics.answer(&path, response.status().as_u16());
    Ok(response)
}

async fn authenticate(api: &Api, parts: &Parts) -> Result<Caller, Problem> {
    let now = clock::now();
    if let Some(header) = parts.headers.get(AUTHORIZATION) {
        let (scheme, given) = header.as_bytes().split_at_checked(7).unwrap_or_default();
        let given = if scheme.eq_ignore_ascii_case(b"bearer ") { given.trim_ascii().to_vec() } else { Vec::new() };
        return match api.access.ask(move |access| access.token(&given, now)).await? {
            Some(token) => Ok(Caller::Token { name: token.name, scopes: token.scopes }),
            None => Err(wrong(api, parts)),
        };
    }
    let Some(session) = cookies::session(&parts.headers) else { return Err(Problem::nobody()) };
    let asked = session.clone();
    match api.access.ask(move |access| access.session(&asked, now)).await? {
        Some(person) => Ok(Caller::Person { person, session }),
        None => Err(wrong(api, parts)),
    }
}

fn wrong(api: &Api, parts: &Parts) -> Problem {
    // Where the listener does not say, all are one.
    let address = parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    match api.throttle.wrong(address, Instant::now()) {
        Some(seconds) => Problem::too_many("there were too many wrong tokens from your address", seconds),
        None => Problem::nobody(),
    }
}

/// A page of somebody else can have a browser send its cookies, but not this header, and not from here.
fn meant(api: &Api, parts: &Parts) -> Result<(), Problem> {
    if !parts.headers.contains_key(CSRF) {
        return Err(Problem::forbidden(format!("a session that changes something sends the header {CSRF}: 1")));
    }
    match parts.headers.get(ORIGIN) {
        Some(origin) if api.origin().is_none_or(|own| own.as_bytes() != origin.as_bytes()) => {
            Err(Problem::forbidden("the request comes from another site"))
        }
        _ => Ok(()),
    }
}

async fn allowed(api: &Api, caller: &Caller, scope: Scope, about: About, parts: &mut Parts) -> Result<(), Problem> {
    match caller {
        Caller::Nobody => Err(Problem::nobody()),
        Caller::Token { scopes, .. } if scopes.allow(scope) => Ok(()),
        Caller::Token { scopes, .. } => Err(Problem::forbidden(format!("this needs the scope {scope}, and the token has {}", scopes.words()))),
        Caller::Person { person, .. } if api.is_admin(person) => Ok(()),
        Caller::Person { .. } => match about {
            About::Nothing | About::Body => Ok(()),
            About::Server => Err(Problem::forbidden("this is for the server's admins")),
            about => {
                let repository = repository(api, about, parts).await?;
                may(api, caller, scope, repository.as_deref()).await
            }
        },
    }
}

/// Whether they may this in this repository. Of tokens and admins it has been decided before.
pub async fn may(api: &Api, caller: &Caller, scope: Scope, repository: Option<&str>) -> Result<(), Problem> {
    let Caller::Person { person, session } = caller else { return Ok(()) };
    if api.is_admin(person) {
        return Ok(());
    }
    let Some(repository) = repository else {
        return Err(Problem::forbidden("name a repository that you may see (?repository=OWNER/NAME): the rest is for the server's admins"));
    };
    let permission = api.people.permission(session, repository).await?;
    let scopes = super::login::scopes(permission);
    if scopes.allow(scope) {
        return Ok(());
    }
    Err(Problem::forbidden(format!("this needs the scope {scope}; in {repository} you have the permission {}", permission.word())))
}

async fn repository(api: &Api, about: About, parts: &mut Parts) -> Result<Option<String>, Problem> {
    if about == About::Query {
        let query = parts.uri.query().unwrap_or_default();
        return Ok(url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "repository").map(|(_, value)| value.into_owned()));
    }
    let params = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| Problem::invalid("the address is not UTF-8"))?;
    let given = params.iter().next().map(|(_, value)| value.to_owned()).unwrap_or_default();
    match about {
        About::Run => of_run(api, &given).await,
        About::Rollout => of_rollout(api, &given).await,
        _ => Ok(None),
    }
}

async fn of_run(api: &Api, given: &str) -> Result<Option<String>, Problem> {
    let id = match api.records.run_id(given).await {
        Ok(id) => id,
        // It may still wait.
        Err(_) => RunId::new(given),
    };
    for stream in [Stream::Run(id.clone()), Stream::Request(id)] {
        match api.records.journal.read_after(&stream, 0, 1).await?.pop().map(|entry| entry.fact) {
            Some(Fact::Run(RunFact::Started { event, .. })) => return Ok(Some(event.repository)),
            Some(Fact::Request(RequestFact::Asked { event, .. })) => return Ok(Some(event.repository)),
            _ => {}
        }
    }
    Ok(None)
}

async fn of_rollout(api: &Api, given: &str) -> Result<Option<String>, Problem> {
    let id = api.records.rollout_id(given).await.unwrap_or_else(|_| RolloutId::new(given));
    match api.records.journal.read_after(&Stream::Rollout(id), 0, 1).await?.pop().map(|entry| entry.fact) {
        Some(Fact::Rollout(RolloutFact::Started { run: Some(run), .. })) => of_run(api, run.as_str()).await,
        _ => Ok(None),
    }
}
