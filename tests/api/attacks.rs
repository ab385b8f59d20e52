//! What somebody tries who means no good.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use tidegate::model::access::Scope;

use crate::bench::Bench;

/// What comes back for these bytes.
fn raw(bench: &Bench, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(bench.address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    stream.write_all(bytes).expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn names_that_climb_lead_nowhere() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Admin]);
    let climbing =
        ["..%2F..%2Faccess.db", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "aa01%00", "aa01%2F..%2F..", "%ff%fe", "....//", "aa01%0d%0aX-Evil:%201"];
    let before = std::fs::read_dir(bench.story.state.root()).expect("listed").count();
    for name in climbing {
        for path in [
            format!("/api/v1/runs/{name}"),
            format!("/api/v1/runs/{name}/facts"),
            format!("/api/v1/runs/{name}/logs/test/1"),
            format!("/api/v1/runs/aa01/logs/{name}/1"),
            format!("/api/v1/runs/aa01/logs/test/{name}"),
            format!("/api/v1/runs/aa01/logs/test/1?service={name}"),
            format!("/api/v1/rollouts/{name}"),
            format!("/api/v1/deliveries/{name}"),
        ] {
            let answer =
                raw(&bench, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n").as_bytes());
            let status = answer.split(' ').nth(1).unwrap_or_default();
            // A service that is not there has said nothing.
            assert!(status.starts_with('4') || (path.contains("service=") && status == "200" && answer.ends_with("\r\n\r\n")), "{path}: {answer}");
            assert!(!answer.contains("root:") && !answer.contains("SQLite") && !answer.to_lowercase().contains("\r\nx-evil"), "{path}: {answer}");
        }
    }
    assert_eq!(std::fs::read_dir(bench.story.state.root()).expect("listed").count(), before, "asking has made files");
}

#[test]
fn every_answer_tells_browsers_to_do_nothing_with_it() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    for answer in [
        bench.get("/api/v1/runs", &token),
        bench.get("/api/v1/runs/aa01/logs/test/1", &token),
        bench.get("/nothing", &token),
        bench.get("/healthz", ""),
    ] {
        let headers = ["x-content-type-options", "x-frame-options", "cache-control", "referrer-policy"].map(|name| answer.header(name).to_owned());
        assert_eq!(headers, ["nosniff", "DENY", "no-store", "no-referrer"]);
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        assert!(answer.header("access-control-allow-origin").is_empty(), "no other site may read it");
        assert_eq!(answer.header("x-request-id").len(), 36);
    }
    // An id of somebody else's does not get into our log or answer.
    let answer = bench.send(bench.request("GET", "/healthz").header("x-request-id", "evil"));
    assert_ne!(answer.header("x-request-id"), "evil");
}

#[test]
fn what_is_too_large_or_not_meant_is_a_problem_and_not_a_fault() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Admin]);
    let post =
        |path: &str, kind: &str, body: Vec<u8>| bench.send(bench.request("POST", path).bearer_auth(&token).header("content-type", kind).body(body));
    post("/api/v1/runs", "application/json", vec![b' '; 65 << 10]).problem(413);
    post("/api/v1/runs", "application/json", b"{\"repository\":\"a/b\",\"pipeline\":\"x\",\"extra\":1}".to_vec()).problem(400);
    post("/api/v1/runs", "application/json", [vec![b'['; 50_000], vec![b']'; 10]].concat()).problem(400);
    post("/api/v1/runs", "text/plain", b"{}".to_vec()).problem(415);
    post("/api/v1/runs", "application/json", b"\xff\xfe".to_vec()).problem(400);
    let many: serde_json::Map<String, serde_json::Value> = (0..101).map(|n| (format!("k{n}"), json!("v"))).collect();
    bench.post("/api/v1/runs", &token, &json!({ "repository": "a/b", "pipeline": "x", "params": many })).problem(400);
    bench.post("/api/v1/runs", &token, &json!({ "repository": "a/b\n", "pipeline": "x" })).problem(400);
    for query in ["limit=0", "limit=101", "limit=-1", "limit=x", "cursor=%21", "unknown=1", "limit=1&limit=2"] {
        bench.get(&format!("/api/v1/runs?{query}"), &token).problem(400);
    }
    bench.get(&format!("/api/v1/runs?branch={}", "x".repeat(400)), &token).problem(400);
    bench.send(bench.request("DELETE", "/api/v1/runs").bearer_auth(&token)).problem(405);
    bench.get("/api/v2/runs", &token).problem(404);
    assert_eq!(bench.commands(), []);
}

#[test]
fn heads_that_say_two_things_do_not_let_anybody_in() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    for head in [
        "Authorization: Basic dGdwXw==",
        "Authorization: Bearer",
        "Authorization: Bearer tgp_",
        "Authorization: tgp_AAAA",
        "Cookie: tidegate=; tidegate=x",
        "Cookie: __Host-tidegate=../../x",
        "X-Forwarded-User: root",
        "X-Tidegate-Token: x",
    ] {
        let answer = raw(&bench, format!("GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 401"), "{head}: {answer}");
    }
    // A token in the address would stand in everybody's logs: it is not looked at.
    bench.send(bench.request("GET", &format!("/api/v1/whoami?access_token={token}"))).problem(401);
    let two = format!(
        "GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer wrong\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    assert!(raw(&bench, two.as_bytes()).starts_with("HTTP/1.1 401"));
}

#[test]
fn readers_who_take_nothing_do_not_keep_others_out_for_ever() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    let head = format!("GET /api/v1/runs/bb03/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let slow: Vec<TcpStream> = (0..256)
        .map(|_| {
            let mut stream = TcpStream::connect(bench.address).expect("connected");
            stream.write_all(head.as_bytes()).expect("sent");
            let mut first = [0; 12];
            stream.read_exact(&mut first).expect("the head of an answer");
            stream
        })
        .collect();
    let refused = bench.get("/api/v1/runs/bb03/events", &token);
    assert!(refused.problem(503).contains("256 streams") && !refused.header("retry-after").is_empty());
    // All else goes on.
    assert_eq!(bench.get("/api/v1/runs", &token).status, 200);
    let open = bench.get("/metrics", &token).text();
    assert!(open.contains("tidegate_streams 256\n"), "{open}");
    drop(slow);
    let mut status = 0;
    for _ in 0..100 {
        status = bench.runtime.block_on(async {
            bench.request("GET", "/api/v1/runs/bb03/events").bearer_auth(&token).send().await.expect("an answer").status().as_u16()
        });
        if status == 200 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(status, 200, "places of readers who are gone were not given back");
}
