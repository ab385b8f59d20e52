//! What a service may not: the step's files and processes, the world outside, a neighbour's network. And what nobody may of it.

use std::time::Duration;

use tidegate::model::id::{InvocationId, NodeId};
use tidegate::model::invocation::InvocationSpec;
use tidegate::model::outcome::Outcome;
use tidegate::model::service::Ready;

use super::{WEB, service, stages};
use crate::executor::spec;

/// What it tries against the step, and against everybody else.
const ATTACK: &str = "kill -9 1; ls /workspace /run/tidegate; cat /run/tidegate/script /proc/*/environ | tr '\\0' '\\n' | grep SECRET; \
    ps -o args | grep -c 'step-of-this'; until wget -qO- http://127.0.1.1/; do sleep 0.05; done; \
    nc -w 1 1.1.1.1 53 </dev/null && echo out; nc -w 1 169.254.169.254 80 </dev/null && echo metadata; ip route; \
    for at in /run/docker.sock /var/run/docker.sock; do test ! -e $at || echo sees $at; done; mount -t tmpfs none /tmp && echo mounted; \
    echo changed > /etc/hosts && echo hosts; echo done";

#[tokio::test]
async fn a_service_has_no_hold_on_the_step_and_no_way_out() {
    for scene in stages() {
        let web = scene.shell("web:1", WEB);
        // Who is killed by its own signal begins again.
        let hostile = scene.shell("hostile:1", &format!("sh -c '{}' 2>/dev/null; touch /tmp/done; sleep 1000", ATTACK.replace('\'', "'\\''")));
        let mut asked = spec("echo files > here; : step-of-this; sleep 2; cat here; echo alive");
        asked.env.insert("SECRET".to_owned(), "SECRET of the step".to_owned());
        asked.services =
            vec![service("web", &web, Some(Ready::Port(80))), service("hostile", &hostile, Some(Ready::Command("test -e /tmp/done".to_owned())))];
        let (result, log) = scene.stand(asked).await;
        let said = scene.log_of("hostile");
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log} {said}", scene.name);
        assert_eq!(log, "files\nalive\n", "{}", scene.name);
        assert!(said.ends_with("I am web\ndone\n"), "{}: {said}", scene.name);
        for wrong in ["here", "SECRET", "out\n", "metadata", "mounted", "hosts", "sees", "default", "script"] {
            assert!(!said.contains(wrong), "{}: {wrong} {said}", scene.name);
        }
    }
}

/// By address and by name, from a step of the same run and from one of another, from their services, and from this machine.
#[tokio::test]
async fn a_neighbours_service_is_reached_by_nobody() {
    let scenes = stages();
    for scene in &scenes {
        let web = scene.shell("web:1", WEB);
        let mut held = InvocationSpec {
            services: vec![service("web", &web, Some(Ready::Port(80)))],
            timeout: Duration::from_secs(120),
            grace: Duration::from_millis(10),
            ..spec("touch /tmp/up; echo up; exec sleep 1000")
        };
        held.attempt = 7;
        held.id = InvocationId::of(&held.run, &held.node, 7);
        let log = crate::executor::Log::default();
        let (cancel, cancelled) = tokio::sync::watch::channel(false);
        let file = scene.state.path().join("held");
        let attack = async {
            log.says("up").await;
            for neighbour in &scenes {
                let look =
                    "for at in 127.0.1.1 127.0.0.1 web tidegate localhost; do wget -qO- http://$at/ 2>&1 | grep 'I am' || true; done; echo looked";
                let idle = neighbour.shell("looks:1", &format!("{look}; touch /tmp/done; sleep 1000"));
                let node = NodeId::new("other");
                let mut other = InvocationSpec { id: InvocationId::of(&held.run, &node, 1), node, ..spec(look) };
                if neighbour.name == "sandbox" {
                    // With this machine's tools.
                    other.script = "for at in 127.0.1.1 127.0.0.1 web; do python3 -c \"import socket; socket.create_connection(('$at', 80), 2); print('I am in')\" 2>/dev/null || true; done; echo looked".to_owned();
                }
                let with_its_own =
                    InvocationSpec { services: vec![service("idle", &idle, Some(Ready::Command("test -e /tmp/done".to_owned())))], ..other.clone() };
                for asked in [other, with_its_own] {
                    let (result, said) = neighbour.run(asked).await;
                    assert_eq!((result.outcome, said.as_str()), (Outcome::Succeeded, "looked\n"), "{} of {}", neighbour.name, scene.name);
                }
                assert_eq!(neighbour.log_of("idle"), "looked\n", "{} of {}", neighbour.name, scene.name);
                std::fs::remove_file(neighbour.state.path().join("log.idle.log")).unwrap();
            }
            assert!(std::net::TcpStream::connect_timeout(&"127.0.1.1:80".parse().unwrap(), Duration::from_secs(1)).is_err());
            cancel.send(true).unwrap();
        };
        let (result, ()) =
            tokio::join!(tidegate::adapters::executor::Executor::invoke(&scene.executor, held.clone(), &file, log.watched(cancelled)), attack);
        assert!(matches!(result.outcome, Outcome::Cancelled { .. }), "{}: {result:?}", scene.name);
        tidegate::adapters::executor::Executor::forget(&scene.executor, &held.run, &held.node, 7);
        assert_eq!(scene.objects(), [""; 0]);
    }
}
