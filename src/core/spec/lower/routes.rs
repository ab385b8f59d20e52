//! `routes:`, checked; their engine comes later.

use super::super::places::Part;
use super::super::problems::Problems;
use super::cursor::Cursor;

pub fn check(root: &Cursor<'_>, functions: &[&str], steps: &[&str], problems: &mut Problems<'_>) {
    for (_, route) in root.entries_at("routes") {
        for side in ["from", "to"].into_iter().filter_map(|side| route.key(side)) {
            one_side(&side, functions, problems);
        }
        super::functions::policy(route.key("rollout").as_ref(), steps, problems);
    }
}

fn one_side(side: &Cursor<'_>, functions: &[&str], problems: &mut Problems<'_>) {
    if side.key("upstream").is_some() == side.key("function").is_some() {
        problems.error("no-work", &side.route, Part::Key, "traffic comes from, or goes to, one thing", "expected either upstream or function");
    }
    if let Some(at) = side.key("function") {
        let function = at.text().unwrap_or_default();
        if !functions.contains(&function.as_str()) {
            problems.error(
                "unknown-function",
                &at.route,
                Part::Value,
                format!("there is no function {function:?}"),
                "expected a function of this file",
            );
            problems.suggest(&function, functions.iter().copied());
        }
    }
}
