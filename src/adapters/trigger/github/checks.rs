//! Checks that somebody wants again, and their buttons. What GitHub says of checks by itself is only what Tidegate has told it.

use super::payload::{Check, Checked};
use super::scene::Scene;
use super::{Misunderstood, nothing};
use crate::model::text::clean;
use crate::model::trigger::Wish;

pub(super) fn run(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    match scene.action() {
        "rerequested" => {
            let check = scene.need(scene.read::<Checked>()?.check_run, "check_run")?;
            Ok(Wish::Rerun { external: external(&check), commit: scene.commit(check.head_sha, "check_run.head_sha")? })
        }
        "requested_action" => {
            let body: Checked = scene.read()?;
            let check = scene.need(body.check_run, "check_run")?;
            let action = scene.need(body.requested_action.and_then(|action| action.identifier), "requested_action.identifier")?;
            // Tidegate gives every check of its own an id.
            let Some(external) = external(&check) else { return Ok(nothing("the check is none of Tidegate's")) };
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

fn external(check: &Check) -> Option<String> {
    check.external_id.as_deref().filter(|id| !id.is_empty()).map(clean)
}
