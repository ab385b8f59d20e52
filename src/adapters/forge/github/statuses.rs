//! Commit statuses: what there is for who may not make checks.

use serde::{Deserialize, Serialize};

use crate::model::check::{CheckState, Conclusion, Place, Status};
use crate::model::id::CommitId;

use super::super::ForgeError;
use super::call::Request;
use super::{Github, names};

/// Characters of a description.
pub(super) const MOST: usize = 140;

#[derive(Serialize)]
struct Wanted<'a> {
    state: &'static str,
    context: &'a str,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_url: Option<&'a str>,
}

#[derive(Deserialize)]
struct Stated {
    state: String,
    context: String,
    #[serde(default)]
    description: Option<String>,
}

/// Pages of a hundred that are looked through for the last one of a context.
const PAGES: usize = 3;

impl Github {
    /// Says it, unless that is what was said last.
    pub async fn set_status(&self, place: &Place, commit: &CommitId, status: &Status) -> Result<(), ForgeError> {
        let (repository, commit) = (names::repository(place)?, names::commit(commit)?);
        let state = match status.state {
            // There is no word for "somebody has to do something first" but that it is not over.
            CheckState::Queued | CheckState::Running | CheckState::Done(Conclusion::ActionRequired) => "pending",
            CheckState::Done(Conclusion::Success | Conclusion::Neutral) => "success",
            CheckState::Done(Conclusion::Failure | Conclusion::TimedOut) => "failure",
            CheckState::Done(Conclusion::Cancelled) => "error",
        };
        let wanted = Wanted { state, context: &status.context, description: short(&status.description), target_url: status.details.as_deref() };
        // Newest first.
        let said: Vec<Stated> = self.list(place, &format!("{repository}/commits/{commit}/statuses"), PAGES, serde_json::from_value).await?;
        let last = said.into_iter().find(|it| it.context == wanted.context);
        if last.is_some_and(|it| it.state == state && it.description.as_deref().unwrap_or_default() == wanted.description) {
            return Ok(());
        }
        self.call::<serde::de::IgnoredAny>(place, Request::post(format!("{repository}/statuses/{commit}"), &wanted)).await.map(drop)
    }
}

/// With `…` where something is missing.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST - 1).chain(['…']).collect() }
}
