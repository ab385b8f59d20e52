//! GitHub's webhooks: whether one is GitHub's ([`verify`]), and what it wants ([`understand`]).
//!
//! A body is signed by GitHub and still full of what anybody may have written: titles, branches, comments. Text that is only shown is cleaned here, once; what
//! names something (a commit, a reference, a repository) is checked, and refused where it is not one. Only the fields that are needed are read, each of them may
//! be missing, and nothing is made up for what is.
//!
//! **Which commit a run sees.** Of a push, what was pushed; of a pull request its *head*, as people wrote it and as checks are reported on, never the merge that
//! GitHub tries out; of a merge group the group's own commit; of a deployment the commit that it names. Of a release and a dispatch GitHub names none: it is what
//! the tag, or the branch, points to when it is fetched.

mod checks;
mod command;
mod comment;
mod others;
mod payload;
mod pull;
mod push;
mod scene;
mod signature;
mod workflow;

pub use signature::{Unsigned, verify};
pub use workflow::in_workflow;

use crate::model::delivery::Delivery;
use crate::model::trigger::{Trigger, Wish};
use scene::Scene;

/// Why a delivery can not be understood. Trying again would not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misunderstood {
    #[error("the body of {event} is not what GitHub sends: {why}")]
    Shape { event: String, why: String },
    #[error("the body of {event} has no {what}")]
    Missing { event: String, what: &'static str },
    #[error("{what} of {event} is {found:?}: expected {expected}")]
    Odd { event: String, what: &'static str, found: String, expected: &'static str },
}

/// What a delivery wants. Never panics, whatever it holds.
pub fn understand(delivery: &Delivery) -> Result<Trigger, Misunderstood> {
    let scene = Scene::of(delivery)?;
    let wish = match delivery.event.as_str() {
        "push" => push::wish(&scene)?,
        "pull_request" => pull::wish(&scene)?,
        "issue_comment" | "commit_comment" => return comment::trigger(scene),
        "check_run" => checks::run(&scene)?,
        "check_suite" => checks::suite(&scene)?,
        "release" => others::release(&scene)?,
        "deployment" => others::deployment(&scene)?,
        "merge_group" => others::merge_group(&scene)?,
        "repository_dispatch" => others::dispatch(&scene)?,
        "installation" | "installation_repositories" | "installation_target" => others::installation(&scene)?,
        "ping" => others::ping(&scene)?,
        other => nothing(others::why_not(other)),
    };
    // Nothing is done for a repository that is not understood; but what is done needs one.
    let repository = match wish {
        Wish::Nothing { .. } | Wish::Ping { .. } | Wish::Installation { .. } => scene.repository().ok(),
        _ => Some(scene.repository()?),
    };
    Ok(Trigger { repository, actor: scene.actor(), wish })
}

fn nothing(because: impl Into<String>) -> Wish {
    Wish::Nothing { because: because.into() }
}

#[cfg(test)]
mod tests;
