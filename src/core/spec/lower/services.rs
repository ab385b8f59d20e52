//! What runs beside a step.

use super::super::pipeline::ServiceSource;
use super::super::places::Part;
use super::super::problems::Problems;
use super::cursor::Cursor;
use super::scope::Scope;
use super::texts;
use crate::model::limits::Network;
use crate::model::service::{MAX_SERVICES, Ready};

/// Names of hosts that mean something else already.
const TAKEN: [&str; 2] = ["localhost", "tidegate"];

pub(super) fn services(cursor: &Cursor<'_>, scope: &Scope<'_>, problems: &mut Problems<'_>) -> Vec<ServiceSource> {
    let mut services = Vec::new();
    let Some(all) = cursor.key("services") else { return services };
    for (name, service) in all.entries() {
        if TAKEN.iter().any(|taken| name.eq_ignore_ascii_case(taken)) {
            let message = format!("no service can be called {name:?}: the step's own machine is");
            problems.error("invalid-value", &all.route.key(&name), Part::Key, message, "expected another name");
        }
        let image = service.key("image").map(|image| texts::template(&image, scope, problems)).unwrap_or_default();
        let env = texts::env(service.key("env").as_ref(), scope, problems);
        let ready = service.text_at("ready").map(|text| Ready::parse(&text));
        services.push(ServiceSource { name, image, user: service.text_at("user"), env, ready });
    }
    if services.len() > MAX_SERVICES {
        let message = format!("{} services are more than the {MAX_SERVICES} that one step may have", services.len());
        problems.error("invalid-value", &all.route, Part::Key, message, "expected fewer services");
    }
    services
}

/// A step with services has a network that it shares with them. It is not the machine's.
pub(super) fn have_a_network_of_their_own(cursor: &Cursor<'_>, network: &Network, problems: &mut Problems<'_>) {
    if let Some(at) = cursor.key("services").filter(|_| *network == Network::Open) {
        let message = "a step with services can not have `network: open`: it has a network of its own, with its services";
        problems.error("conflicting-keys", &at.route, Part::Key, message, "reached on a private network");
        problems.hint("list what the step reaches besides its services: `network: [\"packages.example.com\"]`, or try `network: learn`");
    }
}
