//! Cold start of one step that does nothing (`/bin/true`), start to end, beside others: `cargo bench --bench cold_start [-- ROUNDS [WAY]]`.
//!
//! All ways take turns (A B C A B C …), so that whatever else the machine does hits them alike; first one at a time, then eight at once, each of which is
//! measured from the moment when all were asked for. The tables are Markdown; ratios are what to quote.

#[path = "cold_start/crun.rs"]
mod crun;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tidegate::adapters::executor::{Executor as _, LogSink, SandboxExecutor, Watcher};
use tidegate::adapters::sandbox::{self, Isolation, Overlay, SandboxSpec};
use tidegate::adapters::workspace::Store;
use tidegate::model::id::{InvocationId, NodeId, RunId};
use tidegate::model::invocation::{CaptureLimits, InvocationSpec, default_grace};
use tidegate::model::limits::{Network, Resources};
use tidegate::model::outcome::{Exit, Outcome};
use tokio::io::AsyncReadExt as _;

const AT_ONCE: usize = 8;

struct Way {
    name: &'static str,
    /// Whether sandboxes may be kept ready for it.
    warm: bool,
    run: Box<dyn Fn(&Bench) + Sync>,
    times: Vec<Duration>,
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200);
    sandbox::set_program(env!("CARGO_BIN_EXE_tidegate"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bench = Bench::new(folder.path());
    let mut missing = Vec::new();

    let mut ways = vec![
        way("posix_spawn, no isolation", false, |_| plain(Command::new("/bin/true"))),
        way("sandbox, cold", false, |bench| bench.sandboxed(true, false)),
        way("sandbox, warm", true, |bench| bench.sandboxed(true, false)),
        way("sandbox, cold, without overlay", false, |bench| bench.sandboxed(false, false)),
        way("sandbox, cold, with the host's network (no template)", false, |bench| bench.sandboxed(true, true)),
        way("invocation, cold (supervisor, record, log)", false, Bench::invoked),
        way("invocation, warm", true, Bench::invoked),
    ];
    if Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        ways.push(way("bwrap --unshare-all --ro-bind / /", false, |_| {
            let mut command = Command::new("bwrap");
            command.args(["--unshare-all", "--ro-bind", "/", "/", "/bin/true"]);
            plain(command);
        }));
    } else {
        missing.push("bubblewrap (install the package `bubblewrap`)".to_owned());
    }
    match crun::Bundle::make(folder.path()) {
        Ok(bundle) => ways.push(way("crun run", false, move |_| plain(bundle.command()))),
        Err(why) => missing.push(format!("crun: {why}")),
    }
    let only = std::env::args().skip(1).find(|argument| argument.parse::<u32>().is_err() && !argument.starts_with('-')).unwrap_or_default();
    ways.retain(|way| way.name.contains(&only));

    for at_once in [1, AT_ONCE] {
        let rounds = rounds / at_once;
        for round in 0..rounds + 5 {
            for way in &mut ways {
                sandbox::set_warm(way.warm);
                let times = together(&bench, at_once, &way.run);
                if round >= 5 {
                    way.times.extend(times);
                }
                // What a start leaves to be done in the background (the pool, the end of namespaces) is not the next one's to pay.
                std::thread::sleep(Duration::from_millis(12));
            }
        }
        print(&mut ways, rounds, at_once);
    }
    for what in missing {
        println!("Missing: {what}.");
    }
}

fn way(name: &'static str, warm: bool, run: impl Fn(&Bench) + Sync + 'static) -> Way {
    Way { name, warm, run: Box::new(run), times: Vec::new() }
}

/// Starts as many at the same moment, and says how long each took from then.
fn together(bench: &Bench, at_once: usize, run: &(dyn Fn(&Bench) + Sync)) -> Vec<Duration> {
    let gate = Barrier::new(at_once);
    let one = || {
        RUNTIME.with(|_| gate.wait());
        let begun = Instant::now();
        run(bench);
        begun.elapsed()
    };
    if at_once == 1 {
        return vec![one()];
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    })
}

fn print(ways: &mut [Way], rounds: usize, at_once: usize) {
    println!("Cold start of `/bin/true`, {at_once} at once, {rounds} rounds, interleaved.\n");
    println!("| way | p50 ms | p99 ms | × posix_spawn | × bwrap |\n|---|---:|---:|---:|---:|");
    let median = |ways: &mut [Way], name: &str| ways.iter_mut().find(|way| way.name.starts_with(name)).map(|way| quantile(&mut way.times, 0.5));
    let (base, bwrap) = (median(ways, "posix_spawn"), median(ways, "bwrap"));
    for way in ways {
        let p50 = quantile(&mut way.times, 0.5);
        let over = |other: Option<f64>| other.map_or_else(|| "–".to_owned(), |other| format!("{:.2}", p50 / other));
        println!("| {} | {p50:.2} | {:.2} | {} | {} |", way.name, quantile(&mut way.times, 0.99), over(base), over(bwrap));
        way.times.clear();
    }
    println!();
}

struct Bench {
    folder: PathBuf,
    lower: PathBuf,
    executor: SandboxExecutor,
    counter: AtomicUsize,
}

fn made(at: &Path, name: &str) -> PathBuf {
    let path = at.join(name);
    std::fs::create_dir(&path).expect("a folder");
    if let Some(uid) = sandbox::outer_uid() {
        std::os::unix::fs::chown(&path, Some(uid), Some(uid)).expect("to give it away");
    }
    path
}

fn plain(mut command: Command) {
    assert!(command.stdin(Stdio::null()).status().expect("it starts").success());
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
}

struct Silent;

impl LogSink for Silent {
    fn write(&mut self, _: &[u8]) {}
}

impl Bench {
    fn new(folder: &Path) -> Self {
        let store = Store::open(folder, sandbox::outer_uid()).expect("a store");
        let executor = SandboxExecutor::new(folder, store, Vec::new(), Isolation::Full);
        Self { lower: made(folder, "commit"), folder: folder.into(), executor, counter: AtomicUsize::new(0) }
    }

    fn next(&self) -> usize {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Scratch space, sandbox, process, end, clean-up.
    fn sandboxed(&self, overlay: bool, host_network: bool) {
        let scratch = made(&self.folder, &format!("scratch-{}", self.next()));
        let overlay = overlay.then(|| Overlay {
            lower: vec![self.lower.clone()],
            upper: made(&scratch, "upper"),
            work: made(&scratch, "work"),
            target: "/workspace".into(),
        });
        let spec = SandboxSpec {
            isolation: Isolation::Full,
            argv: vec!["/bin/true".to_owned()],
            env: BTreeMap::new(),
            root: None,
            cwd: "/".into(),
            hostname: "tidegate".to_owned(),
            overlay,
            read_only: Vec::new(),
            writable: Vec::new(),
            tmp_size: 1 << 30,
            host_network,
            listen: None,
            limits: sandbox::Limits::default(),
            lifted: Vec::new(),
        };
        RUNTIME.with(|runtime| {
            runtime.block_on(async {
                let mut running = sandbox::spawn(&spec).await.expect("a sandbox");
                let mut said = Vec::new();
                running.output.read_to_end(&mut said).await.expect("its output");
                assert_eq!(running.wait().await.exit, Exit::Code(0));
            })
        });
        tidegate::adapters::workspace::remove(&scratch).expect("it can be removed");
    }

    /// A whole step: with its supervisor, its record on disk, its log, and `/bin/sh` around it.
    fn invoked(&self) {
        let (run, node) = (RunId::new(format!("r{}", self.next())), NodeId::new("step"));
        let spec = InvocationSpec {
            id: InvocationId::of(&run, &node, 1),
            run: run.clone(),
            node: node.clone(),
            attempt: 1,
            script: "exec /bin/true".to_owned(),
            env: BTreeMap::new(),
            layers: vec![self.lower.clone()],
            outputs: Vec::new(),
            image: None,
            services: Vec::new(),
            timeout: Duration::from_secs(60),
            network: Network::None,
            resources: Resources { cpu: None, memory: None, pids: None, disk: None },
            limits: CaptureLimits::default(),
            grace: default_grace(),
        };
        let log = self.folder.join(format!("{run}.log"));
        RUNTIME.with(|runtime| {
            runtime.block_on(async {
                let (_keep, cancel) = tokio::sync::watch::channel(false);
                let result = self.executor.invoke(spec, &log, Watcher { log: Box::new(Silent), cancel }).await;
                assert_eq!(result.outcome, Outcome::Succeeded);
            })
        });
        self.executor.forget(&run, &node, 1);
        std::fs::remove_file(log).expect("its log");
    }
}

fn quantile(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    let index = ((times.len() - 1) as f64 * share).round() as usize;
    times[index].as_secs_f64() * 1000.0
}
