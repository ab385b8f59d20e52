//! `runs ls`: one line a run.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text::{clean, duration, fit, pad, width};
use crate::model::event::EventKind;
use crate::model::fact::{Entry, Fact, RunFact, Stream};
use crate::model::id::{CommitId, RunId};
use crate::model::time::Timestamp;

/// What a run that has not ended is called.
pub const RUNNING: &str = "running";

/// A run in a few words: what is shown of it, and what programs get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Run)]
pub struct Line {
    #[schema(value_type = String)]
    pub run: RunId,
    pub pipeline: String,
    /// `running`, or how it ended: `succeeded`, `failed`, `cancelled`, `interrupted`, `infrastructure`.
    pub outcome: String,
    /// Microseconds since 1970.
    #[schema(value_type = u64)]
    pub started: Timestamp,
    /// Of its last fact.
    #[schema(value_type = u64)]
    pub last: Timestamp,
    #[schema(value_type = String)]
    pub commit: CommitId,
    pub branch: Option<String>,
    pub subject: String,
    pub repository: String,
    #[schema(value_type = String)]
    pub event: EventKind,
}

impl Line {
    /// From a run's first and last entry, and the word for how it stands. `None` for what is no beginning of a run.
    pub fn of(first: &Entry, last: &Entry, outcome: &str) -> Option<Self> {
        let (Stream::Run(run), Fact::Run(RunFact::Started { pipeline, event, .. })) = (&first.stream, &first.fact) else { return None };
        Some(Self {
            run: run.clone(),
            pipeline: pipeline.clone(),
            outcome: outcome.to_owned(),
            started: first.at,
            last: last.at,
            commit: event.commit.clone(),
            branch: event.branch.clone(),
            subject: event.subject.clone(),
            repository: event.repository.clone(),
            event: event.kind,
        })
    }

    pub fn render(&self, columns_wide: usize) -> String {
        let took = if self.outcome == RUNNING { String::new() } else { duration(self.last.since(self.started)) };
        let about = clean(&format!("{} {} {}", self.branch.as_deref().unwrap_or("-"), self.commit.short(), self.subject));
        let columns = format!("{}  {}  {}  {}", clean(self.run.as_str()), date(self.started), pad(&clean(&self.outcome), 14), pad(&took, 11));
        let rest = format!("{}  {about}", clean(&self.pipeline));
        format!("{columns}  {}", fit(&rest, columns_wide.saturating_sub(width(&columns) + 2).max(12)).trim_end())
    }
}

/// A moment for people, in UTC.
pub fn date(at: Timestamp) -> String {
    let moment = i64::try_from(at.as_micros()).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    moment.map_or_else(|| "?".to_owned(), |moment| moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
