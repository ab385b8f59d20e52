//! Rollouts: the list, one of them, and what a person decides about it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::actions::Asked;
use super::control::Command;
use super::extract::{Path, Query};
use super::runs::{After, Facts, some_facts};
use super::who::Caller;
use super::{Api, Problem, page};
use crate::adapters::journal::{Journal as _, Kind};
use crate::adapters::mailbox::Letter;
use crate::model::fact::{Entry, Fact, RolloutFact, Stream};
use crate::runtime::records;
use crate::runtime::tell::{self, TellError};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// 1 to 100 [default: 20]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u16>,
    /// What the page before gave as `next`.
    pub cursor: Option<String>,
}

/// One rollout in a few words.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Rollout {
    pub rollout: String,
    pub function: String,
    /// `under-way`, or how it ended.
    pub outcome: String,
    /// The run whose step it is; `null` for one by hand.
    pub run: Option<String>,
    /// Microseconds since 1970.
    pub started: u64,
    /// Its first fact, as the journal has it.
    #[schema(value_type = Object)]
    pub first: Entry,
    /// Its last fact so far.
    #[schema(value_type = Object)]
    pub last: Entry,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Rollouts {
    pub rollouts: Vec<Rollout>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Rollouts, newest first.
#[utoipa::path(get, path = "/api/v1/rollouts", tag = "rollouts", params(Wanted), responses((status = 200, body = Rollouts)))]
pub async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Json<Rollouts>, Problem> {
    let limit = page::limit(wanted.limit, page::MOST)?;
    let before = page::place(wanted.cursor.as_deref())?;
    let found = api.records.journal.page(Kind::Rollout, before.as_ref(), limit).await?;
    let next = found.last().filter(|_| found.len() == limit).and_then(|(first, _)| records::place(first));
    let rollouts = found.into_iter().filter_map(|(first, last)| line(first, last)).collect();
    Ok(Json(Rollouts { rollouts, next: next.as_ref().map(page::cursor) }))
}

fn line(first: Entry, last: Entry) -> Option<Rollout> {
    let Fact::Rollout(RolloutFact::Started { rollout, function, run, .. }) = &first.fact else { return None };
    let outcome = match &last.fact {
        Fact::Rollout(RolloutFact::Ended { outcome }) => outcome.word(),
        _ => "under-way",
    };
    Some(Rollout {
        rollout: rollout.to_string(),
        function: function.name.clone(),
        outcome: outcome.to_owned(),
        run: run.as_ref().map(ToString::to_string),
        started: first.at.as_micros(),
        first,
        last,
    })
}

/// A rollout, by its id, by a beginning that only one has, or as `latest`.
#[utoipa::path(get, path = "/api/v1/rollouts/{rollout}", tag = "rollouts", params(("rollout" = String, Path)), responses((status = 200, body = Rollout)))]
pub async fn show(State(api): State<Api>, Path(given): Path<String>) -> Result<Json<Rollout>, Problem> {
    let stream = Stream::Rollout(api.records.rollout_id(&given).await?);
    let first = api.records.journal.read_after(&stream, 0, 1).await?.pop();
    let last = api.records.journal.last(&stream).await?;
    let found = first.zip(last).and_then(|(first, last)| line(first, last));
    found.map(Json).ok_or_else(|| Problem::unknown(format!("there is no rollout {given:?}")))
}

/// A rollout's facts: what every picture of it is drawn from.
#[utoipa::path(get, path = "/api/v1/rollouts/{rollout}/facts", tag = "rollouts", params(("rollout" = String, Path), After), responses((status = 200, body = Facts)))]
pub async fn facts(State(api): State<Api>, Path(given): Path<String>, Query(after): Query<After>) -> Result<Json<Facts>, Problem> {
    let id = api.records.rollout_id(&given).await?;
    let of = id.to_string();
    some_facts(&api, Stream::Rollout(id), of, &after).await.map(Json)
}

type Answer = Result<(StatusCode, Json<Asked>), Problem>;

async fn ask(api: &Api, command: Command) -> Answer {
    Ok((StatusCode::ACCEPTED, Json(api.control.ask(command).await?.into())))
}

async fn decide(api: &Api, given: &str, letter: Letter, otherwise: impl FnOnce(crate::model::id::RolloutId) -> Command) -> Answer {
    let rollout = api.records.rollout_id(given).await?;
    match tell::decide(&api.records.state, &api.records.journal, &api.letters, &rollout, letter).await {
        Ok(()) => {
            let word = if letter == Letter::Promote { "promote" } else { "abort" };
            let said = format!("Told the process that drives {rollout} to {word} it: `tidegate rollout show {rollout}` says what came of it.");
            Ok((StatusCode::ACCEPTED, Json(Asked { runs: Vec::new(), said })))
        }
        // The server drives it on.
        Err(TellError::Nobody(_)) => ask(api, otherwise(rollout)).await,
        Err(error) => Err(error.into()),
    }
}

/// Gives the new release all traffic now.
#[utoipa::path(post, path = "/api/v1/rollouts/{rollout}/promote", tag = "rollouts", params(("rollout" = String, Path)), responses((status = 202, body = Asked)))]
pub async fn promote(State(api): State<Api>, caller: Caller, Path(given): Path<String>) -> Answer {
    decide(&api, &given, Letter::Promote, |rollout| Command::Promote { rollout, by: caller.name() }).await
}

/// Stops a rollout that is under way and puts back what was there.
#[utoipa::path(post, path = "/api/v1/rollouts/{rollout}/abort", tag = "rollouts", params(("rollout" = String, Path)), responses((status = 202, body = Asked)))]
pub async fn abort(State(api): State<Api>, caller: Caller, Path(given): Path<String>) -> Answer {
    decide(&api, &given, Letter::Abort, |rollout| Command::RollBack { rollout, by: caller.name() }).await
}

/// Goes back to the release that was stable before this rollout, also after it was promoted.
#[utoipa::path(post, path = "/api/v1/rollouts/{rollout}/rollback", tag = "rollouts", params(("rollout" = String, Path)), responses((status = 202, body = Asked)))]
pub async fn rollback(State(api): State<Api>, caller: Caller, Path(given): Path<String>) -> Answer {
    let rollout = api.records.rollout_id(&given).await?;
    let by = caller.name();
    match tell::decide(&api.records.state, &api.records.journal, &api.letters, &rollout, Letter::Abort).await {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(Asked { runs: Vec::new(), said: format!("told the process that drives {rollout} to abort it") }))),
        Err(TellError::Nobody(_) | TellError::Ended { .. }) => ask(&api, Command::RollBack { rollout, by }).await,
        Err(error) => Err(error.into()),
    }
}
