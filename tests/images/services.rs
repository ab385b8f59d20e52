//! What runs beside a step: on its own network, by name, and no longer than the step.

use std::time::Duration;

use tidegate::model::invocation::{InvocationResult, InvocationSpec};
use tidegate::model::outcome::{Exit, Outcome};
use tidegate::model::service::{Ready, Service};

use crate::builder::{Layer, Made, busybox, image};
use crate::registry::{Registry, World, registry, spec};

/// Serves its own name on every address at port 80.
const WEB: &str = "#!/bin/sh\nmkdir -p /www; echo \"I am $(hostname) of $WHO\" > /www/index.html; echo \"web begins\"; exec httpd -f -p 80 -h /www\n";

fn layer() -> Layer {
    let more = ["httpd", "wget", "nc", "kill", "ps", "printf", "seq", "tail", "cut", "false"];
    let base = more.iter().fold(busybox(), |layer, name| layer.link(&format!("bin/{name}"), "busybox"));
    base.folder("own").program("own/web", WEB)
}

fn running(program: &[&str]) -> Made {
    image(&[layer()]).with("Entrypoint", serde_json::json!(program))
}

pub fn service(name: &str, image: &str, ready: Option<Ready>) -> Service {
    Service { name: name.to_owned(), image: image.to_owned(), user: None, env: std::collections::BTreeMap::new(), ready }
}

struct Stage {
    registry: Registry,
    world: World,
}

impl Stage {
    fn new(test: &str) -> Option<Self> {
        Some(Self { registry: registry(test)?, world: World::new() })
    }

    /// The name of an image that runs this by itself.
    async fn image(&self, name: &str, program: &[&str]) -> String {
        self.registry.push(name, &running(program)).await;
        self.registry.name(name)
    }

    /// Runs it, and sees that nothing of it is left.
    async fn run(&self, spec: InvocationSpec) -> (InvocationResult, String) {
        let (result, log) = self.world.run(spec).await;
        assert_eq!(self.world.leftovers(), Vec::<std::path::PathBuf>::new());
        let own = log
            .lines()
            .filter(|line| !line.starts_with("[tidegate: pull") && !line.starts_with("[tidegate: layer") && !line.starts_with("[tidegate: 127."));
        (result, own.fold(String::new(), |text, line| text + line + "\n"))
    }

    fn log_of(&self, service: &str) -> String {
        std::fs::read_to_string(self.world.state.path().join(format!("log.{service}.log"))).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_step_reaches_its_services_by_name_and_they_one_another() {
    let Some(stage) = Stage::new("a_step_reaches_its_services_by_name_and_they_one_another") else { return };
    let web = stage.image("web:1", &["/own/web"]).await;
    let script = "wget -qO- http://one/; wget -qO- http://two/; hostname; cat /etc/hosts";
    let mut asked = spec(&web, script);
    let mut two = service("two", &web, Some(Ready::Command("wget -qO- http://one/ && wget -qO- http://two/".to_owned())));
    two.env.insert("WHO".to_owned(), "the file".to_owned());
    // On one port each: at its own name.
    let program = "#!/bin/sh\nmkdir -p /www; echo \"I am $(hostname) of $WHO\" > /www/index.html; exec httpd -f -p $(grep \" $(hostname)$\" /etc/hosts | cut -d\" \" -f1):80 -h /www\n";
    stage
        .registry
        .push("own:1", &image(&[layer(), Layer::default().folder("own").program("own/web", program)]).with("Cmd", serde_json::json!(["web"])))
        .await;
    let own = stage.registry.name("own:1");
    asked.services = vec![service("one", &own, Some(Ready::Port(80))), Service { image: own.clone(), ..two }];
    let (result, log) = stage.run(asked).await;
    let (rest, hosts) = log.split_once("tidegate\n").unwrap_or((&log, ""));
    assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
    assert_eq!(rest, "I am one of \nI am two of the file\n");
    assert_eq!(hosts, "127.0.0.1 localhost tidegate\n::1 localhost\n127.0.1.1 one\n127.0.1.2 two\n");
    let records = &result.record.services;
    assert_eq!(
        records.iter().map(|one| (one.name.as_str(), one.ready_us.is_some(), one.ended)).collect::<Vec<_>>(),
        [("one", true, None), ("two", true, None)]
    );
    assert_eq!(records[0].image.reference, own);
    assert!(result.record.isolation.iter().any(|held| held == "no-network"));
    // And without an image of its own, with the host's tools.
    let mut asked = InvocationSpec { image: None, ..spec(&web, "grep one /etc/hosts; getent hosts one || true") };
    asked.services = vec![service("one", &web, Some(Ready::Port(80)))];
    let (result, log) = stage.run(asked).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
    assert!(log.starts_with("127.0.1.1 one\n"), "{log}");
    assert_eq!(stage.log_of("one"), "web begins\n");
}
