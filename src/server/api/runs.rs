//! Runs: the list, one of them, and its facts.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query};
use super::{Api, Problem, page};
use crate::adapters::journal::Journal as _;
use crate::model::fact::{Entry, Stream};
use crate::report::run::list::Line;
use crate::report::run::view::{Status, View};
use crate::runtime::records::Filter;

/// Facts of a page.
pub const FACTS: usize = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// `owner/name`
    pub repository: Option<String>,
    pub pipeline: Option<String>,
    pub branch: Option<String>,
    /// `running`, `succeeded`, `failed`, `cancelled`, `interrupted` or `infrastructure`
    pub outcome: Option<String>,
    /// A commit, or the beginning of one.
    pub commit: Option<String>,
    /// 1 to 100 [default: 20]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u16>,
    /// What the page before gave as `next`.
    pub cursor: Option<String>,
}

/// A page of runs, newest first. It can be shorter than asked for although there are more: `next` says.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Runs {
    pub runs: Vec<Line>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Runs, newest first.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(Wanted), responses((status = 200, body = Runs)))]
pub async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<Runs>, Problem> {
    let limit = page::limit(wanted.limit, page::MOST)?;
    let texts = [
        ("repository", &wanted.repository),
        ("pipeline", &wanted.pipeline),
        ("branch", &wanted.branch),
        ("outcome", &wanted.outcome),
        ("commit", &wanted.commit),
    ];
    for (name, text) in texts {
        page::text(name, text.as_ref())?;
    }
    let before = page::place(wanted.cursor.as_deref())?;
    let Wanted { repository, pipeline, branch, outcome, commit, .. } = wanted;
    let (runs, next) = api.records.runs(&Filter { repository, pipeline, branch, outcome, commit }, before, limit).await?;
    Ok(Json(Runs { runs, next: next.as_ref().map(page::cursor) }))
}

/// One run with its steps.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Shown {
    #[serde(flatten)]
    pub run: Line,
    /// It has no end, and nobody is left to give it one.
    pub interrupted: bool,
    /// Number of its last fact.
    pub facts: u64,
    pub steps: Vec<Step>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// What logs are found under: the step's name, with its matrix values.
    pub node: String,
    /// `waiting`, `queued`, `running`, `backing-off`, `deploying` or how it ended.
    pub state: String,
    /// 0: it has not begun.
    pub attempt: u32,
}

/// A run, by its id, by a beginning that only one has, or as `latest`.
#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "runs", params(("run" = String, Path, description = "An id, the beginning of one, or `latest`")),
    responses((status = 200, body = Shown)))]
pub async fn show(State(api): State<Api>, Path(given): Path<String>) -> Result<Json<Shown>, Problem> {
    let id = api.records.run_id(&given).await?;
    let found = api.records.run(&id).await?;
    let view = View::of(found.entries.iter().map(|(entry, fact)| (entry.at, fact)));
    let steps = view.nodes.iter().map(|node| Step { node: node.id.to_string(), state: word(&node.status).to_owned(), attempt: node.attempt });
    let run = api.records.line(&id).await?;
    Ok(Json(Shown { run, interrupted: found.interrupted, facts: found.entries.len() as u64, steps: steps.collect() }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct After {
    /// The number of the last fact that is known already [default: 0, none]
    pub after: Option<u64>,
    /// 1 to 1000 [default: 1000]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u16>,
}

/// Facts as the journal has them. There are more until a page is empty.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Facts {
    /// The id in full.
    pub of: String,
    /// It has no end, and nobody is left to give it one.
    pub interrupted: bool,
    #[schema(value_type = Vec<Object>)]
    pub facts: Vec<Entry>,
}

/// A run's facts: what every picture of it is drawn from.
#[utoipa::path(get, path = "/api/v1/runs/{run}/facts", tag = "runs", params(("run" = String, Path), After), responses((status = 200, body = Facts)))]
pub async fn facts(State(api): State<Api>, Path(given): Path<String>, Query(after): Query<After>) -> Result<Json<Facts>, Problem> {
    let id = api.records.run_id(&given).await?;
    let of = id.to_string();
    some_facts(&api, Stream::Run(id), of, &after).await.map(Json)
}

pub async fn some_facts(api: &Api, stream: Stream, of: String, after: &After) -> Result<Facts, Problem> {
    let limit = after.limit.map_or(Ok(FACTS), |limit| page::limit(Some(limit), FACTS))?;
    let facts = api.records.journal.read_after(&stream, after.after.unwrap_or(0), limit).await?;
    Ok(Facts { of, interrupted: api.records.is_interrupted(&stream).await?, facts })
}

fn word(status: &Status) -> &'static str {
    match status {
        Status::Waiting => "waiting",
        Status::Held { .. } => "held",
        Status::Queued => "queued",
        Status::Running => "running",
        Status::BackingOff { .. } => "backing-off",
        Status::Deploying => "deploying",
        Status::Ended(outcome) => outcome.word(),
    }
}
