//! Deliveries: what came from the forge, and what became of it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::actions::Asked;
use super::control::Command;
use super::extract::{Path, Query};
use super::who::Caller;
use super::{Api, Problem, page};
use crate::model::delivery::{Delivery, Handled};
use crate::model::id::DeliveryId;

/// A delivery in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub delivery: Delivery,
    /// `None`: nobody has looked at it yet.
    pub handled: Option<Handled>,
}

type ListOf = dyn Fn(Option<&DeliveryId>, usize) -> Result<Vec<Kept>, String> + Send + Sync;
type Find = dyn Fn(&DeliveryId) -> Result<Option<Kept>, String> + Send + Sync;

/// The store of deliveries, as two questions. Both may block.
#[derive(Clone)]
pub struct Deliveries {
    /// Newest first, from behind this one, at most so many. The bodies may be left out.
    pub list: std::sync::Arc<ListOf>,
    pub find: std::sync::Arc<Find>,
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deliveries")
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// 1 to 100 [default: 20]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u16>,
    /// The id of the last one of the page before.
    pub cursor: Option<String>,
}

/// One delivery in a few words.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Line {
    pub delivery: String,
    pub event: String,
    /// Microseconds since 1970.
    pub received: u64,
    /// What became of it; `null` while nobody has looked at it.
    #[schema(value_type = Option<Object>)]
    pub handled: Option<Handled>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = DeliveryList)]
pub struct Lines {
    pub deliveries: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A delivery with what was sent.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Delivery)]
pub struct Whole {
    #[serde(flatten)]
    pub delivery: Line,
    /// JSON as it was signed.
    #[schema(value_type = Object)]
    pub body: Value,
}

fn line(kept: &Kept) -> Line {
    let Delivery { id, event, received, .. } = &kept.delivery;
    Line { delivery: id.to_string(), event: event.clone(), received: received.as_micros(), handled: kept.handled.clone() }
}

async fn ask<T: Send + 'static>(api: &Api, question: impl FnOnce(&Deliveries) -> Result<T, String> + Send + 'static) -> Result<T, Problem> {
    let store = api.deliveries.clone().ok_or_else(|| Problem::unknown("this server listens for no deliveries"))?;
    let asked = tokio::task::spawn_blocking(move || question(&store)).await;
    asked.map_err(|error| Problem::ours(&error))?.map_err(|error| Problem::ours(&error))
}

/// Deliveries, newest first.
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "deliveries", params(Wanted), responses((status = 200, body = Lines)))]
pub async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<Lines>, Problem> {
    let limit = page::limit(wanted.limit, page::MOST)?;
    page::text("cursor", wanted.cursor.as_ref())?;
    let before = wanted.cursor.map(DeliveryId::new);
    let found = ask(&api, move |store| (store.list)(before.as_ref(), limit)).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|kept| kept.delivery.id.to_string());
    Ok(Json(Lines { deliveries: found.iter().map(line).collect(), next }))
}

async fn find(api: &Api, given: String) -> Result<Kept, Problem> {
    let id = DeliveryId::new(given);
    let unknown = Problem::unknown(format!("there is no delivery {:?}", id.as_str()));
    ask(api, move |store| (store.find)(&id)).await?.ok_or(unknown)
}

/// A delivery with what was sent.
#[utoipa::path(get, path = "/api/v1/deliveries/{delivery}", tag = "deliveries", params(("delivery" = String, Path)), responses((status = 200, body = Whole)))]
pub async fn show(State(api): State<Api>, Path(given): Path<String>) -> Result<Json<Whole>, Problem> {
    let kept = find(&api, given).await?;
    let body =
        serde_json::from_slice(&kept.delivery.body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&kept.delivery.body).into_owned()));
    Ok(Json(Whole { delivery: line(&kept), body }))
}

/// Handles a delivery again, as if it had just come; what it did before is not done twice.
#[utoipa::path(post, path = "/api/v1/deliveries/{delivery}/replay", tag = "deliveries", params(("delivery" = String, Path)), responses((status = 202, body = Asked)))]
pub async fn replay(State(api): State<Api>, caller: Caller, Path(given): Path<String>) -> Result<(StatusCode, Json<Asked>), Problem> {
    let kept = find(&api, given).await?;
    let done = api.control.ask(Command::Replay { delivery: kept.delivery.id, by: caller.name() }).await?;
    Ok((StatusCode::ACCEPTED, Json(done.into())))
}
