//! Errors as RFC 9457 has them: `application/problem+json`.

use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What went wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub detail: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), header: None }
    }

    /// For the moment: after so many seconds it may go better.
    #[must_use]
    pub fn retry_after(self, seconds: u16) -> Self {
        Self { header: Some((RETRY_AFTER, HeaderValue::from(seconds))), ..self }
    }

    #[must_use]
    pub fn allow(self, methods: &'static str) -> Self {
        Self { header: Some((ALLOW, HeaderValue::from_static(methods))), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({"type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail});
        let mut response = (self.status, format!("{body}\n")).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().extend(self.header.map(|(name, value)| (Some(name), value)));
        response
    }
}

/// For whoever puts the routers together.
pub async fn not_found(uri: Uri) -> Problem {
    let path: String = crate::model::text::clean(uri.path());
    Problem::new(StatusCode::NOT_FOUND, format!("nothing is served at {path}"))
}
