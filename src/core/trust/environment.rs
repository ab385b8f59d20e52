//! Environments: who may deploy what from where, looked up when the plan is made and part of it from then on.

use crate::core::plan::{Condition, Node, Plan, Work};
use crate::core::spec::nearest;
use crate::model::event::{Actor, Event, EventKind};
use crate::model::policy::{Approvers, Environment, Gate, Policy, Protection, Voice};
use crate::model::trust::Permission;

use super::matches;

/// The plan with its environments looked up. What one of them does not take will not run, and says why.
///
/// A node that names an environment and has not been here never starts.
#[must_use]
pub fn guard(mut plan: Plan, policy: &Policy) -> Plan {
    let event = plan.event.clone();
    for node in &mut plan.nodes {
        match protection(node, &event, policy) {
            Ok(protection) => node.environment.iter_mut().for_each(|gate| gate.protection = Some(protection.clone())),
            Err(because) => never(node, because),
        }
    }
    plan
}

pub(super) fn never(node: &mut Node, because: String) {
    if !matches!(node.condition, Condition::Never { .. }) {
        node.condition = Condition::Never { because };
    }
}

fn protection(node: &Node, event: &Event, policy: &Policy) -> Result<Protection, String> {
    let named = node.environment.as_ref().map(|gate| gate.environment.as_str());
    let concerned = named.is_some() || matches!(node.work, Work::Deploy(_));
    if let Some(why) = policy.closed.as_ref().filter(|_| concerned) {
        return Err(format!("nothing is deployed: {why}"));
    }
    if let Work::Deploy(deploy) = &node.work {
        belongs_here(&deploy.function.name, named, policy)?;
    }
    let Some(name) = named else { return Ok(Protection::default()) };
    match policy.environments.get(name) {
        Some(environment) => {
            takes(name, environment, event)?;
            let Environment { approvers, wait, self_approval, branches: _, tags: _, functions: _ } = environment;
            Ok(Protection { approvers: approvers.clone(), wait: *wait, self_approval: *self_approval })
        }
        None if policy.environments.is_empty() => Ok(Protection::default()),
        None => {
            let near =
                nearest(name, policy.environments.keys().map(String::as_str)).map(|near| format!(": did you mean {near:?}?")).unwrap_or_default();
            Err(format!("the policy has no environment {name:?}{near}"))
        }
    }
}

/// A function that belongs to environments is deployed in one of them: leaving the word out of a pipeline file is no way around.
fn belongs_here(function: &str, named: Option<&str>, policy: &Policy) -> Result<(), String> {
    let own: Vec<&str> =
        policy.environments.iter().filter(|(_, environment)| matches(&environment.functions, function)).map(|(name, _)| name.as_str()).collect();
    if own.is_empty() || named.is_some_and(|named| own.contains(&named)) {
        return Ok(());
    }
    Err(format!("the policy lets {function} be deployed in {} only: say environment: {}", own.join(" or "), own[0]))
}

/// By what was pushed. The branch that a pull request wants to get into is not the branch that it is.
fn takes(name: &str, environment: &Environment, event: &Event) -> Result<(), String> {
    let Environment { branches, tags, .. } = environment;
    if branches.is_none() && tags.is_none() {
        return Ok(());
    }
    let merged = event.context.pull.is_none() && !matches!(event.kind, EventKind::PullRequest | EventKind::MergeGroup);
    let of = |patterns: &Option<Vec<String>>, kind: &str| {
        let found = event.reference.strip_prefix(kind).filter(|_| merged);
        found.zip(patterns.as_ref()).is_some_and(|(found, patterns)| matches(patterns, found))
    };
    if of(branches, "refs/heads/") || of(tags, "refs/tags/") {
        return Ok(());
    }
    let here = if event.reference.is_empty() { "no branch".to_owned() } else { event.reference.clone() };
    Err(format!("the environment {name} does not take {here}"))
}

/// Whether somebody's word lets a node into its environment; the error is the answer to give them. `started`: all whom the run was started by.
pub fn accepts<'a>(gate: &Gate, started: impl IntoIterator<Item = &'a Actor>, voice: &Voice) -> Result<(), String> {
    let name = &gate.environment;
    let Some(protection) = &gate.protection else { return Err(format!("nobody has looked {name} up in the policy")) };
    let (login, id, permission) = match voice {
        // Has the journal and the program in their hands.
        Voice::Machine { .. } => return Ok(()),
        Voice::Forge { login, id, permission } => (login, *id, *permission),
    };
    match &protection.approvers {
        None => return Err(format!("{name} needs nobody's approval")),
        Some(Approvers::AtLeast(least)) if permission < *least => {
            return Err(format!("{login} may not approve for {name}: it needs {}, and they have {}", least.word(), permission.word()));
        }
        Some(Approvers::Logins(logins)) if !logins.iter().any(|one| one.eq_ignore_ascii_case(login)) => {
            return Err(format!("{login} may not approve for {name}: that can {}", logins.join(", ")));
        }
        Some(_) => {}
    }
    if !protection.self_approval && started.into_iter().any(|actor| is_same(actor, login, id)) {
        return Err(format!("{login} has started this run: for {name}, somebody else has to look at it"));
    }
    Ok(())
}

/// What somebody says at a forge, if it counts as anything at all; the error is the answer to give them. Whether it does for an environment is [`accepts`].
pub fn voice(policy: &Policy, who: &Actor, permission: Permission) -> Result<Voice, String> {
    if who.bot {
        return Err(format!("{} is a program: people approve here", who.login));
    }
    if let Some(why) = &policy.closed {
        return Err(format!("nobody may approve anything: {why}"));
    }
    // Nothing is looked up for a stranger: they could ask for it as often as they like.
    if permission < Permission::Triage && !is_listed(policy, &who.login) {
        return Err(format!("{} may approve for no environment here: they have {}, and none lists them", who.login, permission.word()));
    }
    Ok(Voice::Forge { login: who.login.clone(), id: Some(who.id), permission })
}

fn is_listed(policy: &Policy, login: &str) -> bool {
    let lists = |environment: &Environment| match &environment.approvers {
        Some(Approvers::Logins(logins)) => logins.iter().any(|one| one.eq_ignore_ascii_case(login)),
        Some(Approvers::AtLeast(_)) | None => false,
    };
    policy.environments.values().any(lists)
}

/// Whether two words are of one person. By number where both have one, as a login can be changed; and by login, as people who come through the API have no number
/// (their login is written with an `@`).
fn is_same(actor: &Actor, login: &str, id: Option<u64>) -> bool {
    let by_number = actor.id != 0 && id == Some(actor.id);
    by_number || actor.login.trim_start_matches('@').eq_ignore_ascii_case(login)
}
