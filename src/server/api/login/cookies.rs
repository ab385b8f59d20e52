//! The two cookies: of a log-in under way, and of a session.

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use super::super::problem::Problem;

/// Of a log-in under way.
pub const LOGIN: &str = "tidegate_login";
/// Of a session. Over TLS it has a name that browsers only take from this very host.
const HOST: &str = "__Host-tidegate";
pub const PLAIN: &str = "tidegate";

pub fn name(secure: bool) -> &'static str {
    if secure { HOST } else { PLAIN }
}

pub fn session(headers: &HeaderMap) -> Option<Vec<u8>> {
    get(headers, HOST).or_else(|| get(headers, PLAIN))
}

pub fn get(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes().to_vec())
}

pub fn set(name: &str, value: &str, path: &str, lasts: Duration, secure: bool) -> Result<HeaderValue, Problem> {
    let end = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; Max-Age={}; HttpOnly; SameSite=Lax{end}", lasts.as_secs());
    HeaderValue::from_str(&text).map_err(|error| Problem::ours(&error))
}

pub fn gone(name: &str, path: &str, secure: bool) -> Result<HeaderValue, Problem> {
    set(name, "", path, Duration::ZERO, secure)
}
