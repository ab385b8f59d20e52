//! What an untrusted run loses: taken out of its plan, so that nobody further down has to remember.

use crate::core::plan::{Invoke, Node, Plan, ServiceTemplate, Work};
use crate::core::template::Template;
use crate::model::limits::{Network, Resources};
use crate::model::policy::{Forks, Policy, Text};
use crate::model::trust::Trust;

use super::environment::never;
use super::matches;

/// A stranger's step is tried at most so often.
const ATTEMPTS: u32 = 2;

/// The plan of an untrusted run. Nodes that lose what they are for stay in it and say why they do not run.
#[must_use]
pub fn restrict(mut plan: Plan, policy: &Policy) -> Plan {
    plan.trust = Trust::Untrusted;
    for node in &mut plan.nodes {
        if let Err(because) = restrict_node(node, &policy.forks) {
            never(node, because);
        }
    }
    plan
}

fn restrict_node(node: &mut Node, forks: &Forks) -> Result<(), String> {
    node.timeout = node.timeout.min(forks.timeout);
    node.retry.attempts = node.retry.attempts.min(ATTEMPTS);
    let environment = node.environment.take();
    let allowed = match &mut node.work {
        Work::Deploy(_) => Err("this run is not trusted: it deploys nothing".to_owned()),
        Work::Invoke(invoke) => restrict_invoke(invoke, forks),
    };
    match environment {
        Some(gate) => Err(format!("this run is not trusted: it gets nothing of {}", gate.environment)),
        None => allowed,
    }
}

fn restrict_invoke(invoke: &mut Invoke, forks: &Forks) -> Result<(), String> {
    // Named one by one: whatever a step gets one day has to be looked at here. Secrets are not part of a plan.
    let Invoke { script: _, env: _, outputs: _, image, build: _, services, network, resources, action: _ } = invoke;
    *network = reach(network, forks);
    *resources = capped(resources, &forks.resources);
    let mut images = image.iter().chain(services.iter().map(|ServiceTemplate { image, .. }| image));
    images.try_for_each(|image| known(image, forks))
}

/// What both the step and the policy let it reach.
fn reach(wanted: &Network, forks: &Forks) -> Network {
    let rules = match wanted {
        Network::None => Vec::new(),
        Network::Open | Network::Learn => forks.network.clone(),
        Network::Only(rules) => {
            let mut both: Vec<_> = rules.iter().flat_map(|rule| forks.network.iter().filter_map(|cap| rule.within(cap))).collect();
            both.sort();
            both.dedup();
            both
        }
    };
    if rules.is_empty() { Network::None } else { Network::Only(rules) }
}

fn capped(wanted: &Resources, cap: &Resources) -> Resources {
    fn least<T: PartialOrd>(wanted: Option<T>, cap: Option<T>) -> Option<T> {
        match (wanted, cap) {
            (Some(wanted), Some(cap)) => Some(if cap < wanted { cap } else { wanted }),
            (wanted, cap) => wanted.or(cap),
        }
    }
    Resources {
        cpu: least(wanted.cpu, cap.cpu),
        memory: least(wanted.memory, cap.memory),
        pids: least(wanted.pids, cap.pids),
        disk: least(wanted.disk, cap.disk),
    }
}

/// Images are fetched with the machine's credentials, from whatever server the name says: a stranger does not choose it.
fn known(image: &Template, forks: &Forks) -> Result<(), String> {
    let Some(name) = image.as_text() else {
        return Err("this run is not trusted: a step can not choose its image".to_owned());
    };
    let allowed = match (&forks.images, forks.pipeline) {
        (Some(patterns), _) => matches(patterns, &name),
        (None, Text::Base) => true,
        (None, Text::Head) => false,
    };
    if allowed { Ok(()) } else { Err(format!("this run is not trusted: the policy's forks.images does not list {name}")) }
}
