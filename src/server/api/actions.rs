//! What is done about runs: start, repeat, cancel, approve, reject.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::control::{Again, Command, Done};
use super::extract::{self, Path};
use super::who::{self, Caller};
use super::{Api, Problem};
use crate::adapters::journal::{Journal as _, Kind};
use crate::model::access::Scope;
use crate::model::fact::Stream;
use crate::model::id::{CommitId, RunId};
use crate::runtime::tell::{self, TellError};

/// Parameters of one run, and bytes of a name and a value.
const PARAMS: usize = 100;
const NAME: usize = 300;
const VALUE: usize = 10_000;

/// A run by hand.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// `owner/name`, as the server knows it.
    #[schema(max_length = 300)]
    pub repository: String,
    /// The file, relative to the repository: `.tidegate/deploy.yaml`.
    #[schema(max_length = 300)]
    pub pipeline: String,
    /// `refs/heads/main`, a branch, a tag or a commit; the default branch where it is left out.
    #[serde(default, rename = "ref")]
    #[schema(max_length = 300)]
    pub reference: String,
    /// Of `on.manual.params`.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
}

/// What was asked for. Each begins when it may.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Asked {
    pub runs: Vec<String>,
    /// A sentence for the person.
    pub said: String,
}

impl From<Done> for Asked {
    fn from(done: Done) -> Self {
        match done {
            Done::Asked(runs) => {
                let runs: Vec<String> = runs.iter().map(RunId::to_string).collect();
                Self { said: format!("asked for: {}", runs.join(", ")), runs }
            }
            Done::Told(said) => Self { runs: Vec::new(), said },
        }
    }
}

type Answer = Result<(StatusCode, Json<Asked>), Problem>;

async fn ask(api: &Api, command: Command) -> Answer {
    let done = api.control.ask(command).await?;
    Ok((StatusCode::ACCEPTED, Json(done.into())))
}

/// Starts a run by hand.
#[utoipa::path(post, path = "/api/v1/runs", tag = "runs", request_body = Start, responses((status = 202, body = Asked)))]
pub async fn start(State(api): State<Api>, caller: Caller, extract::Json(start): extract::Json<Start>) -> Answer {
    let Start { repository, pipeline, reference, params } = start;
    for (name, text) in [("repository", &repository), ("pipeline", &pipeline), ("ref", &reference)] {
        if text.len() > NAME || text.chars().any(char::is_control) {
            return Err(Problem::invalid(format!("{name}: expected at most {NAME} bytes without control characters")));
        }
    }
    if repository.is_empty() || pipeline.is_empty() {
        return Err(Problem::invalid("expected a repository and a pipeline"));
    }
    if params.len() > PARAMS || params.iter().any(|(name, value)| name.len() > NAME || value.len() > VALUE) {
        return Err(Problem::invalid(format!("params: expected at most {PARAMS}, with names of {NAME} and values of {VALUE} bytes")));
    }
    who::may(&api, &caller, Scope::Run, Some(&repository)).await?;
    let by = caller.name();
    ask(&api, Command::Start { repository, pipeline, reference, params, by }).await
}

/// A run, or a request for one that has not begun.
async fn run_or_request(api: &Api, given: &str) -> Result<(RunId, bool), Problem> {
    let exact = Stream::Request(RunId::new(given));
    let known = api.records.run_id(given).await;
    if known.is_err() && !api.records.journal.read_after(&exact, 0, 1).await?.is_empty() {
        return Ok((RunId::new(given), false));
    }
    if known.is_err()
        && let [Stream::Request(id)] = api.records.journal.beginning(Kind::Request, given, 2).await?.as_slice()
    {
        return Ok((id.clone(), false));
    }
    Ok((known?, true))
}

/// Cancels a run that is under way, whichever process drives it, or drops a request that waits.
#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", tag = "runs", params(("run" = String, Path)), responses((status = 202, body = Asked)))]
pub async fn cancel(State(api): State<Api>, caller: Caller, Path(given): Path<String>) -> Answer {
    let (run, begun) = run_or_request(&api, &given).await?;
    let by = caller.name();
    if !begun {
        return ask(&api, Command::Drop { run, by }).await;
    }
    tell::cancel(&api.records.state, &api.records.journal, &api.letters, &run, &format!("{by} cancelled it")).await?;
    Ok((StatusCode::ACCEPTED, Json(Asked { said: format!("told the process that drives {run} to cancel it"), runs: vec![run.to_string()] })))
}

impl From<TellError> for Problem {
    fn from(error: TellError) -> Self {
        match error {
            TellError::Ended { .. } | TellError::Nobody(_) => Self::conflict(error.to_string()),
            TellError::Silent(_) => Self::unavailable(error.to_string()),
            TellError::Journal(_) | TellError::State(_) | TellError::Letter(_) => Self::ours(&error),
        }
    }
}

/// What of a run is done again.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum What {
    #[default]
    All,
    /// What did not succeed, and what needs it; the rest keeps what it left.
    Failed,
    /// One step, and what needs it.
    Step(String),
}

#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rerun {
    /// `"all"`, `"failed"` or `{ "step": NAME }`
    #[serde(default)]
    pub what: What,
}

/// Asks for a run that repeats this one.
#[utoipa::path(post, path = "/api/v1/runs/{run}/rerun", tag = "runs", params(("run" = String, Path)), request_body = Rerun,
    responses((status = 202, body = Asked)))]
pub async fn rerun(State(api): State<Api>, caller: Caller, Path(given): Path<String>, extract::Json(rerun): extract::Json<Rerun>) -> Answer {
    let run = api.records.run_id(&given).await?;
    let what = match rerun.what {
        What::All => Again::All,
        What::Failed => Again::Failed,
        What::Step(step) if step.len() > NAME => return Err(Problem::invalid(format!("step: expected at most {NAME} bytes"))),
        What::Step(step) => Again::Step(step),
    };
    ask(&api, Command::Rerun { run, what, by: caller.name() }).await
}

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// In full: one can only approve what one has seen.
    #[schema(min_length = 40, max_length = 40, pattern = "^[0-9a-f]{40}$")]
    pub commit: String,
}

/// Lets a request begin that waits for somebody's word.
#[utoipa::path(post, path = "/api/v1/runs/{run}/approve", tag = "runs", params(("run" = String, Path)), request_body = Approve,
    responses((status = 202, body = Asked)))]
pub async fn approve(State(api): State<Api>, caller: Caller, Path(given): Path<String>, extract::Json(approve): extract::Json<Approve>) -> Answer {
    let (run, commit) = held(&api, &given, approve).await?;
    ask(&api, Command::Approve { run, commit, by: caller.name() }).await
}

/// Drops a request that waits for somebody's word.
#[utoipa::path(post, path = "/api/v1/runs/{run}/reject", tag = "runs", params(("run" = String, Path)), request_body = Approve,
    responses((status = 202, body = Asked)))]
pub async fn reject(State(api): State<Api>, caller: Caller, Path(given): Path<String>, extract::Json(reject): extract::Json<Approve>) -> Answer {
    let (run, commit) = held(&api, &given, reject).await?;
    ask(&api, Command::Reject { run, commit, by: caller.name() }).await
}

/// What somebody has a word about: a request, and the commit that they have seen.
async fn held(api: &Api, given: &str, about: Approve) -> Result<(RunId, CommitId), Problem> {
    if about.commit.len() != 40 || !about.commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Problem::invalid("commit: expected 40 hex digits"));
    }
    let (run, begun) = run_or_request(api, given).await?;
    if begun {
        return Err(Problem::conflict(format!("run {run} has begun already")));
    }
    Ok((run, CommitId::new(about.commit)))
}
