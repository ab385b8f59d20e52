//! Cold start of one step that does nothing (`/bin/true`), start to end, beside others: `cargo bench --bench cold_start [-- ROUNDS [WAY]]`.
//!
//! All ways take turns (A B C A B C …), so that whatever else the machine does hits them alike. The table is Markdown; ratios are what to quote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tidegate::adapters::sandbox::{self, Isolation, Overlay, SandboxSpec};
use tokio::io::AsyncReadExt as _;

type Way = (&'static str, Box<dyn Fn(&Bench)>, Vec<Duration>);

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200);
    sandbox::set_program(env!("CARGO_BIN_EXE_tidegate"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bench = Bench { runtime, lower: made(folder.path(), "commit"), folder: folder.path().into() };
    let bwrap = Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());

    let mut ways: Vec<Way> = vec![
        ("posix_spawn, no isolation", Box::new(|_| plain(Command::new("/bin/true"))), Vec::new()),
        ("sandbox: full isolation with overlay", Box::new(|bench| bench.sandboxed(true, false)), Vec::new()),
        ("sandbox: without overlay", Box::new(|bench| bench.sandboxed(false, false)), Vec::new()),
        ("sandbox: with the host's network", Box::new(|bench| bench.sandboxed(true, true)), Vec::new()),
    ];
    if bwrap {
        ways.push((
            "bwrap --unshare-all --ro-bind / /",
            Box::new(|_| {
                let mut command = Command::new("bwrap");
                command.args(["--unshare-all", "--ro-bind", "/", "/", "/bin/true"]);
                plain(command);
            }),
            Vec::new(),
        ));
    }
    let only = std::env::args().skip(1).find(|argument| argument.parse::<u32>().is_err() && !argument.starts_with('-')).unwrap_or_default();
    ways.retain(|(name, _, _)| name.contains(&only));
    for round in 0..rounds + 5 {
        for (_, run, times) in &mut ways {
            let begun = Instant::now();
            run(&bench);
            if round >= 5 {
                times.push(begun.elapsed());
            }
        }
    }
    println!("Cold start of `/bin/true`, {rounds} rounds, interleaved.\n");
    println!("| way | median ms | p95 ms | × posix_spawn |\n|---|---:|---:|---:|");
    let base = quantile(&mut ways[0].2, 0.5);
    for (name, _, times) in &mut ways {
        let (median, p95) = (quantile(times, 0.5), quantile(times, 0.95));
        println!("| {name} | {median:.2} | {p95:.2} | {:.1} |", median / base);
    }
    if !bwrap {
        println!("\nMissing: bubblewrap (install the package `bubblewrap` for the comparison).");
    }
}

struct Bench {
    runtime: tokio::runtime::Runtime,
    folder: PathBuf,
    lower: PathBuf,
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

impl Bench {
    /// Scratch space, sandbox, process, end, clean-up: what an executor does for every step.
    fn sandboxed(&self, overlay: bool, host_network: bool) {
        let scratch = made(&self.folder, "scratch");
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
            cwd: "/".into(),
            hostname: "tidegate".to_owned(),
            overlay,
            read_only: Vec::new(),
            writable: Vec::new(),
            tmp_size: 1 << 30,
            host_network,
            listen: None,
            lifted: Vec::new(),
        };
        self.runtime.block_on(async {
            let mut running = sandbox::spawn(&spec).await.expect("a sandbox");
            let mut said = Vec::new();
            running.output.read_to_end(&mut said).await.expect("its output");
            assert_eq!(running.wait().await.exit, tidegate::model::outcome::Exit::Code(0));
        });
        tidegate::adapters::workspace::remove(&scratch).expect("it can be removed");
    }
}

fn quantile(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    let index = ((times.len() - 1) as f64 * share).round() as usize;
    times[index].as_secs_f64() * 1000.0
}
