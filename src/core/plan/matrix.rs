//! A step's matrix as its combinations, each with the name of its node.

use std::collections::BTreeMap;

use crate::core::spec::Step;
use crate::model::id::NodeId;

/// One combination: its node and its values.
pub struct Combination {
    pub id: NodeId,
    pub values: BTreeMap<String, String>,
}

/// The last key changes fastest, as one would write it down. Without a matrix there is one, which is named like the step.
pub fn expand(step: &Step) -> Vec<Combination> {
    if step.matrix.is_empty() {
        return vec![Combination { id: NodeId::new(step.name.as_str()), values: BTreeMap::new() }];
    }
    let mut rows: Vec<Vec<&str>> = vec![Vec::new()];
    for (_, values) in &step.matrix {
        rows = rows.iter().flat_map(|row| values.iter().map(move |value| row.iter().copied().chain([value.as_str()]).collect())).collect();
    }
    rows.iter()
        .map(|row| {
            let pairs: Vec<(&str, &str)> = step.matrix.iter().map(|(key, _)| key.as_str()).zip(row.iter().copied()).collect();
            let inside: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
            Combination {
                id: NodeId::new(format!("{}[{}]", step.name, inside.join(","))),
                values: pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            }
        })
        .collect()
}

/// As it is where it can not be misread, else in quotes: two combinations never share a name.
fn shown(value: &str) -> String {
    let plain = !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '/' | ':' | '@'));
    if plain { value.to_owned() } else { format!("{value:?}") }
}
