//! Checks that somebody wants again, and their buttons. What GitHub says of checks by itself is only what Tidegate has told it.

use super::payload::{Check, Checked};
use super::scene::Scene;
use super::{Misunderstood, nothing};
use crate::model::text::{clean, hidden};
use crate::model::trigger::Wish;

/// Bytes of a check's id: more than the longest name of a step has.
const MOST_EXTERNAL: usize = 16 << 10;
const FOREIGN: &str = "the check is none of Tidegate's";

pub(super) fn run(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    match scene.action() {
        "rerequested" => {
            let check = scene.need(scene.read::<Checked>()?.check_run, "check_run")?;
            let external = match external(&check) {
                Given::Nothing => None,
                Given::Id(id) => Some(id),
                Given::Foreign => return Ok(nothing(FOREIGN)),
            };
            Ok(Wish::Rerun { external, commit: scene.commit(check.head_sha, "check_run.head_sha")? })
        }
        "requested_action" => {
            let body: Checked = scene.read()?;
            let check = scene.need(body.check_run, "check_run")?;
            let action = scene.need(body.requested_action.and_then(|action| action.identifier), "requested_action.identifier")?;
            // Tidegate gives every check of its own an id.
            let Given::Id(external) = external(&check) else { return Ok(nothing(FOREIGN)) };
            Ok(Wish::Pressed { external, identifier: clean(&action) })
        }
        other => Ok(nothing(format!("a check run that is {} asks for nothing", clean(other)))),
    }
}

pub(super) fn suite(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    match scene.action() {
        "rerequested" => {
            let suite = scene.need(scene.read::<Checked>()?.check_suite, "check_suite")?;
            Ok(Wish::Rerun { external: None, commit: scene.commit(suite.head_sha, "check_suite.head_sha")? })
        }
        other => Ok(nothing(format!("a check suite that is {} asks for nothing: pushes and pull requests say more", clean(other)))),
    }
}

enum Given {
    Nothing,
    Id(String),
    /// Tidegate gives none that looks like it.
    Foreign,
}

/// Whole: a part of it would name something else.
fn external(check: &Check) -> Given {
    match check.external_id.as_deref() {
        None | Some("") => Given::Nothing,
        Some(id) if id.len() > MOST_EXTERNAL || id.chars().any(hidden) => Given::Foreign,
        Some(id) => Given::Id(id.to_owned()),
    }
}
