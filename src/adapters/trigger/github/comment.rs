//! Comments that are commands.

use super::payload::{Commented, Issue};
use super::scene::{self, Scene};
use super::{Misunderstood, command, nothing};
use crate::model::trigger::{About, Trigger, Wish};

/// Only what a person has just written: who edits a comment may be somebody else than who wrote it.
pub(super) fn trigger(scene: Scene<'_>) -> Result<Trigger, Misunderstood> {
    let wish = wish(&scene)?;
    let repository = if matches!(wish, Wish::Nothing { .. }) { scene.repository().ok() } else { Some(scene.repository()?) };
    Ok(Trigger { repository, actor: scene.actor(), wish })
}

fn wish(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    if scene.action() != "created" {
        return Ok(nothing("only a new comment can be a command"));
    }
    let body: Commented = scene.read()?;
    let comment = scene.need(body.comment, "comment")?;
    let Some(command) = command::parse(comment.body.as_deref().unwrap_or_default()) else { return Ok(nothing("the comment is no command")) };
    let author = comment.user.as_ref().and_then(scene::actor);
    let author = scene.need(author, "comment.user")?;
    if author.bot || comment.performed_via_github_app.is_some() {
        return Ok(nothing("a program has written the comment"));
    }
    if scene.actor().is_none_or(|sender| sender.id != author.id) {
        return Ok(nothing("the comment was sent by somebody else than its author"));
    }
    Ok(Wish::Command { about: about(scene, body.issue, comment.commit_id)?, comment: scene.need(comment.id, "comment.id")?, command })
}

/// What it stands at: the two events have nothing else that differs.
fn about(scene: &Scene<'_>, issue: Option<Issue>, commit: Option<String>) -> Result<About, Misunderstood> {
    if scene.word() == "commit_comment" {
        return Ok(About::Commit(scene.commit(commit, "comment.commit_id")?));
    }
    let issue = scene.need(issue, "issue")?;
    let number = scene.need(issue.number, "issue.number")?;
    Ok(if issue.pull_request.is_some() { About::Pull(number) } else { About::Issue(number) })
}
