//! A step that may reach certain hosts, as a person meets it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use tidegate::model::egress::Verdict;
use tidegate::model::fact::RunFact;

use crate::story::{entries, run_facts};
use crate::support::World;

/// A server on this machine that says the same to everybody, as long as the tests run.
fn server(says: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|length| length > 0) {
                head.push(byte[0]);
            }
            let _ = write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{says}", says.len());
        }
    });
    address
}

fn world(network: &str, script: &str) -> World {
    let script = script.replace('\n', "\n      ");
    World::with(&[("x.yaml", &format!("name: x\nsteps:\n  fetch:\n    network: {network}\n    run: |\n      {script}\n"))])
}

fn said(world: &World) -> String {
    world.tidegate(&["runs", "logs", "latest", "fetch"]).expect(0).out
}

#[test]
fn a_step_reaches_what_it_lists_and_the_rest_is_blocked_and_told() {
    let (listed, other) = (server("listed\n"), server("other\n"));
    let script = format!(
        "curl -sS --noproxy '' http://{listed}/
curl -sS --noproxy '' -p http://{listed}/
curl -sS --noproxy '' -x \"$ALL_PROXY\" http://{listed}/
curl -sS --noproxy '' -o /dev/null -w '%{{http_code}}\\n' http://{other}/
curl -sS --noproxy '' https://telemetry.example.com/ 2>&1 || true
curl -sS --noproxy '' https://telemetry.example.com/ 2>&1 || true
python3 -c \"
import urllib.request
try: urllib.request.urlopen('http://telemetry.example.com/')
except Exception as error: print(error.read().decode(), end='')
\""
    );
    let world = world(&format!("[\"{listed}\"]"), &script);
    let seen = world.tidegate(&["run", "x.yaml"]).expect(0);
    let said = said(&world);
    assert!(said.starts_with("listed\nlisted\nlisted\n403\ncurl: "), "{said}");
    assert!(said.contains("telemetry.example.com:80 is blocked by this step's `network`: not listed"), "{said}");
    for line in [format!("blocked: {other} ("), "blocked: telemetry.example.com:443 (not listed, 2 times)".to_owned()] {
        assert!(seen.all().contains(&line), "{}", seen.all());
        assert!(world.tidegate(&["runs", "show", "latest"]).expect(0).all().contains(&line));
    }
    let facts = run_facts(&entries(&world.tidegate(&["runs", "show", "latest", "--json"]).expect(0).out));
    let mut records = facts.into_iter().filter_map(|(_, fact)| if let RunFact::InvocationEnded { record, .. } = fact { record } else { None });
    let record = records.next().unwrap();
    assert!(record.isolation.iter().any(|name| name == "egress-proxy") && !record.isolation.iter().any(|name| name == "no-network"));
    let allowed = &record.egress.attempts[0];
    assert_eq!((allowed.verdict.clone(), allowed.count), (Verdict::Allowed, 3));
    assert!(allowed.sent > 0 && allowed.received >= 3 * 7 && allowed.addresses == [listed.ip()]);
    assert_eq!(record.egress.attempts.len(), 4, "{:?}", record.egress);
}

#[test]
fn a_list_with_a_mistake_in_it_is_refused_with_its_place() {
    let world = world("[\"crates.io\", \"http://example.com\"]", "true");
    world.tidegate(&["run", "x.yaml"]).expect(2).says("x.yaml:4:28").says("write only host or host:port");
}

#[test]
fn learning_says_what_to_write() {
    let server = server("public, but for its address\n");
    let world = world("learn", &format!("curl -sS --noproxy '' http://{server}/ || true\ncurl -sS http://name.that.is.not.there.invalid/ || true"));
    let seen = world.tidegate(&["run", "x.yaml"]).expect(0);
    let summary = seen.out.replace(&server.to_string(), "SERVER");
    let network: Vec<&str> = summary.lines().skip_while(|line| line.trim() != "Network").take(4).collect();
    insta::assert_snapshot!(network.join("\n"));
    world.tidegate(&["check", "x.yaml"]).expect(1).says("learning-network");
}
