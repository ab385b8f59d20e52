//! What runs beside a step: on its own network, by name, and no longer than the step.

mod command;
mod databases;
mod ends;

use std::path::PathBuf;
use std::time::Duration;

use tidegate::adapters::executor::{Executor as _, Watcher};
use tidegate::model::id::{InvocationId, NodeId};
use tidegate::model::invocation::{InvocationResult, InvocationSpec};
use tidegate::model::outcome::{Exit, Outcome};
use tidegate::model::service::{Ready, Service};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::builder::{Layer, Made, busybox, image};
use crate::registry::{Log, Registry, World, registry, spec};

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

pub struct Stage {
    pub registry: Registry,
    pub world: World,
}

impl Stage {
    pub fn new(test: &str) -> Option<Self> {
        Some(Self { registry: registry(test)?, world: World::new() })
    }

    /// The name of an image that runs this by itself.
    pub async fn image(&self, name: &str, program: &[&str]) -> String {
        self.registry.push(name, &running(program)).await;
        self.registry.name(name)
    }

    /// Runs it, and sees that nothing of it is left.
    pub async fn run(&self, spec: InvocationSpec) -> (InvocationResult, String) {
        let (result, log) = self.world.run(spec).await;
        assert_eq!(self.world.leftovers(), Vec::<std::path::PathBuf>::new());
        let own = log
            .lines()
            .filter(|line| !line.starts_with("[tidegate: pull") && !line.starts_with("[tidegate: layer") && !line.starts_with("[tidegate: 127."));
        (result, own.fold(String::new(), |text, line| text + line + "\n"))
    }

    pub fn log_of(&self, service: &str) -> String {
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

fn infrastructure(result: &InvocationResult) -> &str {
    match &result.outcome {
        Outcome::Infrastructure { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_named_with_why_and_what_it_said() {
    let Some(stage) = Stage::new("a_service_that_is_not_ready_is_named_with_why_and_what_it_said") else { return };
    let idle = stage.image("idle:1", &["/bin/sh", "-c", "echo warming up; sleep 1000"]).await;
    let short = |services: Vec<Service>| InvocationSpec { timeout: Duration::from_secs(2), services, ..spec(&idle, "echo never") };
    let (result, log) = stage.run(short(vec![service("slow", &idle, Some(Ready::Port(5432)))])).await;
    let reason = infrastructure(&result);
    assert!(reason.starts_with(&format!("the service slow ({idle}) was not ready after ")), "{reason}");
    assert!(
        reason.contains("nobody answers on port 5432 of 127.0.1.1 (let it listen on 0.0.0.0") && reason.ends_with("its log ends with: warming up"),
        "{reason}"
    );
    assert!(log.contains("[tidegate: the service slow ") && !log.contains("never"), "{log}");
    assert!(!result.record.started && result.record.services[0].ready_us.is_none());
    let (result, _) = stage.run(short(vec![service("slow", &idle, Some(Ready::Command("false".to_owned())))])).await;
    assert!(infrastructure(&result).contains("`false` has not succeeded"), "{result:?}");

    let dead = stage.image("dead:1", &["/bin/sh", "-c", "echo no data folder; exit 3"]).await;
    let (result, _) = stage.run(short(vec![service("db", &dead, Some(Ready::Port(1)))])).await;
    assert_eq!(infrastructure(&result), "the service db had ended before it was ready: it exited with 3; its log ends with: no data folder");
    assert_eq!(result.record.services[0].ended, Some(Exit::Code(3)));
    let missing = stage.image("missing:1", &["/no/such"]).await;
    let (result, _) = stage.run(short(vec![service("db", &missing, None)])).await;
    assert!(infrastructure(&result).starts_with("the service db could not begin: /no/such can not be started"), "{result:?}");
    let empty = stage.image("empty:1", &[]).await;
    let (result, _) = stage.run(short(vec![service("db", &empty, None)])).await;
    assert!(infrastructure(&result).ends_with("empty:1 has neither an entry point nor a command, so there is nothing to run"), "{result:?}");
    let mut other = service("db", &idle, None);
    other.user = Some("nobody-here".to_owned());
    let (result, _) = stage.run(short(vec![other])).await;
    assert!(infrastructure(&result).contains("\"nobody-here\" is not in its /etc/passwd"), "{result:?}");
}

#[tokio::test]
async fn a_service_that_dies_while_the_step_runs_is_said_and_recorded() {
    let Some(stage) = Stage::new("a_service_that_dies_while_the_step_runs_is_said_and_recorded") else { return };
    // It dies when the first one has asked it.
    let program = "echo up; nc -l -p 80 </dev/null; echo out of ideas; exit 7";
    let fragile = stage.image("fragile:1", &["/bin/sh", "-c", program]).await;
    let asks = "until nc db 80 </dev/null 2>/dev/null; do sleep 0.05; done; sleep 0.5; exit 4";
    let asked = InvocationSpec { services: vec![service("db", &fragile, None)], ..spec(&fragile, asks) };
    let (result, log) = stage.run(asked).await;
    let Outcome::Failed { exit: Exit::Code(4), reason } = &result.outcome else { panic!("{:?} {log}", result.outcome) };
    assert_eq!(reason, "exited with 4; the service db had ended before the step did: it exited with 7; its log ends with: up | out of ideas");
    assert!(
        log.contains("[tidegate: the service db had ended before the step did: it exited with 7; its log ends with: up | out of ideas]\n"),
        "{log}"
    );
    assert_eq!(result.record.services[0].ended, Some(Exit::Code(7)));
    assert_eq!(stage.log_of("db"), "up\nout of ideas\n");
}

#[tokio::test]
async fn what_a_service_says_is_bounded_and_what_it_writes_counts() {
    let Some(stage) = Stage::new("what_a_service_says_is_bounded_and_what_it_writes_counts") else { return };
    let loud = stage.image("loud:1", &["/bin/sh", "-c", "seq 1 100000; touch /said; sleep 1000"]).await;
    let mut asked = spec(&loud, "true");
    asked.services = vec![service("loud", &loud, Some(Ready::Command("test -e /said".to_owned())))];
    asked.limits.log = 1000;
    let (result, _) = stage.run(asked).await;
    assert_eq!(result.outcome, Outcome::Succeeded);
    let record = &result.record.services[0];
    assert_eq!((record.log_bytes, record.log_bytes + record.log_dropped_bytes), (1000, 588_895));
    let greedy = stage.image("greedy:1", &["/bin/sh", "-c", "n=0; while :; do n=$((n + 1)); head -c 5000000 /dev/zero > /big$n; done"]).await;
    let mut asked = spec(&loud, "sleep 1000");
    asked.services = vec![service("greedy", &greedy, None)];
    asked.resources.disk = Some(20 << 20);
    let (result, _) = stage.run(asked).await;
    assert!(matches!(&result.outcome, Outcome::Failed { reason, .. } if reason.contains("its limit of 20 MiB")), "{result:?}");
}

#[tokio::test]
async fn a_service_is_nobody_elses_and_has_no_hold_on_the_step() {
    let Some(stage) = Stage::new("a_service_is_nobody_elses_and_has_no_hold_on_the_step") else { return };
    let web = stage.image("web:1", &["/own/web"]).await;
    // What it tries against the step, and against everybody else.
    let attack = "id -u; kill -9 1; ls /workspace; ls /run/tidegate; cat /proc/1/environ >/dev/null && echo environ; ps | grep -v 'ps$' | wc -l; \
        until wget -qO- http://127.0.1.1/; do sleep 0.05; done; nc -w 1 1.1.1.1 53 </dev/null && echo out; mount -t tmpfs none /tmp && echo mounted; echo done";
    let hostile = stage.image("hostile:1", &["/bin/sh", "-c", &format!("({attack}) 2>/dev/null; touch /done; sleep 1000")]).await;
    let mut asked =
        spec(&web, "echo secret > here; sleep 0.3; wget -qO- http://web/; until wget -qO- http://web/ >/dev/null; do :; done; echo alive");
    asked.services =
        vec![service("web", &web, Some(Ready::Port(80))), service("hostile", &hostile, Some(Ready::Command("test -e /done".to_owned())))];
    let (result, log) = stage.run(asked).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{log} {}", stage.log_of("hostile"));
    assert_eq!(log, "I am web of \nalive\n");
    let said = stage.log_of("hostile");
    assert!(said.contains("I am web of") && said.ends_with("done\n"), "{said}");
    assert!(!said.contains("here") && !said.contains("environ") && !said.contains("out\n") && !said.contains("mounted"), "{said}");

    // The neighbour's, while it runs; and from this machine.
    let held = InvocationSpec {
        services: vec![service("web", &web, Some(Ready::Port(80)))],
        ..spec(&web, "echo up; until test -e stop; do sleep 0.05; wget -qO /dev/null http://web/ || exit 9; done")
    };
    let node = NodeId::new("other");
    let other = InvocationSpec {
        id: InvocationId::of(&held.run, &node, 1),
        node,
        ..spec(&web, "for at in 127.0.1.1 127.0.0.1; do wget -qO- http://$at/ 2>&1 || true; done")
    };
    let with_its_own = InvocationSpec { services: vec![service("idle", &hostile, None)], ..other.clone() };
    let held = InvocationSpec { timeout: Duration::from_secs(20), grace: Duration::from_millis(10), ..held };
    let first = start(&stage.world, held, "first");
    first.has_said("up").await;
    for neighbour in [other, with_its_own] {
        let (result, log) = stage.world.run(neighbour).await;
        assert_eq!(result.outcome, Outcome::Succeeded);
        let refused = log.lines().filter(|line| line.contains("can't connect") && line.contains("Connection refused")).count();
        assert_eq!((refused, log.contains("I am")), (2, false), "{log}");
    }
    assert!(std::net::TcpStream::connect_timeout(&"127.0.1.1:80".parse().unwrap(), Duration::from_secs(1)).is_err());
    let result = first.stop().await;
    assert!(matches!(result.outcome, Outcome::Cancelled { .. }), "{result:?}");
}

/// One that goes on by itself.
pub struct Started {
    log: PathBuf,
    cancel: watch::Sender<bool>,
    pub task: JoinHandle<InvocationResult>,
}

pub fn start(world: &World, spec: InvocationSpec, name: &str) -> Started {
    let log = world.state.path().join(name);
    let (cancel, cancelled) = watch::channel(false);
    let (executor, to) = (world.executor.clone(), log.clone());
    let watcher = Watcher { log: Box::new(Log::default()), cancel: cancelled };
    let task = tokio::spawn(async move {
        let (run, node) = (spec.run.clone(), spec.node.clone());
        let result = executor.invoke(spec, &to, watcher).await;
        executor.forget(&run, &node, 1);
        result
    });
    Started { log, cancel, task }
}

impl Started {
    pub async fn has_said(&self, text: &str) {
        while !std::fs::read_to_string(&self.log).unwrap_or_default().lines().any(|line| line == text) {
            assert!(!self.task.is_finished(), "{}", std::fs::read_to_string(&self.log).unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn stop(self) -> InvocationResult {
        self.cancel.send(true).unwrap();
        self.task.await.unwrap()
    }
}

#[tokio::test]
async fn a_step_with_services_reaches_what_it_lists_and_its_services_without_the_proxy() {
    use std::io::{Read as _, Write as _};
    let Some(stage) = Stage::new("a_step_with_services_reaches_what_it_lists_and_its_services_without_the_proxy") else { return };
    let web = stage.image("web:1", &["/own/web"]).await;
    // On this machine's own loopback: what the private network must not lead to, and the proxy does.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\nlisted!\n");
        }
    });
    let script = format!(
        "wget -qO- http://{address}/; wget -qY off -O- http://web/; wget -qY off -O- http://{address}/ 2>/dev/null || echo closed; echo $NO_PROXY"
    );
    let mut asked = spec(&web, &script);
    asked.network = tidegate::model::limits::Network::Only(vec![address.parse().unwrap()]);
    asked.services = vec![service("web", &web, Some(Ready::Port(80)))];
    let (result, log) = stage.run(asked).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
    assert_eq!(log, "listed!\nI am web of \nclosed\nlocalhost,127.0.0.1,::1,web\n");
    assert_eq!(result.record.egress.attempts.len(), 1, "{:?}", result.record.egress);
}
