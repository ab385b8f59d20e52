//! Deployments and what becomes of them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::check::{Deployment, DeploymentState, DeploymentWord, Place};
use crate::model::id::CommitId;

use super::super::ForgeError;
use super::call::Request;
use super::statuses::short;
use super::{Github, names};

const PAGES: usize = 10;

#[derive(Serialize)]
struct Wanted<'a> {
    r#ref: &'a str,
    environment: &'a str,
    production_environment: bool,
    description: String,
    /// The commit is what was tested, whatever has come behind it.
    auto_merge: bool,
    /// It is deployed already: nobody has to be asked whether checks allow it.
    required_contexts: [&'static str; 0],
    payload: Payload,
}

/// Comes back with it: tells our own apart.
#[derive(Serialize, Deserialize)]
struct Payload {
    tidegate: String,
}

#[derive(Serialize)]
struct WantedStatus<'a> {
    state: &'static str,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_url: Option<&'a str>,
}

#[derive(Deserialize)]
struct Made {
    id: u64,
    #[serde(default)]
    payload: Value,
}

#[derive(Deserialize)]
struct Stated {
    state: String,
    #[serde(default)]
    description: Option<String>,
}

impl Github {
    pub async fn create_deployment(&self, place: &Place, commit: &CommitId, deployment: &Deployment) -> Result<u64, ForgeError> {
        let wanted = Wanted {
            r#ref: names::commit(commit)?,
            environment: &deployment.environment,
            production_environment: deployment.production,
            description: short(&deployment.description),
            auto_merge: false,
            required_contexts: [],
            payload: Payload { tidegate: deployment.external.to_string() },
        };
        let made: Made = self.call(place, Request::post(format!("{}/deployments", names::repository(place)?), &wanted)).await?;
        Ok(made.id)
    }

    /// One that was made before, whoever has forgotten its id.
    pub async fn find_deployment(&self, place: &Place, commit: &CommitId, deployment: &Deployment) -> Result<Option<u64>, ForgeError> {
        let (repository, commit, environment) = (names::repository(place)?, names::commit(commit)?, names::encoded(&deployment.environment));
        let path = format!("{repository}/deployments?sha={commit}&environment={environment}");
        let all: Vec<Made> = self.list(place, &path, PAGES, serde_json::from_value).await?;
        let external = deployment.external.to_string();
        Ok(all.into_iter().find(|made| payload(&made.payload).is_some_and(|it| it == external)).map(|made| made.id))
    }

    /// Says what has become of it, unless that is what was said last.
    pub async fn set_deployment(&self, place: &Place, id: u64, state: &DeploymentState, details: Option<&str>) -> Result<(), ForgeError> {
        let path = format!("{}/deployments/{id}/statuses", names::repository(place)?);
        let wanted = WantedStatus { state: word(state.word), description: short(&state.description), log_url: details };
        let newest: Vec<Stated> = self.call(place, Request::get(format!("{path}?per_page=1"))).await?;
        if newest.first().is_some_and(|last| last.state == wanted.state && last.description.as_deref().unwrap_or_default() == wanted.description) {
            return Ok(());
        }
        self.call::<serde::de::IgnoredAny>(place, Request::post(path, &wanted)).await.map(drop)
    }
}

/// GitHub gives it back as it was given, or as text.
fn payload(value: &Value) -> Option<String> {
    let parsed = match value {
        Value::String(text) => serde_json::from_str::<Payload>(text),
        other => serde_json::from_value(other.clone()),
    };
    parsed.ok().map(|payload| payload.tidegate)
}

fn word(word: DeploymentWord) -> &'static str {
    match word {
        DeploymentWord::Queued => "queued",
        DeploymentWord::InProgress => "in_progress",
        DeploymentWord::Success => "success",
        DeploymentWord::Failure => "failure",
        DeploymentWord::Error => "error",
    }
}
