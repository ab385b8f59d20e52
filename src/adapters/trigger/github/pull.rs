//! Pull requests. A run of one sees its head commit, whatever the merge would be.

use super::Misunderstood;
use super::payload::{self, Pull, PullRequest, association};
use super::scene::{self, Scene};
use crate::model::event::{self, EventKind};
use crate::model::text::clean;
use crate::model::trigger::Wish;

/// GitHub allows no more of one pull request.
const LABELS: usize = 100;

pub(super) fn wish(scene: &Scene<'_>) -> Result<Wish, Misunderstood> {
    let body: Pull = scene.read()?;
    let pull = pull(scene, scene.need(body.pull_request, "pull_request")?)?;
    let reference = format!("refs/pull/{}/head", pull.number);
    let mut event = scene.event(EventKind::PullRequest, reference, Some(pull.base.branch.clone()), pull.head.commit.clone())?;
    event.context.pull = Some(pull);
    let event = Box::new(event);
    Ok(if scene.action() == "closed" { Wish::Closed { event } } else { Wish::Happened(event) })
}

fn pull(scene: &Scene<'_>, found: PullRequest) -> Result<event::PullRequest, Misunderstood> {
    let (head, base) = (scene.need(found.head, "pull_request.head")?, scene.need(found.base, "pull_request.base")?);
    let author = found.user.as_ref().and_then(scene::actor);
    Ok(event::PullRequest {
        number: scene.need(found.number, "pull_request.number")?,
        title: clean(found.title.as_deref().unwrap_or_default()),
        author: scene.need(author, "pull_request.user")?,
        association: association(found.author_association.as_deref()),
        fork: is_fork(&head, &base),
        head: event::Side {
            // Of a fork that was removed nothing is left to name.
            repository: head
                .repo
                .as_ref()
                .map(|repo| scene.repository_name(repo, "pull_request.head.repo.full_name"))
                .transpose()?
                .unwrap_or_default(),
            branch: scene.name(head.branch, "pull_request.head.ref")?,
            commit: scene.commit(head.sha, "pull_request.head.sha")?,
        },
        base: event::Side {
            repository: scene.repository_name(scene.need(base.repo.as_ref(), "pull_request.base.repo")?, "pull_request.base.repo.full_name")?,
            branch: scene.name(base.branch, "pull_request.base.ref")?,
            commit: scene.commit(base.sha, "pull_request.base.sha")?,
        },
        draft: found.draft.unwrap_or(false),
        labels: found.labels.unwrap_or_default().into_iter().filter_map(|label| label.name).take(LABELS).map(|name| clean(&name)).collect(),
    })
}

/// By number, as names can be taken over. What does not say where it comes from comes from elsewhere.
fn is_fork(head: &payload::Side, base: &payload::Side) -> bool {
    let id = |side: &payload::Side| side.repo.as_ref().and_then(|repo| repo.id);
    id(head).is_none() || id(head) != id(base)
}
