//! Requests: runs that have been asked for and have not begun.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::Query;
use super::{Api, Problem, page};
use crate::adapters::journal::{Journal as _, Kind};
use crate::model::fact::{Entry, Fact, Stream};
use crate::model::request::RequestFact;
use crate::runtime::records;

/// Requests that are looked at for one page.
const LOOKED_AT: usize = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// `owner/name`
    pub repository: Option<String>,
    /// 1 to 100 [default: 20]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u16>,
    /// What the page before gave as `next`.
    pub cursor: Option<String>,
}

/// One request that still waits.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Request {
    /// The id of the run that it becomes.
    pub run: String,
    pub pipeline: String,
    pub repository: String,
    pub commit: String,
    pub branch: Option<String>,
    pub event: String,
    pub trusted: bool,
    /// Microseconds since 1970.
    pub asked: u64,
    /// Its concurrency group.
    pub group: Option<String>,
    pub priority: i32,
    /// Why somebody has to look at it first, while nobody has.
    pub approval: Option<String>,
}

/// A page of requests, newest first. It can be shorter than asked for although there are more: `next` says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Requests {
    pub requests: Vec<Request>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Runs that have been asked for and wait: for a word, for their group, for room.
#[utoipa::path(get, path = "/api/v1/requests", tag = "requests", params(Wanted), responses((status = 200, body = Requests)))]
pub async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<Requests>, Problem> {
    let limit = page::limit(wanted.limit, page::MOST)?;
    page::text("repository", wanted.repository.as_ref())?;
    let mut before = page::place(wanted.cursor.as_deref())?;
    let (mut requests, mut left) = (Vec::new(), LOOKED_AT);
    while left > 0 {
        let many = left.min(100);
        let found = api.records.journal.page(Kind::Request, before.as_ref(), many).await?;
        let ended = found.len() < many;
        left -= found.len().min(left);
        for (first, last) in found {
            before = records::place(&first);
            if let Some(request) = waiting(&api, &first, &last).await?
                && wanted.repository.as_ref().is_none_or(|repository| *repository == request.repository)
            {
                requests.push(request);
                if requests.len() == limit {
                    return Ok(Json(Requests { requests, next: before.as_ref().map(page::cursor) }));
                }
            }
        }
        if ended {
            return Ok(Json(Requests { requests, next: None }));
        }
    }
    Ok(Json(Requests { requests, next: before.as_ref().map(page::cursor) }))
}

/// One whose run is there has begun, whatever its own stream says by now.
async fn waiting(api: &Api, first: &Entry, last: &Entry) -> Result<Option<Request>, Problem> {
    let Fact::Request(RequestFact::Asked { run, pipeline, event, trust, group, priority, approval, .. }) = &first.fact else { return Ok(None) };
    let approved = match &last.fact {
        Fact::Request(RequestFact::Begun | RequestFact::Dropped { .. }) => return Ok(None),
        Fact::Request(RequestFact::Approved { .. }) => true,
        _ => false,
    };
    if !api.records.journal.read_after(&Stream::Run(run.clone()), 0, 1).await?.is_empty() {
        return Ok(None);
    }
    Ok(Some(Request {
        run: run.to_string(),
        pipeline: pipeline.clone(),
        repository: event.repository.clone(),
        commit: event.commit.to_string(),
        branch: event.branch.clone(),
        event: event.kind.word().to_owned(),
        trusted: *trust == crate::model::trust::Trust::Trusted,
        asked: first.at.as_micros(),
        group: group.as_ref().map(|group| group.name.clone()),
        priority: *priority,
        approval: approval.clone().filter(|_| !approved),
    }))
}
