//! What runs took. The sums are numbers without prices; what they cost is said as well where the server has prices.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query};
use super::{Api, Problem, page};
use crate::core::usage::Usage;
use crate::model::settings::Prices;
use crate::report::run::usage::{Attempt, Repository, attempts, object};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// `owner/name`
    pub repository: Option<String>,
}

/// What the runs of each repository took together.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OfAll {
    #[schema(value_type = Vec<Object>)]
    pub repositories: Vec<Repository>,
    /// In units of 10⁻¹² of the currency.
    #[schema(value_type = Object)]
    pub prices: Prices,
}

/// Usage of the newest 10,000 runs, by repository.
#[utoipa::path(get, path = "/api/v1/usage", tag = "usage", params(Wanted), responses((status = 200, body = OfAll)))]
pub async fn of_all(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<OfAll>, Problem> {
    page::text("repository", wanted.repository.as_ref())?;
    // It reads everything there is, so it is done for one at a time.
    let _turn = api.summing.try_acquire().map_err(|_| Problem::unavailable("somebody else is asking for this"))?;
    let repositories = api.records.usage(wanted.repository.as_deref()).await?;
    Ok(Json(OfAll { repositories, prices: api.prices.clone() }))
}

/// What the attempts of one run took.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OfRun {
    pub run: String,
    #[schema(value_type = Vec<Object>)]
    pub attempts: Vec<Attempt>,
    /// All of them together, with what they cost.
    #[schema(value_type = Object)]
    pub all: serde_json::Value,
    #[schema(value_type = Object)]
    pub prices: Prices,
}

/// Usage of one run.
#[utoipa::path(get, path = "/api/v1/runs/{run}/usage", tag = "usage", params(("run" = String, Path)), responses((status = 200, body = OfRun)))]
pub async fn of_run(State(api): State<Api>, Path(given): Path<String>) -> Result<Json<OfRun>, Problem> {
    let id = api.records.run_id(&given).await?;
    let found = api.records.run(&id).await?;
    let attempts = attempts(found.entries.iter().map(|(_, fact)| fact));
    let all = object(serde_json::json!({ "run": id }), &Usage::sum(attempts.iter().map(|attempt| attempt.usage)), &api.prices);
    Ok(Json(OfRun { run: id.to_string(), attempts, all, prices: api.prices.clone() }))
}
