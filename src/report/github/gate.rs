//! A step and its environment: whose word it waits for and how to give it, or whose it was.

use crate::model::policy::{Approvers, Voice};
use crate::report::run::view::{NodeView, Status};

use super::Scene;
use super::text::code;

/// Approvers that are named; what is left out, the policy file says.
const MOST_NAMES: usize = 20;

/// Markdown; `None` of a step that has nothing to do with anybody's word.
pub(super) fn said(scene: &Scene<'_>, node: &NodeView) -> Option<String> {
    let environment = code(&node.gate.as_ref()?.environment);
    match (&node.status, &node.approved) {
        (Status::Held { approval: true, .. }, _) => Some(wanted(scene, node, &environment)),
        (Status::Held { .. }, None) => Some(format!("Environment {environment}.")),
        (_, Some(Voice::Forge { login, .. })) => Some(format!("Approved for {environment} by {}.", code(login))),
        (_, Some(Voice::Machine { user })) => Some(format!("Approved for {environment} by {} at the machine.", code(user))),
        (_, None) => None,
    }
}

fn wanted(scene: &Scene<'_>, node: &NodeView, environment: &str) -> String {
    let protection = node.gate.as_ref().and_then(|gate| gate.protection.as_ref());
    let whose = match protection.and_then(|protection| protection.approvers.as_ref()) {
        Some(Approvers::AtLeast(least)) => format!("somebody who has {} here", code(least.word())),
        Some(Approvers::Logins(logins)) => one_of(logins),
        None => "somebody".to_owned(),
    };
    let own = protection.is_some_and(|protection| protection.self_approval);
    let mut started: Vec<&str> = scene.event.context.starters().filter(|_| !own).map(|actor| actor.login.as_str()).collect();
    started.dedup();
    let but = match started.as_slice() {
        [] => String::new(),
        [one] => format!(", but not from {}, who has started the run", code(one)),
        all => format!(", but not from {}, who have started the run", all.iter().map(|login| code(login)).collect::<Vec<_>>().join(" and ")),
    };
    let name = node.gate.as_ref().map_or("", |gate| &gate.environment);
    let how = match &scene.event.context.pull {
        Some(_) => format!("a comment that begins {}", code(&format!("/tidegate approve {} --environment {name}", scene.event.commit.short()))),
        None => format!("a comment at the commit that begins {}", code(&format!("/tidegate approve --environment {name}"))),
    };
    let no = code("reject");
    format!(
        "For {environment} it needs approval from {whose}{but}: by the button, or by {how}. Whoever may say yes may say no: by the other button, or with {no} instead."
    )
}

fn one_of(logins: &[String]) -> String {
    let mut names: Vec<String> = logins.iter().take(MOST_NAMES).map(|login| code(login)).collect();
    if logins.len() > MOST_NAMES {
        names.push("others".to_owned());
    }
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => "nobody: no approver is named".to_owned(),
    }
}
