//! Every error that is answered over HTTP, as RFC 9457 has it: `application/problem+json`.

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The type of what its status says.
const BLANK: &str = "about:blank";

pub const MEDIA_TYPE: &str = "application/problem+json";

/// What is wrong, for programs (`type`, `status`) and people (`title`, `detail`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:tidegate:problem:` and a word that stays the same; `about:blank` where the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What was expected and what to do.
    pub detail: String,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The methods that there are.
    #[serde(skip)]
    allow: Option<&'static str>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { kind: BLANK.to_owned(), title, status: status.as_u16(), detail: detail.into(), retry_after: None, allow: None }
    }

    fn of(status: StatusCode, word: &str, detail: impl Into<String>) -> Self {
        Self { kind: format!("urn:tidegate:problem:{word}"), ..Self::new(status, detail) }
    }

    /// For the moment: after so many seconds it may go better.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    #[must_use]
    pub fn allow(self, methods: &'static str) -> Self {
        Self { allow: Some(methods), ..self }
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, "invalid", detail)
    }
    pub fn unknown(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::NOT_FOUND, "unknown", detail)
    }
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::CONFLICT, "conflict", detail)
    }
    pub fn method() -> Self {
        Self::of(StatusCode::METHOD_NOT_ALLOWED, "method", "this address does not know the method; /openapi.json says what there is")
    }
    pub fn range(length: u64) -> Self {
        Self::of(StatusCode::RANGE_NOT_SATISFIABLE, "range", format!("there are {length} bytes so far"))
    }
    pub fn too_large(limit: usize) -> Self {
        Self::of(StatusCode::PAYLOAD_TOO_LARGE, "too-large", format!("a body has at most {limit} bytes here"))
    }
    pub fn media_type() -> Self {
        Self::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "expected a body of the type application/json")
    }
    pub fn nobody() -> Self {
        let detail = "expected a token (Authorization: Bearer tgp_…) or a session; `tidegate tokens create` makes a token";
        Self::of(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::FORBIDDEN, "forbidden", detail)
    }
    pub fn too_many(detail: impl Into<String>, seconds: u64) -> Self {
        Self::of(StatusCode::TOO_MANY_REQUESTS, "too-many", detail).retry_after(seconds)
    }
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(5)
    }
    /// The chain goes to the log, never to whoever asked.
    pub fn ours(error: &dyn std::fmt::Display) -> Self {
        tracing::error!("{error}");
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something is wrong with the server; its log says what")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = serde_json::to_vec(&self).unwrap_or_default();
        body.push(b'\n');
        let mut response = (status, [(CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        }
        if self.kind != BLANK && status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// For whoever puts the routers together.
pub async fn not_found(uri: Uri) -> Problem {
    let path: String = crate::model::text::clean(uri.path());
    Problem::new(StatusCode::NOT_FOUND, format!("nothing is served at {path}"))
}
