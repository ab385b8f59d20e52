//! Answers the machine's question whether a condition holds.

use std::collections::BTreeMap;

use crate::core::plan::{self, Ended};
use crate::core::run::NeedsView;

pub fn evaluate(source: &str, known: &serde_json::Value, view: &NeedsView<'_>) -> Result<bool, String> {
    let failed = view.needs.iter().any(|need| need.failed);
    plan::holds(source, known, steps(view), failed).map_err(|error| error.to_string())
}

/// What conditions and templates know of the steps that are needed.
pub fn steps(view: &NeedsView<'_>) -> serde_json::Value {
    static NOTHING: BTreeMap<String, String> = BTreeMap::new();
    plan::steps_of(view.needs.iter().map(|need| {
        let values = need.kept.map_or(&NOTHING, |kept| &kept.values);
        (need.node, Ended { outcome: need.outcome, values })
    }))
}
