//! The trust table (docs/trust.md), and the attacks that are known on self-hosted runners, as far as decisions and plans go.

mod attacks;
mod environments;
mod restricted;
mod table;

use std::collections::BTreeMap;

use super::*;
use crate::core::plan::{self, Condition, Plan};
use crate::core::spec;
use crate::model::event::{Actor, Association, Event, EventKind, PullRequest, Side};
use crate::model::id::{CommitId, NodeId};
use crate::model::policy::Policy;
use crate::model::trust::{Approval, Permission, Trust};

pub fn policy_of(text: &str) -> Policy {
    let policy = policy(&Found::File(text.as_bytes().to_vec()));
    assert_eq!(policy.closed, None, "{text}");
    policy
}

pub fn commit(digit: char) -> CommitId {
    CommitId::new(digit.to_string().repeat(40))
}

pub fn actor(login: &str) -> Actor {
    let id = login.bytes().fold(1, |sum, byte| sum * 31 + u64::from(byte));
    Actor { login: login.to_owned(), id, bot: login.ends_with("[bot]") }
}

pub fn who(actor: Permission, author: Permission) -> Who {
    Who { actor, author }
}

/// Of commit 1 on main.
pub fn event(kind: EventKind) -> Event {
    let mut event = Event {
        kind,
        repository: "shop/shop".into(),
        reference: "refs/heads/main".into(),
        branch: Some("main".into()),
        commit: commit('1'),
        subject: "s".into(),
        author: "a".into(),
        changed: None,
        params: BTreeMap::new(),
        context: Default::default(),
    };
    event.context.actor = Some(actor("mary"));
    event
}

/// Commit 2 of a branch of the repository, by Mary, who may write.
pub fn own_pull() -> Event {
    let mut event = event(EventKind::PullRequest);
    event.reference = "refs/pull/7/head".into();
    event.commit = commit('2');
    event.context.action = Some("synchronize".into());
    event.context.pull = Some(PullRequest {
        number: 7,
        title: "t".into(),
        author: actor("mary"),
        association: Association::Member,
        head: Side { repository: "shop/shop".into(), branch: "topic".into(), commit: commit('2') },
        base: Side { repository: "shop/shop".into(), branch: "main".into(), commit: commit('1') },
        fork: false,
        draft: false,
        labels: Vec::new(),
    });
    event
}

/// The same from a fork, by Sam, whom nobody knows.
pub fn fork_pull(association: Association) -> Event {
    let mut event = own_pull();
    event.context.actor = Some(actor("sam"));
    if let Some(pull) = &mut event.context.pull {
        (pull.author, pull.association, pull.fork) = (actor("sam"), association, true);
        pull.head.repository = "sam/shop".into();
    }
    event
}

pub fn stranger() -> Who {
    who(Permission::Read, Permission::Read)
}

pub fn approval(commit: CommitId) -> Approval {
    Approval { by: "mary".into(), commit }
}

pub fn plan_of(text: &str, event: &Event) -> Plan {
    let action = |name: &str| (name == "./greet").then(|| "name: greet\ninputs: { whom: {} }\nrun: echo ${{ inputs.whom }}\n".to_owned());
    let pipeline = spec::load(".tidegate/p.yaml", text, &action).unwrap_or_else(|errors| panic!("{errors:#?}"));
    plan::build(&pipeline, event, &[]).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// Why a node does not run; `None` if it does.
pub fn held(plan: &Plan, node: &str) -> Option<String> {
    match &plan.node(&NodeId::new(node)).unwrap_or_else(|| panic!("no node {node}")).condition {
        Condition::Never { because } => Some(because.clone()),
        _ => None,
    }
}

/// `run`, `run untrusted`, `wait`, `wait untrusted`, `refuse`.
pub fn word(decision: &Decision) -> String {
    let trust = |trust: &Trust| if trust.is_trusted() { "" } else { " untrusted" };
    match decision {
        Decision::Run { trust: of } => format!("run{}", trust(of)),
        Decision::Wait { trust: of, .. } => format!("wait{}", trust(of)),
        Decision::Refuse { .. } => "refuse".to_owned(),
    }
}
