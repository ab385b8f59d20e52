//! What one step can say: 1 GiB through the executor's log, beside a plain pipe to a file and Docker's: `cargo bench --bench log [-- ROUNDS [MEBIBYTES]]`.
//!
//! The same bytes everywhere: a file of 64 MiB of short lines, said again and again. Tidegate's time ends when the step has ended, the log is on disk and every
//! byte of it has been shown to whoever follows. Each stored log is then compared with what was said, by SHA-256. Docker takes part where its daemon answers
//! (`dockerd`), with an image that is made of `busybox` (Debian: busybox-static); with the file said once only, and in one round, as it takes minutes otherwise.

mod common;
#[path = "log/docker.rs"]
mod docker;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{made, quantile};
use sha2::{Digest as _, Sha256};
use tidegate::adapters::executor::{LogSink, SandboxExecutor};
use tidegate::adapters::sandbox::{self, Isolation};
use tidegate::adapters::workspace::Store;
use tidegate::model::id::RunId;
use tidegate::model::outcome::Outcome;

const PIECE: usize = 64 << 20;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (rounds, mebibytes) = (numbers.next().unwrap_or(5), numbers.next().unwrap_or(1024));
    sandbox::set_program(env!("CARGO_BIN_EXE_tidegate"));
    println!("One step says {mebibytes} MiB; {rounds} rounds, interleaved.\n");
    println!("| way | stored on | median s | MiB/s | × `cat` to a file |\n|---|---|---:|---:|---:|");
    let (mut missing, mut first) = (None, true);
    for (place, folder) in common::places() {
        let stage = Stage::new(folder.path(), mebibytes.div_ceil(PIECE >> 20));
        let mut ways = vec![
            Way::new("`cat … \\| cat > file`", |stage, log| stage.piped(log, false)),
            Way::new("the same, on disk when it returns (`sync`)", |stage, log| stage.piped(log, true)),
            Way::new("Tidegate: sandboxed, stored, on disk, followed", |stage, log| stage.invoked(log)),
        ];
        let log = folder.path().join("log");
        for _ in 0..rounds {
            ways.iter_mut().for_each(|way| way.measure(&stage, &log, stage.expected));
        }
        let base = quantile(&mut ways[0].times, 0.5) / stage.times as f64;
        print(&mut ways, &place, stage.times, base);
        if first {
            match docker::Docker::find(&stage.piece) {
                Ok(docker) => {
                    let docker = Arc::new(docker);
                    let reader = docker.clone();
                    let mut ways = [
                        Way::new("`docker run` (json-file), followed", move |_, log| docker.run(log)),
                        Way::new("`docker logs` of it, afterwards", move |_, log| reader.logs(log)),
                    ];
                    let once = digest(&stage.piece, 1);
                    ways.iter_mut().for_each(|way| way.measure(&stage, &log, once));
                    print(&mut ways, "its own", 1, base);
                }
                Err(why) => missing = Some(why),
            }
        }
        first = false;
    }
    println!("\nEvery stored log had the SHA-256 of what was said. Docker keeps its log where its daemon has its data.");
    if let Some(why) = missing {
        println!("Missing: docker: {why}.");
    }
}

/// `base`: milliseconds for one piece.
fn print(ways: &mut [Way], place: &str, pieces: usize, base: f64) {
    for way in ways {
        let median = quantile(&mut way.times, 0.5);
        let rate = (pieces * (PIECE >> 20)) as f64 / median * 1000.0;
        println!("| {} | {place} | {:.2} | {rate:.0} | {:.2} |", way.name, median / 1000.0, base * pieces as f64 / median);
    }
}

type Write = Box<dyn Fn(&Stage, &Path)>;

struct Way {
    name: &'static str,
    run: Write,
    times: Vec<Duration>,
}

impl Way {
    fn new(name: &'static str, run: impl Fn(&Stage, &Path) + 'static) -> Self {
        Self { name, run: Box::new(run), times: Vec::new() }
    }

    fn measure(&mut self, stage: &Stage, log: &Path, expected: [u8; 32]) {
        let begun = Instant::now();
        (self.run)(stage, log);
        self.times.push(begun.elapsed());
        assert_eq!(digest(log, 1), expected, "{}: not what was said", self.name);
        fs::remove_file(log).expect("its log");
    }
}

struct Stage {
    layer: PathBuf,
    piece: PathBuf,
    times: usize,
    expected: [u8; 32],
    executor: SandboxExecutor,
    counter: AtomicU64,
}

/// Counts what it is shown.
struct Seen(Arc<AtomicU64>);

impl LogSink for Seen {
    fn write(&mut self, bytes: &[u8]) {
        self.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
}

impl Stage {
    fn new(folder: &Path, times: usize) -> Self {
        let layer = made(folder, "commit");
        let piece = layer.join("piece");
        let mut noise = fastrand::Rng::with_seed(11);
        let mut text = Vec::with_capacity(PIECE + 128);
        while text.len() < PIECE {
            text.extend_from_slice(
                format!("test {:08x}::works_{:016x} ... ok (took {} µs)\n", noise.u32(..), noise.u64(..), noise.u16(..)).as_bytes(),
            );
        }
        text.truncate(PIECE - 1);
        text.push(b'\n');
        fs::write(&piece, text).expect("a file");
        let store = Store::open(folder, sandbox::outer_uid()).expect("a store");
        let executor = SandboxExecutor::new(folder, store, Vec::new(), Isolation::Full);
        let expected = digest(&piece, times);
        Self { layer, piece, times, expected, executor, counter: AtomicU64::new(0) }
    }

    fn piped(&self, log: &Path, sync: bool) {
        let mut reader = Command::new("cat").stdin(Stdio::piped()).stdout(File::create(log).expect("a file")).spawn().expect("cat");
        let into = Stdio::from(reader.stdin.take().expect("a pipe"));
        let said = Command::new("cat").args(vec![&self.piece; self.times]).stdout(into).status().expect("cat");
        assert!(said.success() && reader.wait().expect("its end").success());
        if sync {
            File::open(log).and_then(|file| file.sync_data()).expect("to sync it");
        }
    }

    fn invoked(&self, log: &Path) {
        let run = RunId::new(format!("r{}", self.counter.fetch_add(1, Ordering::Relaxed)));
        let script = format!("exec cat{}", " piece".repeat(self.times));
        let mut spec = common::step(&run, &script, vec![self.layer.clone()]);
        let all = (self.times * PIECE) as u64;
        spec.limits.log = all;
        let seen = Arc::new(AtomicU64::new(0));
        let sink = Box::new(Seen(seen.clone()));
        let result = RUNTIME.with(|runtime| runtime.block_on(common::invoke(&self.executor, spec, log, sink)));
        assert_eq!(result.outcome, Outcome::Succeeded);
        assert_eq!((result.record.log_bytes, result.record.log_dropped_bytes, seen.load(Ordering::Relaxed)), (all, 0, all));
    }
}

/// Of a file, so many times over.
fn digest(path: &Path, times: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..times {
        let mut file = File::open(path).expect("the file");
        while let Ok(length @ 1..) = file.read(&mut buffer) {
            hash.update(&buffer[..length]);
        }
    }
    hash.finalize().into()
}
