//! What the headers of a delivery must say.

use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};

use crate::model::id::DeliveryId;
use crate::server::problem::Problem;

const SIGNATURE: &str = "x-hub-signature-256";
const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";

/// Characters of an event's name, and of an id.
const EVENT_LENGTH: usize = 64;
const ID_LENGTH: usize = 100;

/// All that is known before the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub id: DeliveryId,
    pub event: String,
    pub signature: String,
    /// `payload=…` instead of JSON.
    pub form: bool,
    pub length: usize,
}

impl Head {
    pub fn of(headers: &HeaderMap, limit: usize) -> Result<Self, Problem> {
        let signature = one(headers, SIGNATURE, StatusCode::UNAUTHORIZED)?.to_owned();
        let event = one(headers, EVENT, StatusCode::BAD_REQUEST)?;
        if event.len() > EVENT_LENGTH || !event.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            return Err(bad(format!("{EVENT} is not the name of an event: expected at most {EVENT_LENGTH} of a-z, 0-9 and _")));
        }
        let id = one(headers, DELIVERY, StatusCode::BAD_REQUEST)?;
        if id.len() > ID_LENGTH || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err(bad(format!("{DELIVERY} is not an id: expected at most {ID_LENGTH} of A-Z, a-z, 0-9, -, _ and .")));
        }
        let (event, id) = (event.to_owned(), DeliveryId::new(id));
        Ok(Self { id, event, signature, form: is_form(headers)?, length: length(headers, limit)? })
    }
}

fn bad(why: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, why)
}

/// Whoever stands before us may have gone by another one of several.
fn one<'a>(headers: &'a HeaderMap, name: &str, otherwise: StatusCode) -> Result<&'a str, Problem> {
    let mut all = headers.get_all(name).iter();
    let found = all.next().and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
    match (found, all.next()) {
        (Some(value), None) => Ok(value),
        (_, Some(_)) => Err(Problem::new(otherwise, format!("the header {name} is there more than once"))),
        (None, None) => Err(Problem::new(otherwise, format!("the header {name} is missing"))),
    }
}

fn is_form(headers: &HeaderMap) -> Result<bool, Problem> {
    let unsupported = |why: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    let identity = |value: &axum::http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(identity) {
        return Err(unsupported("the body is encoded: it is taken as it is signed only"));
    }
    let found = one(headers, CONTENT_TYPE.as_str(), StatusCode::UNSUPPORTED_MEDIA_TYPE)?;
    let kind = found.split(';').next().unwrap_or_default().trim();
    match kind {
        kind if kind.eq_ignore_ascii_case("application/json") => Ok(false),
        kind if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") => Ok(true),
        _ => Err(unsupported("the content type is neither application/json nor application/x-www-form-urlencoded")),
    }
}

/// GitHub says it always, and without there would be no telling whether a body is whole. That it is a number, hyper has looked at.
fn length(headers: &HeaderMap, limit: usize) -> Result<usize, Problem> {
    let required = || Problem::new(StatusCode::LENGTH_REQUIRED, "the header content-length is missing");
    let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.trim().parse().ok()).ok_or_else(required)?;
    if said > limit {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has {said} bytes: at most {limit} are taken")));
    }
    Ok(said)
}
