//! Events that are soon told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::payload::{Deployed, Dispatched, Merging, Ping, Released};
use super::push::{describe, not_named};
use super::scene::Scene;
use super::{Misunderstood, nothing};
use crate::model::event::EventKind;
use crate::model::text::clean;
use crate::model::trigger::Wish;

/// Parameters of one dispatch; GitHub allows ten.
const PARAMS: usize = 32;
/// Bytes of one, and of its name.
const PARAM: usize = 10_000;
const PARAM_NAME: usize = 100;

/// What a release stands on is what its tag points to.
pub(super) fn release(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    let release = scene.need(scene.read::<Released>()?.release, "release")?;
    if release.draft == Some(true) {
        return Ok(nothing("the release is a draft: its tag need not be there"));
    }
    let tag = scene.name(release.tag_name, "release.tag_name")?;
    let event = scene.event(EventKind::Release, format!("refs/tags/{tag}"), None, not_named())?;
    Ok(Wish::Happened(Box::new(event)))
}

/// GitHub does not say whether what it calls `ref` is a branch or a tag, and one can be named like the other: only the commit counts.
pub(super) fn deployment(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    let deployment = scene.need(scene.read::<Deployed>()?.deployment, "deployment")?;
    if scene.action() != "created" {
        return Ok(nothing(format!("a deployment that is {} asks for nothing", clean(scene.action()))));
    }
    let commit = scene.commit(deployment.sha, "deployment.sha")?;
    let reference = deployment.reference.filter(|reference| reference.starts_with("refs/"));
    let reference = reference.map(|reference| scene.reference(Some(reference), "deployment.ref")).transpose()?.unwrap_or_default();
    let branch = reference.strip_prefix("refs/heads/").map(str::to_owned);
    let mut event = scene.event(EventKind::Deployment, reference, branch, commit)?;
    event.context.environment = Some(scene.name(deployment.environment, "deployment.environment")?);
    Ok(Wish::Happened(Box::new(event)))
}

pub(super) fn merge_group(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    let group = scene.need(scene.read::<Merging>()?.merge_group, "merge_group")?;
    let reference = scene.reference(group.head_ref, "merge_group.head_ref")?;
    match scene.action() {
        "checks_requested" => {}
        "destroyed" => return Ok(Wish::Deleted { reference }),
        other => return Ok(nothing(format!("a merge group that is {} asks for nothing", clean(other)))),
    }
    let base = scene.reference(group.base_ref, "merge_group.base_ref")?;
    // As of a pull request: the branch that it wants to get into.
    let branch = base.strip_prefix("refs/heads/").map(str::to_owned);
    let mut event = scene.event(EventKind::MergeGroup, reference, branch, scene.commit(group.head_sha, "merge_group.head_sha")?)?;
    describe(&mut event, group.head_commit.as_ref());
    event.context.before = group.base_sha.map(|base| scene.commit(Some(base), "merge_group.base_sha")).transpose()?;
    Ok(Wish::Happened(Box::new(event)))
}

pub(super) fn dispatch(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    let body: Dispatched = scene.read()?;
    let branch = scene.name(body.branch, "branch")?;
    let mut event = scene.event(EventKind::RepositoryDispatch, format!("refs/heads/{branch}"), Some(branch), not_named())?;
    event.params = params(scene, body.client_payload.unwrap_or_default())?;
    Ok(Wish::Happened(Box::new(event)))
}

/// What is text, a number or a truth becomes a parameter, whole; lists and objects have no word for what they would be.
fn params(scene: &Scene<'_>, payload: serde_json::Map<String, Value>) -> Result<BTreeMap<String, String>, Misunderstood> {
    let mut params = BTreeMap::new();
    for (name, value) in payload {
        let value = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
        };
        if params.len() == PARAMS || name.len() > PARAM_NAME || value.len() > PARAM {
            return Err(scene.odd("client_payload", &name, "at most 32 values of 10000 bytes with names of 100"));
        }
        // A changed value would be another one; and no variable can hold a zero.
        if name.chars().chain(value.chars()).any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(scene.odd("client_payload", &name, "text without control characters"));
        }
        params.insert(name, value);
    }
    Ok(params)
}

pub(super) fn installation(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    Ok(Wish::Installation { id: scene.need(scene.installation(), "installation.id")?, change: clean(scene.action()) })
}

pub(super) fn ping(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    Ok(Wish::Ping { zen: clean(&scene.read::<Ping>()?.zen.unwrap_or_default()) })
}

/// Of an event that nothing is ever done for.
pub(super) fn why_not(event: &str) -> String {
    match event {
        "create" | "delete" => "a push says the same".to_owned(),
        "workflow_dispatch" => {
            "it starts a workflow of GitHub's; Tidegate's pipelines are started by hand with its own API, command or a repository_dispatch".to_owned()
        }
        other => format!("nothing is done for {}", clean(other)),
    }
}
