//! What it costs that a delivery is on disk before it is answered: `TIDEGATE_TEST_OCTOKIT=… cargo bench --bench hooks [-- SECONDS]`.
//!
//! Debian's `wrk` sends GitHub's own example payloads, each with an id of its own, to two servers that take turns, each in a process of its own: a handler of axum that
//! only checks the signature, and Tidegate's, which also looks whether it is JSON and stores it. Between them, as the most that anybody could reach here: the same
//! handler with the body put behind one file, synced with all that came meanwhile, and nothing else. The store holds all that is sent, so that nothing is refused. `TIDEGATE_TEST_OCTOKIT` is a folder where npm has installed
//! `@octokit/webhooks-examples` (`./test` makes one in its cache). The table is Markdown; ratios are what to quote.

#[path = "common/mod.rs"]
mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use hmac::{Hmac, KeyInit as _, Mac as _};
use tidegate::adapters::deliveries::{Deliveries, Filter, Keep, Page};
use tidegate::adapters::trigger::github::verify;
use tidegate::model::secret::{Secret, SecretSource};
use tidegate::server::{listen, webhook};
use tokio::sync::{mpsc, oneshot};

const SECRET: &str = "a secret of the bench";
const ROUNDS: usize = 3;
const CONNECTIONS: [usize; 2] = [16, 64];
const SERVERS: [(&str, &str); 3] = [
    ("bare", "axum, signature only"),
    ("file", "axum, signature, and the body behind one file, synced"),
    ("durable", "**Tidegate: on disk before the answer**"),
];
/// Nobody handles them here, and nothing is to be refused for that.
const ALL: Keep = Keep { time: std::time::Duration::from_secs(u32::MAX as u64), bytes: u64::MAX };
/// Of GitHub's events, those that a repository with a pipeline gets.
const EVENTS: [&str; 6] = ["push", "pull_request", "check_run", "check_suite", "issue_comment", "workflow_job"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", kind, folder] => serve(kind, Path::new(folder)),
        [] => compare(3),
        [seconds] => compare(seconds.parse().expect("seconds of a round")),
        _ => panic!("expected nothing, or the seconds of a round"),
    }
}

fn serve(kind: &str, folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        if kind == "bare" {
            let router = axum::Router::new().route(webhook::PATH, axum::routing::post(bare));
            return axum::serve(listener, router).await.expect("served");
        }
        if kind == "file" {
            let file = std::fs::File::create(folder.join("all")).expect("a file");
            let (queue, bodies) = mpsc::channel(1024);
            std::thread::spawn(move || append(file, bodies));
            let router = axum::Router::new().route(webhook::PATH, axum::routing::post(appended)).with_state(queue);
            return axum::serve(listener, router).await.expect("served");
        }
        let secret = folder.join("secret");
        std::fs::write(&secret, SECRET).expect("a secret");
        let deliveries = Deliveries::open(folder, ALL).expect("a store");
        let router = webhook::router(deliveries, vec![SecretSource::File(secret)], webhook::Limits::default());
        let (_open, closing) = tokio::sync::watch::channel(false);
        listen::serve(listener, router, listen::Limits::default(), closing).await;
    });
}

async fn bare(headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match verify(&[Secret::new(SECRET)], signature, &body) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::UNAUTHORIZED,
    }
}

type Body = (Bytes, oneshot::Sender<()>);

async fn appended(State(queue): State<mpsc::Sender<Body>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let checked = bare(headers, body.clone()).await;
    let (answer, synced) = oneshot::channel();
    if checked == StatusCode::ACCEPTED {
        queue.send((body, answer)).await.expect("a thread that writes");
        synced.await.expect("a thread that writes");
    }
    checked
}

fn append(mut file: std::fs::File, mut bodies: mpsc::Receiver<Body>) {
    while let Some(first) = bodies.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(more) = bodies.try_recv() {
            batch.push(more);
        }
        for (body, _) in &batch {
            file.write_all(body).expect("written");
        }
        file.sync_data().expect("synced");
        for (_, answer) in batch {
            let _ = answer.send(());
        }
    }
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(kind: &str, folder: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program).args(["serve", kind]).arg(folder).stdout(Stdio::piped()).spawn().expect("a server");
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut address).expect("an address");
        Self { child, address: address.trim().to_owned() }
    }
}

impl Server {
    /// Seconds of a processor so far, in ticks of 10 ms: what a busy machine does not change.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a process");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What wrk saw in one round.
#[derive(Clone, Copy)]
struct Seen {
    rate: f64,
    /// Of a processor, for one delivery.
    cpu_us: f64,
    p50: f64,
    p99: f64,
    good: u64,
    others: u64,
}

/// Payloads with their signatures, as Lua, and the requests of wrk: each has an id that no other one has.
fn script(folder: &Path) {
    let octokit = std::env::var("TIDEGATE_TEST_OCTOKIT").expect("TIDEGATE_TEST_OCTOKIT: a folder with npm's @octokit/webhooks-examples");
    let path = Path::new(&octokit).join("node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let events: Vec<serde_json::Value> = serde_json::from_str(&std::fs::read_to_string(path).expect("the examples")).expect("JSON");
    let mut file = std::fs::File::create(folder.join("hooks.lua")).expect("a script");
    writeln!(file, "local all = {{}}").expect("written");
    let (mut many, mut bytes) = (0, 0);
    for event in events.iter().filter(|event| EVENTS.contains(&event["name"].as_str().unwrap_or_default())) {
        for example in event["examples"].as_array().expect("examples") {
            let body = example.to_string();
            let mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key").chain_update(&body).finalize();
            let signature = mac.into_bytes().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"));
            let name = event["name"].as_str().expect("a name");
            writeln!(file, "all[#all + 1] = {{event = \"{name}\", signature = \"{signature}\", body = [==[{body}]==]}}").expect("written");
            many += 1;
            bytes += body.len();
        }
    }
    file.write_all(include_bytes!("hooks.lua")).expect("written");
    println!("{many} payloads of {} events, {:.1} KiB on average.\n", EVENTS.len(), bytes as f64 / f64::from(many) / 1024.0);
}

fn wrk(server: &Server, script: &Path, connections: usize, seconds: u64, round: usize) -> Seen {
    let before = server.cpu();
    let output = Command::new("wrk")
        .args(["--threads", "2", "--connections", &connections.to_string(), "--duration", &format!("{seconds}s"), "--timeout", "30s", "--script"])
        .arg(script)
        .arg(format!("http://{}{}", server.address, webhook::PATH))
        .env("ROUND", format!("{connections}-{round}"))
        .output()
        .expect("wrk (install the package `wrk`)");
    let text = String::from_utf8_lossy(&output.stdout);
    let line =
        text.lines().find_map(|line| line.strip_prefix("seen ")).unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
    let cpu_us = (server.cpu() - before) * 1e6 / numbers[3].max(1.0);
    Seen { rate: numbers[0], cpu_us, p50: numbers[1] / 1000.0, p99: numbers[2] / 1000.0, good: numbers[3] as u64, others: numbers[4] as u64 }
}

fn compare(seconds: u64) {
    for (kind, place) in common::places() {
        script(place.path());
        println!(
            "| state on {kind} | connections | deliveries/s | × bare | p50 ms | p99 ms | CPU µs each | not 2xx |\n|---|---:|---:|---:|---:|---:|---:|---:|"
        );
        let stores: Vec<(u64, u64)> = CONNECTIONS.iter().map(|connections| table(place.path(), *connections, seconds)).collect();
        println!();
        for (good, stored) in stores {
            println!("{good} were answered well, {stored} are stored (wrk does not wait for those under way at its end).");
            assert!(stored >= good, "some of what was answered is lost");
        }
        println!();
    }
}

/// The rows of one number of connections, in folders that are gone afterwards: how many Tidegate has answered well, and how many it has stored.
fn table(place: &Path, connections: usize, seconds: u64) -> (u64, u64) {
    let folders = SERVERS.map(|_| tempfile::tempdir_in(place).expect("a folder"));
    let servers: Vec<Server> = SERVERS.iter().zip(&folders).map(|((kind, _), folder)| Server::start(kind, folder.path())).collect();
    let mut seen: [Vec<Seen>; SERVERS.len()] = Default::default();
    for round in 0..ROUNDS {
        for (server, seen) in servers.iter().zip(&mut seen) {
            seen.push(wrk(server, &place.join("hooks.lua"), connections, seconds, round));
        }
    }
    drop(servers);
    let base = median(&seen[0], |seen| seen.rate);
    for ((_, name), seen) in SERVERS.iter().zip(&seen) {
        let (rate, p50, p99) = (median(seen, |seen| seen.rate), median(seen, |seen| seen.p50), median(seen, |seen| seen.p99));
        let others: u64 = seen.iter().map(|seen| seen.others).sum();
        let cpu = median(seen, |seen| seen.cpu_us);
        println!("| {name} | {connections} | {rate:.0} | {:.2} | {p50:.1} | {p99:.1} | {cpu:.0} | {others} |", rate / base);
    }
    (seen[2].iter().map(|seen| seen.good).sum(), count(folders[2].path()))
}

fn median(seen: &[Seen], of: impl Fn(&Seen) -> f64) -> f64 {
    let mut all: Vec<f64> = seen.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn count(folder: &Path) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let store = Deliveries::open(folder, ALL).expect("the store");
    runtime.block_on(store.list(Filter::default(), Page { before: None, limit: usize::MAX })).expect("a list").len() as u64
}
