//! How people log in: GitHub says who they are, and what they may in a repository is what they may there.
//!
//! ```text
//!  /login ──▶ GitHub: "is it you?" ──▶ /login/callback ──code, verifier──▶ GitHub: token ──▶ who? ──▶ a new session
//!     └ state (in a cookie as well: only the browser that began can end it), PKCE
//! ```
//! The person's token at GitHub is kept in memory only, for asking what they may: after a restart they log in again.

pub mod cookies;
mod github;
mod people;

use axum::extract::State;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::Query;
use super::who::CSRF;
use super::{Api, Problem, page};
use crate::adapters::access::random;
use crate::model::access::{Scope, Scopes};
use crate::model::trust::Permission;
use crate::runtime::clock;

pub use github::Oauth;
use people::Pending;
pub use people::People;

/// How long a session lasts, and how long a log-in may take.
const SESSION: std::time::Duration = std::time::Duration::from_secs(12 * 3600);
const LOGIN: std::time::Duration = std::time::Duration::from_secs(600);

/// What somebody may through the API who has this permission in a repository at the forge.
pub fn scopes(permission: Permission) -> Scopes {
    match permission {
        Permission::None => Scopes::default(),
        Permission::Read | Permission::Triage => Scopes::new([Scope::Read]),
        Permission::Write => Scopes::new([Scope::Read, Scope::Run]),
        Permission::Maintain => Scopes::new([Scope::Read, Scope::Run, Scope::Approve]),
        Permission::Admin => Scopes::new([Scope::Read, Scope::Run, Scope::Approve, Scope::Deploy]),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Begin {
    /// Where to go on afterwards: a path of this server.
    to: Option<String>,
}

/// Sends the browser to GitHub.
#[utoipa::path(get, path = "/login", tag = "login", params(Begin), responses((status = 303, description = "To GitHub.")))]
pub async fn begin(State(api): State<Api>, Query(begin): Query<Begin>) -> Result<Response, Problem> {
    page::text("to", begin.to.as_ref())?;
    let to = begin.to.filter(|to| is_ours(to)).unwrap_or_else(|| "/".to_owned());
    let oauth = oauth(&api)?;
    let (state, verifier) = (text(random()?), text(random()?));
    let target = oauth.authorize(&back(&api)?, &state, &verifier);
    api.people.begin(&state, Pending { verifier, to }, std::time::Instant::now() + LOGIN);
    let mut response = see(&target)?;
    response.headers_mut().append(SET_COOKIE, cookies::set(cookies::LOGIN, &state, "/login", LOGIN, secure(&api))?);
    Ok(response)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Callback {
    code: Option<String>,
    state: Option<String>,
    /// Why GitHub did not say yes.
    error: Option<String>,
}

/// Where GitHub sends the browser back to.
#[utoipa::path(get, path = "/login/callback", tag = "login", params(Callback), responses((status = 303, description = "Logged in.")))]
pub async fn callback(State(api): State<Api>, Query(callback): Query<Callback>, headers: HeaderMap) -> Result<Response, Problem> {
    let oauth = oauth(&api)?;
    for (name, text) in [("code", &callback.code), ("state", &callback.state), ("error", &callback.error)] {
        page::text(name, text.as_ref())?;
    }
    let again = "log in again, from /login";
    let state = callback.state.ok_or_else(|| Problem::invalid(format!("expected a state: {again}")))?;
    // Whoever was sent here by somebody else has not got the cookie of that one.
    if cookies::get(&headers, cookies::LOGIN).is_none_or(|cookie| cookie != state.as_bytes()) {
        return Err(Problem::forbidden(format!("this log-in was not begun by this browser: {again}")));
    }
    let pending = api.people.pending(&state, std::time::Instant::now());
    let Pending { verifier, to } = pending.ok_or_else(|| Problem::forbidden(format!("this log-in is over: {again}")))?;
    let code = callback.code.filter(|_| callback.error.is_none()).ok_or_else(|| Problem::forbidden("GitHub did not say who you are"))?;
    let (person, token) = oauth.who(&code, &verifier, &back(&api)?).await?;
    let now = clock::now();
    if let Some(old) = cookies::session(&headers) {
        api.people.forget(&old);
        api.access.ask(move |access| access.end_session(&old)).await?;
    }
    let session = api.access.ask(move |access| access.begin_session(&person, now, now.after(SESSION))).await?;
    api.people.remember(session.reveal(), token, std::time::Instant::now() + SESSION);
    let mut response = see(&to)?;
    let secure = secure(&api);
    let value = String::from_utf8_lossy(session.reveal()).into_owned();
    response.headers_mut().append(SET_COOKIE, cookies::set(cookies::name(secure), &value, "/", SESSION, secure)?);
    response.headers_mut().append(SET_COOKIE, cookies::gone(cookies::LOGIN, "/login", secure)?);
    Ok(response)
}

/// Ends the session.
#[utoipa::path(post, path = "/logout", tag = "login", responses((status = 204, description = "Nobody is logged in any more.")))]
pub async fn end(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    if !headers.contains_key(CSRF) {
        return Err(Problem::forbidden(format!("a session that changes something sends the header {CSRF}: 1")));
    }
    if let Some(session) = cookies::session(&headers) {
        api.people.forget(&session);
        api.access.ask(move |access| access.end_session(&session)).await?;
    }
    let secure = secure(&api);
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookies::gone(cookies::name(secure), "/", secure)?)]).into_response())
}

fn oauth(api: &Api) -> Result<&Oauth, Problem> {
    api.people.oauth().ok_or_else(|| Problem::unknown("people do not log in here: the settings have no github.oauth and server.url; use a token"))
}

fn back(api: &Api) -> Result<String, Problem> {
    let url = api.server.url.as_deref().ok_or_else(|| Problem::unknown("people do not log in here: the settings have no server.url"))?;
    Ok(format!("{url}/login/callback"))
}

/// Unless it is plainly not reached over TLS.
fn secure(api: &Api) -> bool {
    !api.server.url.as_deref().is_some_and(|url| url.starts_with("http://"))
}

fn text(secret: crate::model::secret::Secret) -> String {
    String::from_utf8_lossy(secret.reveal()).into_owned()
}

fn see(target: &str) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(target).map_err(|_| Problem::invalid("to: expected a path of this server"))?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response())
}

/// A path of this server, however a browser reads it: no other host, no other scheme.
fn is_ours(to: &str) -> bool {
    to.starts_with('/') && !to.starts_with("//") && to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_server_are_gone_on_to() {
        for ours in ["/", "/runs/r1?x=//evil.example", "/a//b"] {
            assert!(is_ours(ours), "{ours}");
        }
        for theirs in [
            "",
            "runs",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/a\r\nSet-Cookie: x",
            "/é",
        ] {
            assert!(!is_ours(theirs), "{theirs:?}");
        }
    }
}
