//! Deliveries: what came from the forge, and what became of it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::actions::Asked;
use super::extract::{Path, Query};
use super::{Api, Problem, page};
use crate::adapters::deliveries::{Deliveries, DeliveriesError, Filter, Known, Page, Replayed, State as Stands};
use crate::model::delivery::Handled;
use crate::model::id::DeliveryId;
use crate::model::time::Timestamp;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Only those that wait (`true`), or that have been handled (`false`).
    pub waiting: Option<bool>,
    /// Only those of this event, as the forge calls it.
    pub event: Option<String>,
    /// 1 to 100 [default: 20]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u16>,
    /// What the page before gave as `next`.
    pub cursor: Option<u64>,
}

/// One delivery in a few words.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = DeliveryLine)]
pub struct Line {
    #[schema(value_type = String)]
    pub delivery: DeliveryId,
    /// In the order of arrival.
    pub number: u64,
    pub event: String,
    /// Microseconds since 1970.
    #[schema(value_type = u64)]
    pub received: Timestamp,
    pub bytes: u64,
    /// Whether its body is still there.
    pub kept: bool,
    /// What became of it; `null` while it waits.
    #[schema(value_type = Option<Object>)]
    pub handled: Option<Handled>,
    #[schema(value_type = Option<u64>)]
    pub handled_at: Option<Timestamp>,
    /// How often it was tried to handle it.
    pub attempts: u32,
    /// Why that did not go well the last time.
    pub missed: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Deliveries)]
pub struct Lines {
    pub deliveries: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A delivery with what was sent.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Delivery)]
pub struct Whole {
    #[serde(flatten)]
    pub delivery: Line,
    /// JSON as it was signed; `null` where it is not kept any more.
    #[schema(value_type = Option<Object>)]
    pub body: Option<Value>,
}

impl From<Known> for Line {
    fn from(known: Known) -> Self {
        let Known { number, id, event, received, bytes, kept, state, attempts, missed } = known;
        let (handled_at, handled) = match state {
            Stands::Waiting => (None, None),
            Stands::Handled { at, how } => (Some(at), Some(how)),
        };
        Self { delivery: id, number, event, received, bytes, kept, handled, handled_at, attempts, missed }
    }
}

impl From<Line> for Known {
    fn from(line: Line) -> Self {
        let Line { delivery, number, event, received, bytes, kept, handled, handled_at, attempts, missed } = line;
        let state = match (handled_at, handled) {
            (Some(at), Some(how)) => Stands::Handled { at, how },
            _ => Stands::Waiting,
        };
        Self { number, id: delivery, event, received, bytes, kept, state, attempts, missed }
    }
}

impl From<DeliveriesError> for Problem {
    fn from(error: DeliveriesError) -> Self {
        match error {
            DeliveriesError::Full(_) => Self::unavailable(error.to_string()),
            error => Self::ours(&error),
        }
    }
}

fn store(api: &Api) -> Result<&Deliveries, Problem> {
    api.deliveries.as_ref().ok_or_else(|| Problem::unknown("this server listens for no deliveries"))
}

/// Deliveries, newest first.
#[utoipa::path(get, path = "/api/v1/deliveries", tag = "deliveries", params(Wanted), responses((status = 200, body = Lines)))]
pub async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<Lines>, Problem> {
    let limit = page::limit(wanted.limit, page::MOST)?;
    page::text("event", wanted.event.as_ref())?;
    let filter = Filter { waiting: wanted.waiting, event: wanted.event };
    let found = store(&api)?.list(filter, Page { before: wanted.cursor, limit }).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|known| known.number);
    Ok(Json(Lines { deliveries: found.into_iter().map(Line::from).collect(), next }))
}

async fn find(api: &Api, given: &str) -> Result<Known, Problem> {
    let mut found = store(api)?.find(given).await?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => Err(Problem::conflict(format!("more than one delivery begins with {given:?}; write more of the id"))),
        (None, _) => Err(Problem::unknown(format!("there is no delivery {given:?}"))),
    }
}

/// A delivery with what was sent, by its id or a beginning that only one has.
#[utoipa::path(get, path = "/api/v1/deliveries/{delivery}", tag = "deliveries", params(("delivery" = String, Path)), responses((status = 200, body = Whole)))]
pub async fn show(State(api): State<Api>, Path(given): Path<String>) -> Result<Json<Whole>, Problem> {
    let known = find(&api, &given).await?;
    let body = store(&api)?.load(&known.id).await?.map(|delivery| {
        serde_json::from_slice(&delivery.body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&delivery.body).into_owned()))
    });
    Ok(Json(Whole { delivery: known.into(), body }))
}

/// Has a delivery handled again: what it has started is not started twice, what was lost is.
#[utoipa::path(post, path = "/api/v1/deliveries/{delivery}/replay", tag = "deliveries", params(("delivery" = String, Path)), responses((status = 202, body = Asked)))]
pub async fn replay(State(api): State<Api>, Path(given): Path<String>) -> Result<(StatusCode, Json<Asked>), Problem> {
    let known = find(&api, &given).await?;
    let said = match store(&api)?.replay(&known.id).await? {
        Replayed::Waiting => "waits again",
        Replayed::AlreadyWaiting => "waits already",
        Replayed::Unknown => return Err(Problem::unknown(format!("there is no delivery {given:?}"))),
        Replayed::Dropped => {
            let why =
                format!("the body of {} is not kept any more, so it can not be handled again; GitHub can send it again for three days", known.id);
            return Err(Problem::conflict(why));
        }
    };
    Ok((StatusCode::ACCEPTED, Json(Asked { runs: Vec::new(), said: said.to_owned() })))
}
