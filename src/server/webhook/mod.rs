//! `POST /hooks/github`: a delivery is looked at, stored, and then answered. What it means is read later (`runtime::intake`).
//!
//! Everything cheap is looked at before the body is read, and the body is only believed when it is signed. What each answer means is in docs/server.md.

mod body;
mod form;
mod head;
mod secrets;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::Semaphore;

use super::problem::Problem;
use crate::adapters::deliveries::{Deliveries, DeliveriesError, Stored};
use crate::adapters::trigger::github::verify;
use crate::model::delivery::Delivery;
use crate::model::secret::{Secret, SecretSource};
use crate::runtime::clock;
use body::{Room, Taken};
use head::Head;
use secrets::Secrets;

pub const PATH: &str = "/hooks/github";

/// Seconds after which a sender that was told to come back may.
const RETRY_AFTER: u64 = 10;
/// Bytes of a body from which on looking at it is nothing for a thread that others wait for.
const LARGE: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one body: what GitHub sends at most.
    pub body: usize,
    /// For a body to come whole; GitHub itself waits as long for the answer.
    pub body_time: Duration,
    /// Bytes of all bodies that are being read or wait to be written.
    pub in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 25 << 20, body_time: Duration::from_secs(10), in_flight: 64 << 20 }
    }
}

struct Hooks {
    deliveries: Deliveries,
    secrets: Secrets,
    room: Arc<Semaphore>,
    limits: Limits,
}

/// The route for GitHub's webhooks. Without a secret every delivery is refused: there is no such thing as an unsigned one.
pub fn router(deliveries: Deliveries, secrets: Vec<SecretSource>, limits: Limits) -> Router {
    let hooks = Hooks { deliveries, secrets: Secrets::new(secrets), room: Room::all(limits.in_flight), limits };
    let others = || async { Problem::new(StatusCode::METHOD_NOT_ALLOWED, "deliveries are sent with POST").allow("POST") };
    Router::new().route(PATH, post(receive).fallback(others)).with_state(Arc::new(hooks))
}

async fn receive(State(hooks): State<Arc<Hooks>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let known = Head::of(&parts.headers, hooks.limits.body).and_then(|head| Ok((head, hooks.secrets.current()?)));
    let (head, secrets) = match known {
        Ok(known) => known,
        Err(problem) => {
            body::let_it_finish(body, &parts.headers, hooks.limits).await;
            return problem.into_response();
        }
    };
    match body::take(body, &head, &hooks.room, hooks.limits).await {
        Ok(taken) => hooks.keep(head, secrets, taken).await.unwrap_or_else(IntoResponse::into_response),
        Err(problem) => problem.into_response(),
    }
}

impl Hooks {
    async fn keep(&self, head: Head, secrets: Arc<[Secret]>, taken: Taken) -> Result<Response, Problem> {
        let Taken { body, room } = taken;
        let (head, body) = if body.len() < LARGE {
            let body = believe(&secrets, &head, body)?;
            (head, body)
        } else {
            let looked = tokio::task::spawn_blocking(move || believe(&secrets, &head, body).map(|body| (head, body)));
            looked.await.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the body could not be looked at"))??
        };
        let (id, event) = (head.id.clone(), head.event.clone());
        let delivery = Delivery { id: head.id, event: head.event, received: clock::now(), body };
        let stored = self.deliveries.store(delivery).await.map_err(|error| not_stored(&error))?;
        // Until here its bytes are in memory.
        drop(room);
        let (status, word) = match stored {
            Stored::New => (StatusCode::ACCEPTED, "new"),
            Stored::AlreadyThere => (StatusCode::OK, "already"),
            Stored::Taken => {
                let why = format!("another delivery is called {id}: an id stands for one body");
                return Err(Problem::new(StatusCode::CONFLICT, why));
            }
        };
        Ok((status, Json(json!({"delivery": id, "event": event, "stored": word}))).into_response())
    }
}

/// Signed as it came, and then JSON: an object, in UTF-8, not nested deeper than anything here reads.
fn believe(secrets: &[Secret], head: &Head, body: Vec<u8>) -> Result<Vec<u8>, Problem> {
    verify(secrets, &head.signature, &body).map_err(|error| Problem::new(StatusCode::UNAUTHORIZED, error.to_string()))?;
    let body = if head.form { form::payload(&body)? } else { body };
    body::is_json(&body)?;
    Ok(body)
}

fn not_stored(error: &DeliveriesError) -> Problem {
    if !matches!(error, DeliveriesError::Full(_)) {
        tracing::error!(%error, "a delivery was refused");
    }
    // What went wrong with the store in detail is the owner's, not the sender's.
    let why = if let DeliveriesError::Full(_) = error { error.to_string() } else { "the delivery could not be stored".to_owned() };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).retry_after(RETRY_AFTER)
}
