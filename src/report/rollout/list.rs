//! `rollout ls`: one line a rollout.

use crate::model::fact::{Entry, Fact, RolloutFact};
use crate::model::time::Timestamp;

use super::text::{BAD, BOLD, FAINT, GOOD, Line, Look, NEW, PLAIN, WARN, ago, columns};

/// From each rollout's first and last entry, as the journal gives them.
pub fn list(rollouts: &[(Entry, Entry)], now: Timestamp, look: Look) -> String {
    let rows: Vec<_> = rollouts.iter().filter_map(|(first, last)| row(first, last, now)).collect();
    if rows.is_empty() {
        return "no rollouts yet: `tidegate deploy` and deploy steps start them".to_owned();
    }
    let width = |column: fn(&Row) -> &str, title: &str| rows.iter().map(|row| columns(column(row))).max().unwrap_or(0).max(columns(title)) + 2;
    let (id, function, outcome) = (width(|row| &row.id, "ROLLOUT"), width(|row| &row.function, "FUNCTION"), width(|row| row.outcome, "OUTCOME"));
    let mut lines = vec![
        Line::new()
            .and(BOLD, "ROLLOUT")
            .to(id)
            .and(BOLD, "FUNCTION")
            .to(id + function)
            .and(BOLD, "OUTCOME")
            .to(id + function + outcome)
            .and(BOLD, "STARTED"),
    ];
    for row in &rows {
        let line = Line::new().and(PLAIN, &row.id).to(id).and(PLAIN, &row.function).to(id + function).and(row.style, row.outcome);
        lines.push(line.to(id + function + outcome).and(PLAIN, &row.age).and(FAINT, format!("  {}", row.note)));
    }
    lines.into_iter().map(|line| line.render(look)).collect::<Vec<_>>().join("\n")
}

struct Row {
    id: String,
    function: String,
    outcome: &'static str,
    style: anstyle::Style,
    age: String,
    note: String,
}

fn row(first: &Entry, last: &Entry, now: Timestamp) -> Option<Row> {
    let Fact::Rollout(RolloutFact::Started { rollout, function, policy, .. }) = &first.fact else { return None };
    let (outcome, style, note) = match &last.fact {
        Fact::Rollout(RolloutFact::Ended { outcome }) => {
            use crate::model::fact::RolloutOutcome as O;
            let (style, note) = match outcome {
                O::Promoted | O::Unchanged => (GOOD, String::new()),
                O::Aborted { reason } => (WARN, reason.clone()),
                O::RolledBack { reason } | O::Failed { reason } | O::Stuck { reason } => (BAD, reason.clone()),
            };
            (outcome.word(), style, note)
        }
        _ => ("under-way", NEW, format!("last heard of {}", ago(now.since(last.at)))),
    };
    let note = if note.is_empty() { policy.strategy.word().to_owned() } else { note };
    Some(Row { id: rollout.to_string(), function: function.name.clone(), outcome, style, age: ago(now.since(first.at)), note })
}
