//! Check runs. GitHub adds annotations to those that it has and takes none back, so whoever sends some says from which on.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::check::{Action, Annotation, Check, CheckState, Conclusion, Level, Place};
use crate::model::id::CommitId;
use crate::model::time::Timestamp;

use super::super::ForgeError;
use super::call::Request;
use super::{Github, names};

/// Annotations of one request.
pub(super) const BATCH: usize = 50;
/// Bytes of a summary, and of a text.
const MOST_BYTES: usize = 65_535;
const MOST_ACTIONS: usize = 3;
/// Pages of a hundred that are looked through for a check.
const PAGES: usize = 10;

/// A check run that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub id: u64,
    /// So many of its annotations have arrived.
    pub annotations: usize,
}

#[derive(Serialize)]
struct Wanted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    head_sha: Option<&'a str>,
    name: &'a str,
    external_id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conclusion: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details_url: Option<&'a str>,
    output: Output<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actions: Option<Vec<Button>>,
}

#[derive(Serialize)]
struct Output<'a> {
    title: &'a str,
    summary: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Remark<'a>>,
}

#[derive(Serialize)]
struct Remark<'a> {
    path: &'a str,
    start_line: u32,
    end_line: u32,
    annotation_level: &'static str,
    title: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Button {
    label: &'static str,
    description: &'static str,
    identifier: &'static str,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    output: Counted,
}

#[derive(Deserialize, Default)]
struct Counted {
    #[serde(default)]
    annotations_count: usize,
}

#[derive(Deserialize)]
struct Runs {
    check_runs: Vec<Run>,
}

impl From<Run> for Found {
    fn from(run: Run) -> Self {
        Self { id: run.id, annotations: run.output.annotations_count }
    }
}

impl Github {
    /// Makes it, with the first annotations: as many as it says then.
    pub async fn create_check(&self, place: &Place, commit: &CommitId, check: &Check) -> Result<Found, ForgeError> {
        let path = format!("{}/check-runs", names::repository(place)?);
        let made: Run = self.call(place, Request::post(path, &wanted(check, 0, Some(names::commit(commit)?)))).await?;
        Ok(Found { id: made.id, annotations: check.annotations.len().min(BATCH) })
    }

    /// Says it anew, with the next annotations after the first `sent`; how many have been sent then.
    pub async fn update_check(&self, place: &Place, id: u64, check: &Check, sent: usize) -> Result<usize, ForgeError> {
        let path = format!("{}/check-runs/{id}", names::repository(place)?);
        let _: Run = self.call(place, Request::patch(path, &wanted(check, sent, None))).await?;
        Ok(check.annotations.len().min(sent + BATCH).max(sent))
    }

    /// What is there under an id.
    pub async fn check(&self, place: &Place, id: u64) -> Result<Found, ForgeError> {
        let found: Run = self.call(place, Request::get(format!("{}/check-runs/{id}", names::repository(place)?))).await?;
        Ok(found.into())
    }

    /// One that was made before, whoever has forgotten its id.
    pub async fn find_check(&self, place: &Place, commit: &CommitId, check: &Check) -> Result<Option<Found>, ForgeError> {
        let (repository, commit, name) = (names::repository(place)?, names::commit(commit)?, names::encoded(&check.name));
        let path = format!("{repository}/commits/{commit}/check-runs?check_name={name}&filter=all");
        let found = self.list(place, &path, PAGES, |page| serde_json::from_value::<Runs>(page).map(|page| page.check_runs)).await?;
        let external = check.external.to_string();
        Ok(found.into_iter().find(|run| run.external_id.as_deref() == Some(&external)).map(Found::from))
    }
}

fn wanted<'a>(check: &'a Check, sent: usize, commit: Option<&'a str>) -> Wanted<'a> {
    let (status, conclusion) = match check.state {
        CheckState::Queued => ("queued", None),
        CheckState::Running => ("in_progress", None),
        CheckState::Done(conclusion) => ("completed", Some(word(conclusion))),
    };
    Wanted {
        head_sha: commit,
        name: &check.name,
        external_id: check.external.to_string(),
        status,
        conclusion,
        started_at: check.started.map(time),
        completed_at: check.ended.filter(|_| conclusion.is_some()).map(time),
        details_url: check.details.as_deref(),
        output: Output {
            title: &check.title,
            summary: cut(&check.summary, MOST_BYTES),
            text: cut(&check.text, MOST_BYTES),
            annotations: check.annotations.iter().skip(sent).take(BATCH).map(remark).collect(),
        },
        // Those that were there stay unless it is said that there are none.
        actions: Some(check.actions.iter().take(MOST_ACTIONS).copied().map(button).collect()),
    }
}

fn word(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Success => "success",
        Conclusion::Failure => "failure",
        Conclusion::Neutral => "neutral",
        Conclusion::Cancelled => "cancelled",
        Conclusion::TimedOut => "timed_out",
        Conclusion::ActionRequired => "action_required",
    }
}

fn remark(annotation: &Annotation) -> Remark<'_> {
    Remark {
        path: &annotation.path,
        start_line: annotation.line,
        end_line: annotation.line,
        annotation_level: match annotation.level {
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Failure => "failure",
        },
        title: cut(&annotation.title, 255),
        message: cut(&annotation.message, 64 << 10),
    }
}

/// At most 20 characters, and 40 behind them.
fn button(action: Action) -> Button {
    let (label, description) = match action {
        Action::Rerun => ("Run again", "All of it, for the same commit"),
        Action::RerunFailed => ("Run failed again", "Only what did not succeed"),
        Action::Approve => ("Approve", "Let it run, for exactly this commit"),
        Action::Reject => ("Reject", "Do not let it run"),
        Action::Promote => ("Promote", "Give the new release all traffic now"),
        Action::RollBack => ("Roll back", "Give the stable release all traffic"),
        Action::Cancel => ("Cancel", "End it now"),
    };
    Button { label, description, identifier: action.identifier() }
}

fn time(at: Timestamp) -> String {
    let at =
        jiff::Timestamp::UNIX_EPOCH.saturating_add(jiff::SignedDuration::try_from(Duration::from_secs(at.as_millis() / 1000)).unwrap_or_default());
    at.map_or_else(|_| String::new(), |at| at.to_string())
}

/// So many bytes of it at most, between two characters.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}
