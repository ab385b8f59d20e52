//! What a handler takes out of a request; what does not fit is a problem like any other.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Api;
use super::problem::Problem;
use super::who::Caller;

/// Bytes of a body.
pub const MAX_BODY: usize = 64 << 10;

#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|error| Problem::invalid(error.body_text()))
    }
}

#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Api) -> Result<Self, Problem> {
        let found = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        found.map(|path| Self(path.0)).map_err(|error| Problem::invalid(error.body_text()))
    }
}

#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Api) -> Result<Self, Problem> {
        let found = axum::Json::<T>::from_request(request, state).await;
        found.map(|body| Self(body.0)).map_err(|error| match error {
            JsonRejection::MissingJsonContentType(_) => Problem::media_type(),
            JsonRejection::BytesRejection(_) => Problem::too_large(MAX_BODY),
            error => Problem::invalid(error.body_text()),
        })
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    /// The guard has put it there.
    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::nobody)
    }
}
