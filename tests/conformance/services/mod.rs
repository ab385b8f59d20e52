//! What runs beside a step, in everything that runs it: on its own network, by name, and no longer than the step.

mod apart;
mod databases;
mod ends;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use serde_json::json;
use tidegate::adapters::executor::AnyExecutor;
use tidegate::adapters::image::Images;
use tidegate::adapters::sandbox;
use tidegate::adapters::workspace::Store;
use tidegate::model::invocation::{InvocationResult, InvocationSpec};
use tidegate::model::limits::Network;
use tidegate::model::outcome::{Exit, Outcome};
use tidegate::model::service::{Ready, Service};

use crate::engines;
use crate::executor::{Scene, every_executor, spec};
use crate::image::{archive, is_possible, layer};

/// Says at port 80, on every address, who it is.
const WEB: &str = "mkdir -p /tmp/www; echo \"I am $WHO\" > /tmp/www/index.html; echo web begins; exec httpd -f -p 80 -h /tmp/www";

/// Everything in which services can stand.
pub fn stages() -> Vec<Scene> {
    if !is_possible() {
        return Vec::new();
    }
    every_executor().into_iter().filter(|scene| scene.name != "unisolated").collect()
}

pub fn service(name: &str, image: &str, ready: Option<Ready>) -> Service {
    Service { name: name.to_owned(), image: image.to_owned(), user: None, env: BTreeMap::from([("WHO".to_owned(), name.to_owned())]), ready }
}

impl Scene {
    pub fn is_engine(&self) -> bool {
        matches!(self.executor.executor, AnyExecutor::Container(_))
    }

    /// An image of busybox that does this by itself.
    pub fn shell(&self, name: &str, script: &str) -> String {
        self.made(name, &layer(), &json!({"Env": ["PATH=/bin"], "User": "1000:1000", "Entrypoint": ["/bin/sh", "-c", script]}))
    }

    /// An image of these contents, where this executor looks for it.
    pub fn made(&self, name: &str, layer: &[u8], config: &serde_json::Value) -> String {
        let name = format!("tidegate-test-{name}");
        match &self.executor.executor {
            AnyExecutor::Container(executor) => {
                let full = if executor.engine().name.starts_with("Podman") { format!("docker.io/library/{name}") } else { name.clone() };
                let mut file = tempfile::NamedTempFile::new().unwrap();
                file.write_all(&archive(Some(&full), layer, config)).unwrap();
                engines::lines(executor.engine(), &["load", "--input", &file.path().to_string_lossy()]);
            }
            _ => {
                let store = Store::open(self.state.path(), sandbox::outer_uid()).unwrap();
                let images = Images::open(self.state.path(), store, sandbox::outer_uid()).unwrap();
                images.import(&archive(None, layer, config)[..], Some(&name)).unwrap();
            }
        }
        name
    }

    pub fn log_of(&self, service: &str) -> String {
        std::fs::read_to_string(self.state.path().join(format!("log.{service}.log"))).unwrap_or_default()
    }

    /// Runs it, and sees that nothing of it is left; in an engine neither.
    pub async fn stand(&self, spec: InvocationSpec) -> (InvocationResult, String) {
        let (result, log) = self.run(spec).await;
        assert_eq!(self.leftovers(), [""; 0]);
        assert_eq!(self.objects(), [""; 0], "{}", self.name);
        (result, log)
    }

    /// What this state folder has in its engine.
    pub fn objects(&self) -> Vec<String> {
        let AnyExecutor::Container(executor) = &self.executor.executor else { return Vec::new() };
        let mark = self.state.path().to_string_lossy().into_owned();
        let all = engines::objects(executor.engine());
        let has = |name: &String| String::from_utf8_lossy(&engines::docker(executor.engine(), &["inspect", name]).stdout).contains(&mark);
        all.into_iter().filter(has).collect()
    }
}

pub fn infrastructure(result: &InvocationResult) -> &str {
    match &result.outcome {
        Outcome::Infrastructure { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_step_reaches_its_services_by_name_and_they_one_another() {
    for scene in stages() {
        let web = scene.shell("web:1", WEB);
        // On one port each: at its own name.
        let own = scene.shell("own:1", &WEB.replace("-p 80", "-p $(grep \" $WHO$\" /etc/hosts | cut -d' ' -f1):80"));
        let both = Ready::Command("wget -qO- http://one/ && wget -qO- http://two/".to_owned());
        let mut asked = spec("wget -qO- http://one/; wget -qO- http://two/; cat /etc/hosts");
        if scene.name == "sandbox" {
            // This machine may have no wget.
            "cat /etc/hosts".clone_into(&mut asked.script);
        }
        asked.env.insert("SECRET".to_owned(), "of the step".to_owned());
        asked.services = vec![service("one", &own, Some(Ready::Port(80))), service("two", &own, Some(both))];
        let (result, log) = scene.stand(asked).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}", scene.name);
        let said = if scene.name == "sandbox" { "" } else { "I am one\nI am two\n" };
        assert_eq!(log, format!("{said}127.0.0.1 localhost tidegate\n::1 localhost\n127.0.1.1 one\n127.0.1.2 two\n"));
        let records = &result.record.services;
        let seen: Vec<_> = records.iter().map(|one| (one.name.as_str(), one.ready_us.is_some(), one.ended, one.log_bytes)).collect();
        assert_eq!(seen, [("one", true, None, 11), ("two", true, None, 11)], "{}", scene.name);
        assert_eq!(records[0].image.reference, format!("docker.io/library/{own}"));
        assert!(result.record.started && result.record.isolation.iter().any(|held| held == "no-network"));
        assert_eq!(scene.log_of("one"), "web begins\n");

        // One on every address is reached as localhost too, and a step that asks for the machine's network does not get it with services.
        let script = if scene.name == "sandbox" { "exit 0" } else { "wget -qO- http://localhost/; ip link | grep -c ': '" };
        let mut asked = InvocationSpec { network: Network::Open, ..spec(script) };
        asked.services = vec![service("web", &web, Some(Ready::Port(80)))];
        let (result, log) = scene.stand(asked).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}", scene.name);
        assert_eq!(log, if scene.name == "sandbox" { "" } else { "I am web\n1\n" }, "{}", scene.name);
    }
}

#[tokio::test]
async fn a_service_has_its_own_environment_user_and_folder_and_no_more_rights_than_a_step() {
    for scene in stages() {
        let says = "id -u; env | grep -vE '^(HOSTNAME|SHLVL|PWD|OLDPWD|TERM|container)=' | sort; \
            grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'; touch /tmp/said; exec sleep 1000";
        let config = json!({"Env": ["PATH=/bin", "OF=the image"], "User": "77", "Cmd": ["/bin/sh", "-c", says], "WorkingDir": "/var/own"});
        let image = scene.made("user:1", &layer(), &config);
        let ready = Ready::Command(
            "test -e /tmp/said && test $(id -u) = 78 && test \"$WHO\" = db && pwd > /tmp/pwd && test ! -e /run/tidegate/script".to_owned(),
        );
        let mut db = service("db", &image, Some(ready));
        db.user = Some("78".to_owned());
        let mut asked = spec("true");
        asked.env.insert("SECRET".to_owned(), "of the step".to_owned());
        asked.services = vec![db];
        let (result, log) = scene.stand(asked).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log} {}", scene.name, scene.log_of("db"));
        let said = scene.log_of("db");
        let none = "0000000000000000";
        for expected in ["78\n", "OF=the image\n", "WHO=db\n", &format!("CapEff:{none}\n"), &format!("CapBnd:{none}\n"), "NoNewPrivs:1\nSeccomp:2\n"]
        {
            assert!(said.contains(expected), "{}: {expected} {said}", scene.name);
        }
        assert!(!said.contains("SECRET") && !said.contains("TIDEGATE"), "{said}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_named_with_why_and_what_it_said() {
    for scene in stages() {
        let idle = scene.shell("idle:1", "echo warming up; sleep 1000");
        let full = format!("docker.io/library/{idle}");
        let short = |services: Vec<Service>| InvocationSpec { timeout: Duration::from_secs(4), services, ..spec("echo never") };
        let (result, log) = scene.stand(short(vec![service("slow", &idle, Some(Ready::Port(5432)))])).await;
        let reason = infrastructure(&result);
        assert!(reason.starts_with(&format!("the service slow ({full}) was not ready after ")), "{}: {reason}", scene.name);
        assert!(
            reason.contains("nobody answers on port 5432 of 127.0.1.1 (let it listen on 0.0.0.0")
                && reason.ends_with("its log ends with: warming up"),
            "{reason}"
        );
        assert!(log.contains("[tidegate: the service slow ") && !log.contains("never"), "{log}");
        assert!(!result.record.started && result.record.services[0].ready_us.is_none());
        let (result, _) = scene.stand(short(vec![service("slow", &idle, Some(Ready::Command("false".to_owned())))])).await;
        assert!(infrastructure(&result).contains("`false` has not succeeded"), "{}: {result:?}", scene.name);

        let dead = scene.shell("dead:1", "echo no data folder; exit 3");
        let (result, _) = scene.stand(short(vec![service("db", &dead, Some(Ready::Port(1)))])).await;
        assert_eq!(infrastructure(&result), "the service db had ended before it was ready: it exited with 3; its log ends with: no data folder");
        assert_eq!(result.record.services[0].ended, Some(Exit::Code(3)));
        let missing = scene.made("missing:1", &layer(), &json!({"Entrypoint": ["/no/such"]}));
        let (result, _) = scene.stand(short(vec![service("db", &missing, None)])).await;
        assert!(infrastructure(&result).starts_with("the service db could not begin: /no/such can not be started"), "{}: {result:?}", scene.name);
        let empty = scene.made("empty-of:1", &layer(), &json!({"Env": ["PATH=/bin"]}));
        let (result, _) = scene.stand(short(vec![service("db", &empty, None)])).await;
        let nothing = "has neither an entry point nor a command, so there is nothing to run";
        assert_eq!(infrastructure(&result), format!("the service db could not be begun: docker.io/library/{empty} {nothing}"));
        let mut other = service("db", &idle, None);
        other.user = Some("nobody-here".to_owned());
        let (result, _) = scene.stand(short(vec![other])).await;
        assert_eq!(infrastructure(&result), format!("{full} can not be used: \"nobody-here\" is not in its /etc/passwd"), "{}", scene.name);
        let (result, _) = scene.stand(short(vec![service("db", "tidegate-test-absent:1", None)])).await;
        assert!(!scene.is_engine() || infrastructure(&result).contains("tidegate-test-absent:1"), "{}: {result:?}", scene.name);
    }
}

#[tokio::test]
async fn a_service_that_dies_while_the_step_runs_is_said_and_recorded() {
    for scene in stages() {
        let fragile = scene.shell("fragile:1", "echo up; sleep 1; echo out of ideas; exit 7");
        let asked = InvocationSpec { services: vec![service("db", &fragile, None)], ..spec("sleep 3; exit 4") };
        let (result, log) = scene.stand(asked).await;
        let Outcome::Failed { exit: Exit::Code(4), reason } = &result.outcome else { panic!("{}: {:?} {log}", scene.name, result.outcome) };
        let end = "the service db had ended before the step did: it exited with 7; its log ends with: up | out of ideas";
        assert_eq!(reason, &format!("exited with 4; {end}"));
        assert!(log.contains(&format!("[tidegate: {end}]\n")), "{log}");
        assert_eq!((result.record.services[0].ended, scene.log_of("db").as_str()), (Some(Exit::Code(7)), "up\nout of ideas\n"));
        // One that has done all that it had to do is nobody's trouble.
        let seed = scene.shell("seed:1", "echo seeded");
        let (result, _) = scene.stand(InvocationSpec { services: vec![service("seed", &seed, None)], ..spec("sleep 1") }).await;
        assert_eq!(result.outcome, Outcome::Succeeded);
        assert_eq!((result.record.services[0].ended, scene.log_of("seed").as_str()), (Some(Exit::Code(0)), "seeded\n"));
    }
}

#[tokio::test]
async fn what_a_service_says_is_bounded_and_what_it_writes_counts() {
    for scene in stages() {
        let loud = scene.shell("loud:1", "seq 1 100000; touch /tmp/said; sleep 1000");
        let mut asked = spec("true");
        asked.services = vec![service("loud", &loud, Some(Ready::Command("test -e /tmp/said".to_owned())))];
        let mut short = asked.clone();
        short.limits.log = 1000;
        let (result, _) = scene.stand(short).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}", scene.name);
        let record = &result.record.services[0];
        assert_eq!((record.log_bytes, record.log_bytes + record.log_dropped_bytes), (1000, 588_895), "{}", scene.name);
        std::fs::remove_file(scene.state.path().join("log.loud.log")).unwrap();
        let (result, _) = scene.stand(asked).await;
        assert_eq!(result.record.services[0].log_bytes, 588_895, "{}: to the last byte", scene.name);
        let all: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
        assert!(scene.log_of("loud") == all, "{}: and in order", scene.name);

        let script = "n=0; while :; do n=$((n + 1)); head -c 5000000 /dev/zero > $HERE/big$n; done";
        let greedy =
            scene.made("greedy:1", &layer(), &json!({"Env": ["PATH=/bin", "HERE=/bin"], "User": "0", "Entrypoint": ["/bin/sh", "-c", script]}));
        let volume = json!({"Env": ["PATH=/bin", "HERE=/data"], "User": "0", "Entrypoint": ["/bin/sh", "-c", format!("mkdir -p /data; {script}")], "Volumes": {"/data": {}}});
        let volume = scene.made("volume:1", &layer(), &volume);
        for image in [greedy, volume] {
            let mut asked = spec("sleep 1000");
            asked.services = vec![service("greedy", &image, None)];
            asked.resources.disk = Some(20 << 20);
            let (result, _) = scene.stand(asked).await;
            assert!(
                matches!(&result.outcome, Outcome::Failed { reason, .. } if reason.contains("its limit of 20 MiB")),
                "{}: {result:?}",
                scene.name
            );
        }
    }
}

#[tokio::test]
async fn a_step_with_services_reaches_what_it_lists_and_its_services_without_the_proxy() {
    use std::io::Read as _;
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\nlisted!\n");
        }
    });
    for scene in stages().into_iter().filter(|scene| scene.name != "sandbox") {
        let web = scene.shell("web:1", WEB);
        let script = format!(
            "wget -qO- http://{address}/; wget -qY off -O- http://web/; wget -qY off -O- http://{address}/ 2>/dev/null || echo closed; echo $NO_PROXY"
        );
        let mut asked = spec(&script);
        asked.network = Network::Only(vec![address.parse().unwrap()]);
        asked.services = vec![service("web", &web, Some(Ready::Port(80)))];
        let (result, log) = scene.stand(asked).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}", scene.name);
        assert_eq!(log, "listed!\nI am web\nclosed\nlocalhost,127.0.0.1,::1,web\n", "{}", scene.name);
        assert_eq!(result.record.egress.attempts.len(), 1, "{:?}", result.record.egress);
    }
}
