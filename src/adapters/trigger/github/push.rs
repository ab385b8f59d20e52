//! Branches and tags that move, come and go.

use super::Misunderstood;
use super::payload::{Commit, Push};
use super::scene::Scene;
use crate::model::event::{Event, EventKind};
use crate::model::id::CommitId;
use crate::model::text::{clean, first_line};
use crate::model::trigger::Wish;

/// Where there is no commit.
const ZERO: &str = "0000000000000000000000000000000000000000";

pub(super) fn wish(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    let push: Push = scene.read()?;
    let reference = scene.reference(push.reference, "ref")?;
    let after = scene.commit(push.after, "after")?;
    if push.deleted == Some(true) || after.as_str() == ZERO {
        return Ok(Wish::Deleted { reference });
    }
    // An annotated tag is an object of its own; what it stands for is the head commit.
    let commit = match push.head_commit.as_ref().and_then(|head| head.id.clone()) {
        Some(id) => scene.commit(Some(id), "head_commit.id")?,
        None => after,
    };
    let branch = reference.strip_prefix("refs/heads/").map(str::to_owned);
    let mut event = scene.event(EventKind::Push, reference, branch, commit)?;
    describe(&mut event, push.head_commit.as_ref());
    event.context.before = push.before.filter(|before| before != ZERO).map(|before| scene.commit(Some(before), "before")).transpose()?;
    // GitHub has no word for it; nobody filters by it.
    event.context.action = match (push.created, push.forced) {
        (Some(true), _) => Some("created".to_owned()),
        (_, Some(true)) => Some("forced".to_owned()),
        _ => None,
    };
    Ok(Wish::Happened(Box::new(event)))
}

pub(super) fn describe(event: &mut Event, commit: Option<&Commit>) {
    let Some(commit) = commit else { return };
    event.subject = first_line(commit.message.as_deref().unwrap_or_default());
    event.author = clean(commit.author.as_ref().and_then(|author| author.name.as_deref()).unwrap_or_default());
}

/// What a reference points to is for git to say.
pub(super) fn not_named() -> CommitId {
    CommitId::new(String::new())
}
