//! Whether an event runs, and what the run is trusted with.

use crate::model::event::{Association, Event, EventKind, PullRequest};
use crate::model::policy::{Deed, ForkRun, Policy, Text};
use crate::model::trust::{Approval, Permission, Trust};

use super::may::may;

/// What those may do in the repository who are part of an event. What is not known is [`Permission::None`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// Who did it.
    pub actor: Permission,
    /// Who has opened the pull request.
    pub author: Permission,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Run {
        trust: Trust,
    },
    /// Until somebody approves this commit.
    Wait {
        trust: Trust,
        because: String,
    },
    Refuse {
        because: String,
    },
}

/// What becomes of an event. `approvals` are those that [`super::approve`] has made, of any commit.
pub fn decide(policy: &Policy, event: &Event, who: Who, approvals: &[Approval]) -> Decision {
    if let Some(why) = &policy.closed {
        return refuse(why);
    }
    match &event.context.pull {
        Some(pull) => pull_request(policy, event, pull, who, approvals),
        None if event.kind == EventKind::PullRequest => refuse("nothing is known of the pull request"),
        None => of_the_repository(policy, event, who, approvals),
    }
}

/// Whose pipeline file is planned, and whose actions (`uses: ./…`): both from the same commit. What runs is the event's commit all the same.
pub fn text(policy: &Policy, trust: Trust) -> Text {
    match trust {
        Trust::Trusted => Text::Head,
        Trust::Untrusted => policy.forks.pipeline,
    }
}

/// Nobody but those who may write can make these; which of them may is what the policy says.
fn of_the_repository(policy: &Policy, event: &Event, who: Who, approvals: &[Approval]) -> Decision {
    if event.kind == EventKind::Deployment && event.reference.is_empty() {
        // Whoever may deploy names what they like.
        return run_or_wait(false, Trust::Trusted, event, approvals, || "it names a commit, and nobody knows of which branch".to_owned());
    }
    let own = event.reference.starts_with("refs/heads/") || event.reference.starts_with("refs/tags/");
    if !own {
        // A forge shows the commits of all forks in the repository: only what a branch or tag leads to is its own.
        return refuse(format!("{:?} is no branch and no tag of the repository", event.reference));
    }
    match event.kind {
        EventKind::Push => {
            // Whoever could push may write; a program's permission is not always told.
            let permission = who.actor.max(Permission::Write);
            let least = policy.push.0;
            let because = || format!("pushes run at once from those who have {}", least.word());
            run_or_wait(permission >= least, Trust::Trusted, event, approvals, because)
        }
        EventKind::Manual => match &event.context.actor {
            None => refuse("nobody knows who asked for it"),
            Some(actor) => match may(policy, Deed::Run, actor, who.actor) {
                Ok(()) => Decision::Run { trust: Trust::Trusted },
                Err(why) => refuse(why),
            },
        },
        EventKind::PullRequest
        | EventKind::Release
        | EventKind::MergeGroup
        | EventKind::Deployment
        | EventKind::RepositoryDispatch
        | EventKind::Schedule => Decision::Run { trust: Trust::Trusted },
    }
}

fn pull_request(policy: &Policy, event: &Event, pull: &PullRequest, who: Who, approvals: &[Approval]) -> Decision {
    if event.commit != pull.head.commit {
        return refuse("the commit that would run is not the pull request's head");
    }
    // To set a label or to assign somebody is not given to strangers: somebody says so who is not the forge.
    let touched = ["labeled", "unlabeled", "assigned", "unassigned", "milestoned", "demilestoned", "locked", "unlocked"];
    if event.context.action.as_deref().is_some_and(|action| touched.contains(&action)) && who.actor < Permission::Triage {
        return refuse("only those who may triage can have done this to a pull request");
    }
    let same = !pull.fork && pull.head.repository.eq_ignore_ascii_case(&pull.base.repository) && !pull.base.repository.is_empty();
    if same { own_branch(policy, event, pull, who, approvals) } else { fork(policy, event, pull, who, approvals) }
}

/// What is in a branch of the repository was pushed by somebody who may write.
fn own_branch(policy: &Policy, event: &Event, pull: &PullRequest, who: Who, approvals: &[Approval]) -> Decision {
    let bot = pull.author.bot || event.context.actor.as_ref().is_some_and(|actor| actor.bot);
    if bot && policy.pulls.bots == Trust::Untrusted {
        return Decision::Run { trust: Trust::Untrusted };
    }
    let least = policy.pulls.from;
    let because = || format!("pull requests run at once from those who have {}", least.word());
    run_or_wait(bot || who.actor >= least, Trust::Trusted, event, approvals, because)
}

fn fork(policy: &Policy, event: &Event, pull: &PullRequest, who: Who, approvals: &[Approval]) -> Decision {
    if pull.head.repository.is_empty() {
        return refuse("the repository that the pull request comes from is gone");
    }
    let actor = event.context.actor.as_ref();
    let bot = pull.author.bot || actor.is_none_or(|actor| actor.bot);
    let insider = |permission: Permission| permission >= Permission::Write;
    let own = actor.is_some_and(|actor| actor.id == pull.author.id);
    // Both: one who may write can have pushed onto what a stranger wrote, and a stranger onto what they wrote.
    let of_the_team = !bot && insider(who.author) && insider(who.actor);
    let known = matches!(pull.association, Association::Owner | Association::Member | Association::Collaborator | Association::Contributor);
    let (at_once, because) = match policy.forks.run {
        ForkRun::Never => return refuse("the policy runs nothing from forks"),
        ForkRun::Approval => (of_the_team, "it comes from a fork"),
        ForkRun::FirstTime if !known => (of_the_team, "its author has had nothing merged here before"),
        ForkRun::FirstTime => (of_the_team || (!bot && (own || insider(who.actor))), "somebody else than its author did this to it"),
    };
    run_or_wait(at_once, Trust::Untrusted, event, approvals, || because.to_owned())
}

/// An approval counts for the commit that it names and no other.
fn run_or_wait(at_once: bool, trust: Trust, event: &Event, approvals: &[Approval], because: impl Fn() -> String) -> Decision {
    if at_once || approvals.iter().any(|approval| approval.commit == event.commit) {
        return Decision::Run { trust };
    }
    Decision::Wait { trust, because: because() }
}

fn refuse(because: impl Into<String>) -> Decision {
    Decision::Refuse { because: because.into() }
}
