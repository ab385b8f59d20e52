//! What is not GitHub's, or not whole: a documented answer each, and nothing stored. The table of answers is docs/server.md.

use std::io::Write as _;
use std::time::Duration;

use tempfile::TempDir;
use tidegate::adapters::deliveries::Keep;
use tidegate::model::secret::SecretSource;
use tidegate::server::{listen, webhook};

use crate::client::{self, Post, SECRET, sign};
use crate::server::Server;

const BODY: &str = r#"{"zen":"Keep it logically awesome."}"#;

fn good() -> Post {
    Post::new("d-1", "ping", BODY)
}

fn form(body: &str) -> Post {
    Post::new("d-1", "ping", body).with("content-type", "application/x-www-form-urlencoded")
}

#[test]
fn each_has_its_answer_and_nothing_is_stored() {
    let server = Server::start();
    let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let lists = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let other = |method, path| Post { method, path, ..good() };
    let cases: Vec<(&str, Post, u16, &str)> = vec![
        ("no signature", good().without("x-hub-signature-256"), 401, "x-hub-signature-256 is missing"),
        ("an empty signature", good().with("x-hub-signature-256", ""), 401, "missing"),
        ("a signature of another secret", good().with("x-hub-signature-256", &sign("guess", BODY.as_bytes())), 401, "none of a secret"),
        ("a signature of another body", good().with("x-hub-signature-256", &sign(SECRET, b"{}")), 401, "none of a secret"),
        ("the old signature only", good().without("x-hub-signature-256").and("x-hub-signature", "sha1=0000"), 401, "missing"),
        ("a signature cut short", good().with("x-hub-signature-256", &sign(SECRET, BODY.as_bytes())[..70]), 401, "64 hex digits"),
        ("two signatures", good().and("x-hub-signature-256", &sign("guess", BODY.as_bytes())), 401, "more than once"),
        (
            "a body cut short, and said so",
            Post { body: BODY.as_bytes()[..10].to_vec(), ..good().with("content-length", "10") },
            401,
            "none of a secret",
        ),
        ("a body longer than is said", good().with("content-length", "10"), 401, "none of a secret"),
        ("JSON that is cut", Post::new("d-1", "ping", &BODY[..20]), 400, "not JSON"),
        ("not UTF-8", Post::new("d-1", "ping", b"{\"zen\":\"\xff\"}".to_vec()), 400, "not UTF-8"),
        ("half a character", Post::new("d-1", "ping", "{\"zen\":\"\\ud800\"}"), 400, "not JSON"),
        ("objects in objects", Post::new("d-1", "ping", nested(5000)), 400, "recursion limit"),
        ("lists in lists", Post::new("d-1", "ping", lists(200_000)), 400, "recursion limit"),
        ("a list", Post::new("d-1", "ping", "[]"), 400, "no JSON object"),
        ("nothing", Post::new("d-1", "ping", ""), 400, "no JSON object"),
        ("two objects", Post::new("d-1", "ping", "{}{}"), 400, "not JSON"),
        ("no event", good().without("x-github-event"), 400, "x-github-event is missing"),
        ("an event that is none", good().with("x-github-event", "../push"), 400, "not the name of an event"),
        ("two events", good().and("x-github-event", "push"), 400, "more than once"),
        ("no id", good().without("x-github-delivery"), 400, "x-github-delivery is missing"),
        ("an id that is none", good().with("x-github-delivery", "a b"), 400, "not an id"),
        ("a long id", good().with("x-github-delivery", &"x".repeat(101)), 400, "not an id"),
        ("no content type", good().without("content-type"), 415, "content-type is missing"),
        ("text", good().with("content-type", "text/plain"), 415, "neither application/json"),
        ("nearly JSON", good().with("content-type", "application/jsonp"), 415, "neither application/json"),
        ("compressed", good().and("content-encoding", "gzip"), 415, "encoded"),
        ("no length", good().without("content-length").and("transfer-encoding", "chunked"), 411, "content-length is missing"),
        ("30 MiB", Post::new("d-1", "ping", vec![b' '; 30 << 20]), 413, "at most 26214400"),
        ("one byte too many", Post::new("d-1", "ping", vec![b' '; (25 << 20) + 1]), 413, "at most 26214400"),
        ("more than there is", good().with("content-length", "1099511627776"), 413, "at most"),
        ("a form without payload", form("payloads=%7B%7D"), 400, "no payload"),
        ("a form with two", form("payload=%7B%7D&payload=%7B%7D"), 400, "more than one payload"),
        ("a form that is not UTF-8", form("payload=%7B%22a%22%3A%22%FF%22%7D"), 400, "not UTF-8"),
        ("a form that says JSON", form("payload=%7B%7D").with("content-type", "application/json"), 400, "no JSON object"),
        ("GET", other("GET", "/hooks/github"), 405, "sent with POST"),
        ("PUT", other("PUT", "/hooks/github"), 405, "sent with POST"),
        ("another path", other("POST", "/hooks/github/"), 404, "nothing is served at /hooks/github/"),
        ("a path that climbs", other("POST", "/hooks/../hooks/github"), 404, "nothing is served"),
    ];
    for (what, post, status, detail) in cases {
        let answer = post.send(server.address);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.head.contains("content-type: application/problem+json"), "{what}: {answer:?}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{what}");
        assert!(problem["detail"].as_str().is_some_and(|said| said.contains(detail)), "{what}: {problem}");
        assert!(!answer.body.contains(SECRET), "{what}");
    }
    assert_eq!(server.ids(), Vec::<String>::new());
    assert_eq!(good().send(server.address).status, 202, "and the good one is taken");
}

/// What is not HTTP, or too much of it, is answered before any of our code sees it.
#[test]
fn heads_that_are_too_large_or_unclear_are_refused() {
    let server = Server::start();
    let many = (0..150).fold(good(), |post, n| post.and(&format!("x-{n}"), "1"));
    for (what, post, statuses) in [
        ("one huge header", good().and("x-huge", &"x".repeat(200 << 10)), [431, 400]),
        ("many headers", many, [431, 400]),
        ("a length that is none", good().with("content-length", "ten"), [400, 400]),
        ("two lengths", good().and("content-length", "1"), [400, 400]),
        ("a length below zero", good().with("content-length", "-1"), [400, 400]),
        ("more than can be said", good().with("content-length", "18446744073709551615"), [431, 400]),
        ("chunks and a length", good().and("transfer-encoding", "chunked"), [400, 411]),
        ("a header across lines", good().and("x-a", "b\r\n c"), [400, 400]),
        ("a zero in a header", good().with("x-github-event", "pi\0ng"), [400, 400]),
    ] {
        let answer = post.send(server.address);
        assert!(statuses.contains(&answer.status), "{what}: {answer:?}");
    }
    assert_eq!(server.ids(), Vec::<String>::new());
}

#[test]
fn who_is_slow_is_cut_off_and_holds_up_nobody() {
    let quick = Duration::from_millis(300);
    let hooks = webhook::Limits { body_time: quick, ..webhook::Limits::default() };
    let server = Server::with(hooks, listen::Limits { header_time: quick, ..listen::Limits::default() }, Keep::default());
    let bytes = good().bytes();
    let head = bytes.len() - BODY.len();

    let mut nothing = client::connect(server.address);
    let mut half_a_head = client::connect(server.address);
    half_a_head.write_all(&bytes[..head / 2]).expect("sent");
    let mut half_a_body = client::connect(server.address);
    half_a_body.write_all(&bytes[..head + 10]).expect("sent");
    let mut large = client::connect(server.address);
    large.write_all(&good().with("content-length", &(20 << 20).to_string()).bytes()).expect("sent");
    let mut gone = client::connect(server.address);
    gone.write_all(&bytes[..head + 10]).expect("sent");
    gone.shutdown(std::net::Shutdown::Write).expect("closed");

    let mut idle = client::connect(server.address);
    idle.write_all(&Post::new("quick", "ping", BODY).bytes()).expect("sent");
    assert_eq!(client::read(&mut idle).status, 202);
    // A head that never comes gets no answer, or one that says so; a body that never comes gets one.
    for stream in [&mut nothing, &mut half_a_head, &mut idle] {
        let answer = client::read(stream);
        assert!(matches!(answer.status, 0 | 408), "{answer:?}");
    }
    for stream in [&mut half_a_body, &mut large] {
        let answer = client::read(stream);
        assert_eq!((answer.status, answer.json()["detail"].as_str()), (408, Some("the body did not come in time")));
    }
    let answer = client::read(&mut gone);
    assert!(matches!(answer.status, 0 | 400), "{answer:?}");
    assert_eq!(server.ids(), ["quick"]);
}

#[test]
fn without_a_secret_nothing_is_believed() {
    let folder = TempDir::new().expect("a folder");
    let missing = SecretSource::File(folder.path().join("nowhere"));
    let empty = SecretSource::File(folder.path().join("empty"));
    std::fs::write(folder.path().join("empty"), "\n").expect("written");
    for sources in [vec![], vec![missing.clone()], vec![missing, empty]] {
        let server = Server::of(TempDir::new().expect("a folder"), sources, webhook::Limits::default(), listen::Limits::default(), Keep::default());
        for secret in [SECRET, ""] {
            let answer = good().with("x-hub-signature-256", &sign(secret, BODY.as_bytes())).send(server.address);
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.body.contains("no webhook secret"), "{answer:?}");
        }
        assert_eq!(server.ids(), Vec::<String>::new());
    }
}

#[test]
fn a_secret_is_changed_without_a_new_start_and_nobody_is_refused_meanwhile() {
    let folder = TempDir::new().expect("a folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    std::fs::write(&old, SECRET).expect("written");
    let sources = vec![SecretSource::File(old.clone()), SecretSource::File(new.clone())];
    let server = Server::of(TempDir::new().expect("a folder"), sources, webhook::Limits::default(), listen::Limits::default(), Keep::default());
    let send = |secret: &str| good().with("x-hub-signature-256", &sign(secret, BODY.as_bytes())).send(server.address).status;
    let until = |secret: &str, wanted: &[u16]| {
        while !wanted.contains(&send(secret)) {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    assert_eq!((send(SECRET), send("the next one")), (202, 401));
    std::fs::write(&new, "the next one").expect("written");
    until("the next one", &[200]);
    assert_eq!(send(SECRET), 200, "both count");
    std::fs::remove_file(&old).expect("removed");
    until(SECRET, &[401]);
    assert_eq!(send("the next one"), 200);
}
