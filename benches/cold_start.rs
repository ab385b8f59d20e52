//! Cold start of one step that does nothing (`/bin/true`), start to end, beside others: `cargo bench --bench cold_start [-- ROUNDS [WAY]]`.
//!
//! All ways take turns (A B C A B C …), so that whatever else the machine does hits them alike; first one at a time, then eight at once, each of which is
//! measured from the moment when all were asked for, until nothing of it runs any more and the result is there. What its files were is removed after that, as
//! nobody waits for it in a run either. The state folder is on the file system of temporary files, then in memory. The tables are Markdown; ratios
//! are what to quote.

mod common;
#[path = "cold_start/crun.rs"]
mod crun;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{made, quantile};
use tidegate::adapters::executor::SandboxExecutor;
use tidegate::adapters::sandbox::{self, Isolation, Limits, NetworkOf, Overlay, SandboxSpec};
use tidegate::adapters::workspace::Store;
use tidegate::model::id::RunId;
use tidegate::model::invocation::InvocationSpec;
use tidegate::model::outcome::{Exit, Outcome};
use tokio::io::AsyncReadExt as _;

const AT_ONCE: usize = 8;

struct Way {
    name: &'static str,
    /// Whether sandboxes may be kept ready for it.
    warm: bool,
    run: Run,
    times: Vec<Duration>,
}

/// Answers what is to be removed when it is over and the clock has stopped.
type Run = Box<dyn Fn(&Bench) -> Option<PathBuf> + Sync>;

/// What of a sandbox is there.
#[derive(Clone, Copy)]
struct Parts {
    overlay: bool,
    groups: bool,
    host_network: bool,
}

const FULL: Parts = Parts { overlay: true, groups: true, host_network: false };

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200);
    let only = std::env::args().skip(1).find(|argument| argument.parse::<u32>().is_err() && !argument.starts_with('-')).unwrap_or_default();
    crun::hide_version_2();
    sandbox::set_program(env!("CARGO_BIN_EXE_tidegate"));
    for (place, folder) in common::places() {
        let bench = Bench::new(folder.path());
        let (mut ways, missing) = ways(folder.path());
        ways.retain(|way| way.name.contains(&only));
        for at_once in [1, AT_ONCE] {
            measure(&bench, &mut ways, rounds / at_once, at_once);
            print(&mut ways, &place, rounds / at_once, at_once);
        }
        for what in missing {
            println!("Missing: {what}.\n");
        }
    }
}

fn ways(folder: &Path) -> (Vec<Way>, Vec<String>) {
    let mut missing = Vec::new();
    let mut ways = vec![
        way("posix_spawn, no isolation", false, |_| plain(Command::new("/bin/true"))),
        way("sandbox, cold", false, |bench| bench.sandboxed(FULL)),
        way("sandbox, warm", true, |bench| bench.sandboxed(FULL)),
        way("sandbox, warm, without cgroups", true, |bench| bench.sandboxed(Parts { groups: false, ..FULL })),
        way("sandbox, cold, without overlay", false, |bench| bench.sandboxed(Parts { overlay: false, ..FULL })),
        way("sandbox, cold, without overlay and cgroups", false, |bench| bench.sandboxed(Parts { overlay: false, groups: false, ..FULL })),
        way("sandbox, cold, with the host's network (no template)", false, |bench| bench.sandboxed(Parts { host_network: true, ..FULL })),
        way("invocation, cold (supervisor, record, log, `sh`)", false, Bench::invoked),
        way("invocation, warm", true, Bench::invoked),
        way("invocation in an image, cold", false, Bench::invoked_in_image),
        way("invocation in an image, warm", true, Bench::invoked_in_image),
    ];
    if Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        ways.push(way("bwrap --unshare-all --ro-bind / / (no overlay, cgroups, seccomp)", false, |_| {
            let mut command = Command::new("bwrap");
            command.args(["--unshare-all", "--ro-bind", "/", "/", "/bin/true"]);
            plain(command)
        }));
    } else {
        missing.push("bubblewrap (install the package `bubblewrap`)".to_owned());
    }
    match crun::Bundle::make(folder) {
        Ok(bundle) => ways.push(way("crun run, prepared bundle (no overlay, cgroups)", false, move |_| plain(bundle.command()))),
        Err(why) => missing.push(format!("crun: {why}")),
    }
    (ways, missing)
}

fn measure(bench: &Bench, ways: &mut [Way], rounds: usize, at_once: usize) {
    for round in 0..rounds + 5 {
        for way in &mut *ways {
            sandbox::set_warm(way.warm);
            let times = together(bench, at_once, &way.run);
            if round >= 5 {
                way.times.extend(times);
            }
            // What a start leaves to be done in the background (the pool, the end of namespaces) is not the next one's to pay.
            std::thread::sleep(Duration::from_millis(if at_once == 1 { 12 } else { 50 }));
        }
    }
}

fn way(name: &'static str, warm: bool, run: impl Fn(&Bench) -> Option<PathBuf> + Sync + 'static) -> Way {
    Way { name, warm, run: Box::new(run), times: Vec::new() }
}

/// Starts as many at the same moment, and says how long each took from then.
fn together(bench: &Bench, at_once: usize, run: &Run) -> Vec<Duration> {
    let gate = Barrier::new(at_once);
    let one = || {
        RUNTIME.with(|_| gate.wait());
        let begun = Instant::now();
        let rubbish = run(bench);
        let took = begun.elapsed();
        rubbish.map(|path| tidegate::adapters::workspace::remove(&path).expect("it can be removed"));
        took
    };
    if at_once == 1 {
        return vec![one()];
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    })
}

fn print(ways: &mut [Way], place: &str, rounds: usize, at_once: usize) {
    println!("Cold start of `/bin/true`, {at_once} at once, {rounds} rounds, interleaved; state on {place}.\n");
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

/// As many as a step has where its file says nothing.
const LIMITS: Limits = Limits { memory_bytes: Some(4 << 30), cpu_millis: None, pids: Some(4096), file_bytes: Some(16 << 30) };

struct Bench {
    folder: PathBuf,
    lower: PathBuf,
    executor: SandboxExecutor,
    counter: AtomicUsize,
}

fn plain(mut command: Command) -> Option<PathBuf> {
    assert!(command.stdin(Stdio::null()).status().expect("it starts").success());
    None
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
}

impl Bench {
    fn new(folder: &Path) -> Self {
        let store = Store::open(folder, sandbox::outer_uid()).expect("a store");
        common::busybox_image(folder, &store, "bench:1");
        let executor = SandboxExecutor::new(folder, store, Vec::new(), Isolation::Full);
        Self { lower: made(folder, "commit"), folder: folder.into(), executor, counter: AtomicUsize::new(0) }
    }

    fn next(&self) -> usize {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// Scratch space, sandbox, process, end.
    fn sandboxed(&self, parts: Parts) -> Option<PathBuf> {
        let scratch = made(&self.folder, &format!("scratch-{}", self.next()));
        let overlay = parts.overlay.then(|| Overlay {
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
            network: if parts.host_network { NetworkOf::Host } else { NetworkOf::Own },
            listen: None,
            limits: if parts.groups { LIMITS } else { Limits::default() },
            required: Vec::new(),
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
        Some(scratch)
    }

    /// A whole step: with its supervisor, its record on disk, its log, and `/bin/sh` around it.
    fn invoked(&self) -> Option<PathBuf> {
        self.invoked_in(None)
    }

    /// The same on an image of two layers, which is there.
    fn invoked_in_image(&self) -> Option<PathBuf> {
        self.invoked_in(Some("bench:1".to_owned()))
    }

    fn invoked_in(&self, image: Option<String>) -> Option<PathBuf> {
        let run = RunId::new(format!("r{}", self.next()));
        let log = self.folder.join(format!("{run}.log"));
        let spec = InvocationSpec { image, ..common::step(&run, "exec /bin/true", vec![self.lower.clone()]) };
        let result = RUNTIME.with(|runtime| runtime.block_on(common::invoke(&self.executor, spec, &log, Box::new(common::Silent))));
        assert_eq!(result.outcome, Outcome::Succeeded);
        Some(log)
    }
}
