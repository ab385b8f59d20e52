//! What the screen is like, and the signs and colours on it.

use anstyle::{AnsiColor, Style};

use crate::model::outcome::{Outcome, RunOutcome};

use super::view::Status;

/// What is known about where the text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub colour: bool,
    /// Columns.
    pub width: usize,
    /// Lines; only the live graph keeps to it.
    pub height: usize,
    /// Seconds to add to UTC for the time of day.
    pub utc_offset: i32,
}

impl Default for Look {
    /// A pipe.
    fn default() -> Self {
        Self { colour: false, width: 100, height: usize::MAX, utc_offset: 0 }
    }
}

impl Look {
    pub(super) fn paint(self, style: Style, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const ODD: Style = AnsiColor::Yellow.on_default();
const BUSY: Style = AnsiColor::Cyan.on_default();

/// The sign of a status, and its colour. Every sign is one column wide.
pub(super) fn sign(status: &Status) -> (&'static str, Style) {
    match status {
        Status::Waiting => ("·", FAINT),
        Status::Held { .. } => ("◇", ODD),
        Status::Queued => ("○", FAINT),
        Status::Running => ("▶", BUSY),
        Status::BackingOff { .. } => ("↻", ODD),
        Status::Deploying => ("⇡", BUSY),
        Status::Ended(outcome) => outcome_sign(outcome),
    }
}

fn outcome_sign(outcome: &Outcome) -> (&'static str, Style) {
    match outcome {
        Outcome::Succeeded => ("✔", GOOD),
        Outcome::Memoised { .. } => ("≡", GOOD),
        Outcome::Failed { .. } | Outcome::TimedOut { .. } => ("✘", BAD),
        Outcome::Infrastructure { .. } => ("!", ODD),
        Outcome::Cancelled { .. } => ("■", ODD),
        Outcome::Skipped { .. } => ("–", FAINT),
    }
}

pub(super) fn run_sign(outcome: RunOutcome) -> (&'static str, Style) {
    match outcome {
        RunOutcome::Succeeded => ("✔", GOOD),
        RunOutcome::Failed => ("✘", BAD),
        RunOutcome::Cancelled => ("■", ODD),
        RunOutcome::Interrupted | RunOutcome::Infrastructure => ("!", ODD),
    }
}
