//! Commit statuses: what there is for who may not make checks.

use serde::Serialize;

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

impl Github {
    /// The last one of a context counts, so it can be said twice.
    pub async fn set_status(&self, place: &Place, commit: &CommitId, status: &Status) -> Result<(), ForgeError> {
        let path = format!("{}/statuses/{}", names::repository(place)?, names::commit(commit)?);
        let state = match status.state {
            // There is no word for "somebody has to do something first" but that it is not over.
            CheckState::Queued | CheckState::Running | CheckState::Done(Conclusion::ActionRequired) => "pending",
            CheckState::Done(Conclusion::Success | Conclusion::Neutral) => "success",
            CheckState::Done(Conclusion::Failure | Conclusion::TimedOut) => "failure",
            CheckState::Done(Conclusion::Cancelled) => "error",
        };
        let wanted = Wanted { state, context: &status.context, description: short(&status.description), target_url: status.details.as_deref() };
        self.call::<serde::de::IgnoredAny>(place, Request::post(path, &wanted)).await.map(drop)
    }
}

/// With `…` where something is missing.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST - 1).chain(['…']).collect() }
}
