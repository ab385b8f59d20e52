//! The one that starts takes the place of the one that serves.

use std::time::Duration;

use rustix::process::Signal;
use tidegate::adapters::provider::Provider as _;
use tidegate::adapters::provider::local::Local;
use tidegate::model::traffic::{Destination, TrafficSplit};

use crate::clients::{Became, Clients, ask, wrong};
use crate::packages::{function, options, zip_fixture};
use crate::process::Place;

#[tokio::test(flavor = "multi_thread")]
async fn ten_handovers_turn_nobody_away_and_lose_nobody() {
    let place = Place::new();
    let mut serving = place.serve();
    let local = Local::connect(&place.state(), &options()).await.unwrap();
    let (zip, digest) = zip_fixture(&place.state(), "hello-python");
    let release = local.publish(&function("hello"), &zip, &digest).await.unwrap();
    local.shift("hello", &TrafficSplit::all(Destination::Release(release.id.clone())), 0).await.unwrap();
    drop(local);
    let clients = Clients::start(&[(place.server, "/healthz"), (place.gateway, "/hello/")]);
    for round in 1..=10 {
        let next = place.serve();
        assert_eq!(serving.wait(), Some(0), "round {round}: the one before has left in peace");
        assert_eq!(ask(place.server, "/readyz", Duration::ZERO), Became::Answered(200), "round {round}");
        serving = next;
    }
    let became = clients.end();
    println!("{} requests over 10 handovers", became.len());
    assert_eq!(wrong(&became), Vec::<&Became>::new(), "of {}", became.len());
    assert!(became.len() > 100, "{} requests are no stream", became.len());
    assert_eq!(serving.end(Signal::TERM), Some(0));
    assert!(matches!(ask(place.server, "/healthz", Duration::ZERO), Became::Refused(_)), "when nobody follows, the port is closed");
}

#[test]
fn while_requests_under_way_are_answered_it_says_that_it_is_not_ready() {
    use std::io::{Read as _, Write as _};
    let place = Place::new();
    let serving = place.serve();
    // One that keeps its connection, and has asked twice on it.
    let mut kept = std::net::TcpStream::connect(place.server).unwrap();
    let mut asks = |path: &str| {
        kept.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut bytes = [0; 4096];
        let read = kept.read(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    };
    assert!(asks("/readyz").starts_with("HTTP/1.1 200"));
    // One that has connected before the end, and is only heard after it.
    let mut late = std::net::TcpStream::connect(place.server).unwrap();
    let mut later = std::net::TcpStream::connect(place.server).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    serving.signal(Signal::TERM);
    while std::net::TcpStream::connect(place.server).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    for (stream, path, expected) in [(&mut late, "/readyz", "503"), (&mut later, "/healthz", "200")] {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{path}: {answer}");
        assert!(answer.to_lowercase().contains("connection: close"), "{path}: nobody asks here again: {answer}");
    }
    assert_eq!(serving.wait(), Some(0));
}

#[test]
fn a_successor_that_comes_to_nothing_changes_nothing() {
    let place = Place::new();
    let serving = place.serve();
    // One that takes the listeners and is never ready.
    let taken = tidegate::server::handover::ask(&place.state()).unwrap().expect("somebody serves");
    assert_eq!(taken.predecessor.pid(), serving.id());
    assert_eq!(taken.listeners.keys().collect::<Vec<_>>(), ["gateway", "server"]);
    assert_eq!(taken.listeners["server"].local_addr().unwrap(), place.server);
    drop(taken);
    // One whose settings are wrong.
    std::fs::write(place.path("wrong.yaml"), "server: 7\n").unwrap();
    let mut command = place.command();
    let output = command.arg("--config").arg(place.path("wrong.yaml")).output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    for _ in 0..20 {
        assert_eq!(ask(place.server, "/readyz", Duration::ZERO), Became::Answered(200));
    }
    let next = place.serve();
    assert_eq!(serving.wait(), Some(0), "and the next one that is ready takes its place");
    assert_eq!(next.end(Signal::TERM), Some(0));
}

#[test]
fn a_port_that_the_settings_do_not_name_any_more_is_closed() {
    let place = Place::new();
    let serving = place.serve();
    let other = Place::new();
    std::fs::write(place.settings(), format!("server: {{ listen: \"{}\" }}\n", other.server)).unwrap();
    let next = place.serve();
    assert_eq!(serving.wait(), Some(0));
    assert!(matches!(ask(place.server, "/healthz", Duration::ZERO), Became::Refused(_)));
    assert_eq!(ask(other.server, "/healthz", Duration::ZERO), Became::Answered(200));
    assert_eq!(next.end(Signal::TERM), Some(0));
}
