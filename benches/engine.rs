//! One step that does nothing, in a container of an engine, start to end, beside the engine's plain API, its own command, and what is below it:
//! `. .ci/engines` and its `start_engines` set the sockets, or any engine's will do:
//! `TIDEGATE_TEST_DOCKER=/run/docker.sock TIDEGATE_TEST_PODMAN=… cargo bench --bench engine [-- [ROUNDS] [PART OF A WAY'S NAME]]`.
//!
//! All ways take turns, first one at a time, then eight at once, each measured from the moment when all were asked for. Ratios are what to quote.

#[path = "engine/beside.rs"]
mod beside;
mod common;
#[path = "cold_start/crun.rs"]
mod crun;
#[path = "../tests/support/engines.rs"]
mod engines;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, Docker};
use common::{Silent, made, quantile, step};
use futures_util::StreamExt as _;
use tidegate::adapters::executor::{ContainerExecutor, Engine, Executor as _, Pull, Watcher};
use tidegate::adapters::sandbox;
use tidegate::adapters::workspace::Store;
use tidegate::model::id::RunId;
use tidegate::model::outcome::Outcome;

const AT_ONCE: usize = 8;

struct Way {
    name: String,
    /// Whether sandboxes are kept ready.
    warm: bool,
    run: Box<dyn Fn() + Sync>,
    times: Vec<Duration>,
}

fn way(name: impl Into<String>, run: impl Fn() + Sync + 'static) -> Way {
    Way { name: name.into(), warm: false, run: Box::new(run), times: Vec::new() }
}

fn main() {
    crun::hide_version_2();
    let (numbers, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).filter(|argument| argument != "--bench").partition(|argument| argument.parse::<usize>().is_ok());
    let rounds: usize = numbers.first().and_then(|number| number.parse().ok()).unwrap_or(40);
    sandbox::set_program(env!("CARGO_BIN_EXE_tidegate"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut ways = Vec::new();
    for engine in engines::all() {
        ways.extend(of_engine(engine, folder.path()));
    }
    match crun::Bundle::make(folder.path()) {
        Ok(bundle) => ways.push(way("crun (host's tools, no image, no control groups)", move || finish(bundle.command()))),
        Err(why) => println!("Missing: crun: {why}.\n"),
    }
    match crun::Bundle::of("runc", folder.path()) {
        Ok(bundle) => ways.push(way("runc (host's tools, no image)", move || finish(bundle.command()))),
        Err(why) => println!("Missing: runc: {why}.\n"),
    }
    match beside::podman_run(folder.path()) {
        Ok(way) => ways.push(way),
        Err(why) => println!("Missing: podman: {why}.\n"),
    }
    ways.extend(beside::in_the_sandbox(folder.path()));
    if engines::all().is_empty() {
        println!("No engine: set TIDEGATE_TEST_DOCKER or TIDEGATE_TEST_PODMAN to a socket.");
        return;
    }
    ways.retain(|way| names.iter().all(|name| way.name.contains(name)));
    for at_once in [1, AT_ONCE] {
        ways.iter_mut().for_each(|way| way.times.clear());
        for round in 0..=rounds / at_once {
            for way in &mut ways {
                sandbox::set_warm(way.warm);
                let times = measure(&*way.run, at_once);
                // The first one of each pays for what is made once.
                if round > 0 {
                    way.times.extend(times);
                }
                // What a step leaves to be done in the background (its files, the end of its namespaces, the pool) is not the next one's to pay.
                std::thread::sleep(Duration::from_millis(if at_once == 1 { 50 } else { 200 }));
            }
        }
        print(&mut ways, at_once);
    }
}

fn measure(run: &(dyn Fn() + Sync), at_once: usize) -> Vec<Duration> {
    let (ready, asked) = (Barrier::new(at_once), Instant::now());
    let one = || {
        ready.wait();
        run();
        asked.elapsed()
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..at_once).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|thread| thread.join().expect("a round")).collect()
    })
}

fn of_engine(engine: Engine, folder: &Path) -> Vec<Way> {
    let name = engine.name.clone();
    let (socket, plain) = (engine.socket.to_string_lossy().into_owned(), engine.socket.to_string_lossy().into_owned());
    let state = made(folder, &name.replace(' ', "-"));
    let store = Store::open(&state, sandbox::outer_uid()).expect("a store");
    let commit = made(&state, "commit");
    let executor = ContainerExecutor::new(&state, store, engine, Pull::Never).expect("an executor");
    let counter = AtomicUsize::new(0);
    let ours = move || {
        let run = RunId::new(format!("r{}", counter.fetch_add(1, Ordering::Relaxed)));
        let mut spec = step(&run, "true", vec![commit.clone()]);
        spec.image = Some(engines::IMAGE.to_owned());
        let (node, log) = (spec.node.clone(), state.join(run.as_str()));
        let (_keep, cancel) = tokio::sync::watch::channel(false);
        let result = block_on(executor.invoke(spec, &log, Watcher { log: Box::new(Silent), cancel }));
        assert_eq!(result.outcome, Outcome::Succeeded);
        executor.forget(&run, &node, 1);
    };
    vec![
        way(format!("{name}: plain API, create start wait remove"), move || block_on(by_hand(&plain))),
        way(format!("{name}: Tidegate's executor"), ours),
        way(format!("{name}: `docker run --rm`"), move || {
            let mut command = Command::new("docker");
            command.args(["--host", &format!("unix://{socket}"), "run", "--rm", "--init", "--network", "none"]);
            // Some engines give more by default than their machine has.
            command.args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", engines::IMAGE, "true"]);
            finish(command);
        }),
    ]
}

async fn by_hand(socket: &str) {
    let docker = Docker::connect_with_unix(socket, 120, API_DEFAULT_VERSION).expect("a client").negotiate_version().await.expect("an engine");
    let limit = |name: &str, value| bollard::models::ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) };
    let host = HostConfig {
        network_mode: Some("none".to_owned()),
        init: Some(true),
        ulimits: Some(vec![limit("nofile", 1024), limit("nproc", 4096)]),
        ..HostConfig::default()
    };
    let body = ContainerCreateBody {
        image: Some(engines::IMAGE.to_owned()),
        cmd: Some(vec!["true".to_owned()]),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(Some(CreateContainerOptionsBuilder::default().build()), body).await.expect("made").id;
    docker.start_container(&id, None).await.expect("started");
    let wait = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let ended = docker.wait_container(&id, Some(wait)).next().await.expect("its end").expect("its end");
    assert_eq!(ended.status_code, 0);
    docker.remove_container(&id, Some(RemoveContainerOptionsBuilder::default().force(true).build())).await.expect("removed");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn finish(mut command: Command) {
    let output = command.stdin(Stdio::null()).output().expect("the command");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn print(ways: &mut [Way], at_once: usize) {
    println!("{} at once, {} of each\n", at_once, ways[0].times.len());
    println!("| way | median ms | p90 ms | × plain API of the first engine | × `docker run` of the first engine |\n|---|---:|---:|---:|---:|");
    let base = quantile(&mut ways[0].times, 0.5);
    let run = ways.iter_mut().find(|way| way.name.contains("`docker run")).map_or(base, |way| quantile(&mut way.times, 0.5));
    for way in ways {
        let (median, late) = (quantile(&mut way.times, 0.5), quantile(&mut way.times, 0.9));
        println!("| {} | {median:.1} | {late:.1} | {:.2} | {:.3} |", way.name, median / base, median / run);
    }
    println!();
}
