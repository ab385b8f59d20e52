//! Streams of events: every fact once however often the reader is cut off, and every byte of a log.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use tidegate::adapters::journal::{self, Journal as _};
use tidegate::model::access::Scope;
use tidegate::model::fact::{Fact, RunFact, Stream};
use tidegate::model::id::{NodeId, RunId};
use tidegate::model::outcome::{Outcome, RunOutcome};
use tidegate::model::time::Timestamp;

use crate::bench::Bench;

/// An event's name, id and data.
type Event = (String, String, Value);

/// Events from behind `last`, until there are `most`, the end comes, or the stream is over.
async fn events(request: reqwest::RequestBuilder, last: Option<&str>, most: usize) -> Vec<Event> {
    let request = match last {
        Some(last) => request.header("last-event-id", last),
        None => request,
    };
    let mut response = request.send().await.expect("an answer");
    assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (200, &"text/event-stream".parse().expect("a value")));
    let (mut kept, mut found) = (String::new(), Vec::new());
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.expect("a piece") {
        bytes.extend_from_slice(&piece);
        kept.push_str(&String::from_utf8(std::mem::take(&mut bytes)).expect("events are text, whole characters at a time in these tests"));
        while let Some(end) = kept.find("\n\n") {
            let block: String = kept.drain(..end + 2).collect();
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned();
            let data = field("data");
            if data.is_empty() {
                continue;
            }
            found.push((field("event"), field("id"), serde_json::from_str(&data).expect("JSON")));
            if found.len() == most || found.last().is_some_and(|event| event.0 == "end") {
                return found;
            }
        }
    }
    found
}

#[test]
fn every_fact_is_told_once_over_twenty_reconnects() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    let stream = Stream::Run(RunId::new("bb03"));
    let writer = journal::open(&bench.story.state.journal(), bench.story.living.id()).expect("the journal");
    let begun = bench.runtime.block_on(writer.read(&stream)).expect("read").len() as u64;
    // Whoever drives the run writes on while somebody reads.
    let writing = bench.runtime.spawn(async move {
        for number in begun + 1..=begun + 200 {
            let fact = Fact::Run(RunFact::NodeEnded { node: NodeId::new(format!("n{number}")), outcome: Outcome::Succeeded });
            writer
                .append(&Stream::Run(RunId::new("bb03")), number, Timestamp::from_micros(1_790_000_200_000_000 + number), vec![fact])
                .await
                .expect("appended");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let end = Fact::Run(RunFact::Ended { outcome: RunOutcome::Succeeded });
        writer
            .append(&Stream::Run(RunId::new("bb03")), begun + 201, Timestamp::from_micros(1_790_000_300_000_000), vec![end])
            .await
            .expect("appended");
    });
    let told = bench.runtime.block_on(async {
        let mut told: Vec<Event> = Vec::new();
        let mut reconnects = 0;
        loop {
            let last = told.last().map(|event| event.1.clone());
            let most = if reconnects < 20 { 8 } else { usize::MAX };
            let more = events(bench.request("GET", "/api/v1/runs/bb03/events").bearer_auth(&token), last.as_deref(), most).await;
            let over = more.last().is_some_and(|event| event.0 == "end");
            told.extend(more);
            if over {
                assert!(reconnects >= 20, "{reconnects}");
                break told;
            }
            reconnects += 1;
        }
    });
    bench.runtime.block_on(writing).expect("written");
    let numbers: Vec<u64> = told.iter().filter(|event| event.0 == "fact").map(|event| event.2["number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=begun + 201).collect::<Vec<u64>>());
    assert!(told.iter().filter(|event| event.0 == "fact").all(|event| event.2["number"].as_u64() == event.1.parse().ok()));
}

#[test]
fn a_log_is_followed_byte_for_byte() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    let (run, node) = (RunId::new("bb03"), NodeId::new("test"));
    let path = bench.story.state.log(&run, &node, 1);
    // Characters that are cut in the middle, what is no text, and lines that look like events.
    let mut whole = std::fs::read(&path).expect("its log");
    let more: Vec<u8> = (0..4_000_u32)
        .flat_map(|n| format!("€ {n} 😀\r\ndata: x\n\nevent: end\n\n\u{0}").into_bytes().into_iter().chain([0xff, (n % 251) as u8]))
        .collect();
    whole.extend_from_slice(&more);
    let writer = journal::open(&bench.story.state.journal(), bench.story.living.id()).expect("the journal");
    let writing = bench.runtime.spawn_blocking(move || {
        let mut file = std::fs::File::options().append(true).open(&path).expect("its log");
        for piece in more.chunks(997) {
            file.write_all(piece).expect("written");
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let told = bench.runtime.block_on(async {
        let mut told: Vec<Event> = Vec::new();
        loop {
            let last = told.iter().rev().find(|event| event.0 == "log").map(|event| event.1.clone());
            let request = bench.request("GET", "/api/v1/runs/bb03/logs/test/1/events").bearer_auth(&token);
            let more = events(request, last.as_deref(), 1).await;
            told.extend(more);
            let bytes: u64 = told.iter().rev().find(|event| event.0 == "log").map_or(0, |event| event.1.parse().expect("a number"));
            // Half a character at the end waits for its other half, or for the end.
            if bytes + 3 >= whole.len() as u64 {
                break;
            }
        }
        writing.await.expect("written");
        let ended = Fact::Run(RunFact::InvocationEnded {
            node,
            attempt: 1,
            outcome: Outcome::Succeeded,
            record: None,
            artifacts: Vec::new(),
            values: BTreeMap::new(),
            layer: None,
        });
        let next = writer.read(&Stream::Run(run.clone())).await.expect("read").len() as u64 + 1;
        writer.append(&Stream::Run(run), next, Timestamp::from_micros(1_790_000_200_000_000), vec![ended]).await.expect("appended");
        let last = told.iter().rev().find(|event| event.0 == "log").map(|event| event.1.clone());
        told.extend(events(bench.request("GET", "/api/v1/runs/bb03/logs/test/1/events").bearer_auth(&token), last.as_deref(), 100).await);
        told
    });
    let said: Vec<u8> = told
        .iter()
        .filter(|event| event.0 == "log")
        .flat_map(|event| match event.2["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => base64::engine::general_purpose::STANDARD.decode(event.2["base64"].as_str().expect("bytes")).expect("base64"),
        })
        .collect();
    assert!(said == whole, "{} bytes were told, {} were said", said.len(), whole.len());
    assert_eq!(told.last().map(|event| (event.0.as_str(), event.2["bytes"].as_u64())), Some(("end", Some(whole.len() as u64))));
}

#[test]
fn a_stream_that_is_not_gone_on_with_rightly_is_refused() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    for wrong in ["-1", "one", "1e3", "99999999999999999999999"] {
        bench.send(bench.request("GET", "/api/v1/runs/aa01/events").bearer_auth(&token).header("last-event-id", wrong)).problem(400);
    }
    // An end that was seen already is told again, and nothing else.
    let told = bench.runtime.block_on(events(bench.request("GET", "/api/v1/runs/aa01/events").bearer_auth(&token), Some("9999999"), 10));
    assert_eq!(told.iter().map(|event| event.0.as_str()).collect::<Vec<_>>(), ["end"]);
    // One whose process is dead ends as well.
    let told = bench.runtime.block_on(events(bench.request("GET", "/api/v1/runs/aa02/events").bearer_auth(&token), None, 100));
    assert_eq!(told.last().map(|event| (event.0.as_str(), event.2["interrupted"].as_bool())), Some(("end", Some(true))));
}

/// Whatever a reader says that it has seen, and however it asks: a refusal, or what there is from there on, to its end. Never a fault, and never a stream that says
/// nothing and has no end.
#[test]
fn nothing_that_a_reader_claims_to_have_seen_is_a_fault() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    let streams = ["/api/v1/runs/aa01/events", "/api/v1/runs/aa01/logs/test/1/events"];
    let ask = |path: &str| bench.request("GET", path).bearer_auth(&token);
    for path in streams {
        for wrong in [&b""[..], b"-1", b"one", b"0x10", b"1.0", b" 1 1", b"18446744073709551616", b"\xff\xfe", b"1\tOR 1", &[b'9'; 4_000]] {
            bench.send(ask(path).header("last-event-id", wrong)).problem(400);
        }
        let name = if path.contains("logs") { "offset" } else { "after" };
        for wrong in ["-1", "", "one", "18446744073709551616", "%00", "1&after=2&offset=2", "1%26x"] {
            bench.get(&format!("{path}?{name}={wrong}"), &token).problem(400);
        }
        // More than there is: only the end, of which each says what it is the end of.
        for far in ["9999999", "9223372036854775807", "9223372036854775808", "18446744073709551615"] {
            for request in [ask(path).header("last-event-id", far), ask(&format!("{path}?{name}={far}"))] {
                let told = bench.runtime.block_on(events(request, None, 10));
                assert_eq!(told.iter().map(|event| event.0.as_str()).collect::<Vec<_>>(), ["end"], "{path} {far}");
            }
        }
        // There is one form of it, whichever somebody would like better.
        for accept in ["application/json", "text/html;q=1", "*/*;q=0", "\"", "x"] {
            let told = bench.runtime.block_on(events(ask(path).header("accept", accept), None, 100));
            assert_eq!(told.last().map(|event| event.0.as_str()), Some("end"), "{accept}");
        }
        bench.send(bench.request("POST", path).bearer_auth(&token).body("x")).problem(405);
    }
    for path in [
        "/api/v1/runs/nobody/events",
        "/api/v1/runs/aa01/logs/nobody/1/events",
        "/api/v1/runs/aa01/logs/test/9/events",
        "/api/v1/runs/%2e%2e/logs/test/1/events",
    ] {
        bench.get(path, &token).problem(404);
    }
    for attempt in ["0x1", "-1", "4294967296", "%00"] {
        bench.get(&format!("/api/v1/runs/aa01/logs/test/{attempt}/events"), &token).problem(400);
    }
}

#[test]
fn a_stream_ends_when_the_server_drains_so_that_its_reader_goes_on_elsewhere() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    assert_eq!(bench.get("/readyz", "").status, 200);
    let life = bench.life.clone();
    let told = bench.runtime.block_on(async {
        let reading = events(bench.request("GET", "/api/v1/runs/bb03/events").bearer_auth(&token), None, usize::MAX);
        let (told, ()) = tokio::join!(reading, async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            life.drain();
        });
        told
    });
    assert!(!told.is_empty() && told.iter().all(|event| event.0 == "fact"), "it has no end: {told:?}");
    bench.get("/readyz", "").problem(503);
    assert_eq!(bench.get("/healthz", "").status, 200);
}
