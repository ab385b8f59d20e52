//! What the gateway adds to a function, warm and cold: `cargo build --release --example lambda_handler && cargo bench --bench invoke [-- ROUNDS]`.
//!
//! The same handler is called in three ways that take turns: its Runtime API played by this program with nothing in between, the whole gateway, and AWS's
//! own emulator where `TIDEGATE_BENCH_RIE` says where it is. The table is Markdown; ratios are what to quote.

#[path = "invoke/direct.rs"]
mod direct;
#[path = "../tests/support/packages.rs"]
mod packages;
#[path = "invoke/rie.rs"]
mod rie;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tidegate::adapters::provider::Provider as _;
use tidegate::adapters::provider::local::Local;
use tidegate::model::id::Digest;
use tidegate::model::traffic::{Destination, TrafficSplit};

use direct::Direct;
use packages::{function, options, with_env, zip_of};
use rie::Rie;

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(compare(rounds));
}

/// The handler's binary, built for release where it is there.
fn handler() -> PathBuf {
    let bench = std::env::current_exe().expect("this program has a path");
    let path = bench.ancestors().nth(2).expect("it is in target/PROFILE/deps").join("examples/lambda_handler");
    assert!(path.exists(), "{} is not there: run `cargo build --release --example lambda_handler` first", path.display());
    path
}

async fn compare(rounds: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let handler = handler();
    let binary = std::fs::read(&handler).expect("the handler can be read");
    let (zip, digest) = zip_of(folder.path(), &[("bootstrap", &binary, true)]);
    let local = Local::connect(folder.path(), &options()).await.expect("a host");
    let gateway = Gateway { local, zip, digest, client: Client::builder(TokioExecutor::new()).build_http() };
    gateway.serve("warm", "0").await;
    let mut direct = Direct::start(&handler).await;
    let rie = Rie::find();

    let mut times: [Vec<Duration>; 3] = Default::default();
    let mut emulator = match &rie {
        Some(rie) => Some(rie.start(&handler).await),
        None => None,
    };
    for _ in 0..rounds {
        times[0].push(direct.invoke().await);
        times[1].push(gateway.get("warm").await);
        if let Some(emulator) = &mut emulator {
            times[2].push(emulator.invoke().await);
        }
    }
    println!("Warm invocations of a handler written with the crate lambda_runtime, {rounds} rounds, interleaved.\n");
    table(&["the Runtime API played directly", "through the gateway (HTTP, event, split, count)", "aws-lambda-rie"], &mut times);
    drop((direct, emulator));

    let cold = (rounds / 40).max(5);
    let mut times: [Vec<Duration>; 3] = Default::default();
    for round in 0..cold {
        let begun = Instant::now();
        let mut direct = Direct::start(&handler).await;
        direct.invoke().await;
        times[0].push(begun.elapsed());
        drop(direct);
        // A change of the configuration is a new release, which has no instance yet.
        gateway.serve("cold", &round.to_string()).await;
        times[1].push(gateway.get("cold").await);
        if let Some(rie) = &rie {
            let begun = Instant::now();
            rie.start(&handler).await.invoke().await;
            times[2].push(begun.elapsed());
        }
    }
    println!("\nCold: until the first answer of a new instance, {cold} rounds, interleaved.\n");
    table(
        &["process without isolation, Runtime API played directly", "through the gateway, full sandbox", "aws-lambda-rie, without isolation"],
        &mut times,
    );
    if rie.is_none() {
        println!("\nMissing: aws-lambda-rie (set TIDEGATE_BENCH_RIE to its path for the comparison).");
    }
    gateway.local.close().await;
}

fn table(names: &[&str], times: &mut [Vec<Duration>]) {
    println!("| way | median ms | p99 ms | median − direct ms | × direct |\n|---|---:|---:|---:|---:|");
    let base = quantile(&mut times[0], 0.5);
    for (name, times) in names.iter().zip(times).filter(|(_, times)| !times.is_empty()) {
        let (median, p99) = (quantile(times, 0.5), quantile(times, 0.99));
        println!("| {name} | {median:.3} | {p99:.3} | {:.3} | {:.2} |", median - base, median / base);
    }
}

fn quantile(times: &mut [Duration], q: f64) -> f64 {
    times.sort_unstable();
    let last = times.len() - 1;
    times[((last as f64) * q).round() as usize].as_secs_f64() * 1000.0
}

struct Gateway {
    local: Local,
    zip: PathBuf,
    digest: Digest,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Gateway {
    async fn serve(&self, name: &str, variant: &str) {
        let release =
            self.local.publish(&with_env(function(name), "VARIANT", variant), Path::new(&self.zip), &self.digest).await.expect("it is published");
        let revision = self.local.traffic(name).await.expect("its traffic").revision;
        self.local.shift(name, &TrafficSplit::all(Destination::Release(release.id)), revision).await.expect("it gets all traffic");
    }

    async fn get(&self, name: &str) -> Duration {
        let begun = Instant::now();
        let request = Request::get(format!("http://{}/{name}/orders", self.local.address())).body(Full::default()).expect("a request");
        let response = self.client.request(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("a whole answer");
        begun.elapsed()
    }
}
