//! What planning costs, and how the cost of a node grows with the graph: `cargo bench --bench plan`.
//!
//! Three shapes of graph, each with 1,000 and 10,000 nodes, interleaved in one run; medians, and their ratio. Reading the file is measured beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tidegate::core::{plan, spec};
use tidegate::model::event::{Event, EventKind};
use tidegate::model::id::CommitId;

const ROUNDS: usize = 15;

fn main() {
    let event = Event {
        kind: EventKind::Manual,
        repository: "bench".into(),
        reference: "refs/heads/main".into(),
        branch: Some("main".into()),
        commit: CommitId::new("0".repeat(40)),
        subject: "bench".into(),
        author: "bench".into(),
        changed: None,
        params: BTreeMap::new(),
        context: Default::default(),
    };
    println!("| graph | nodes | load ms | plan ms | plan µs a node | ratio a node 10,000 : 1,000 |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (name, shape) in [("chain", chain as fn(usize, usize) -> Vec<usize>), ("fan-out", fan_out), ("random", random)] {
        let small = text(1_000, shape);
        let large = text(10_000, shape);
        let mut samples = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (at, text) in [&small, &large].into_iter().enumerate() {
                let (load, plan) = measure(text, &event);
                samples[at * 2].push(load);
                samples[at * 2 + 1].push(plan);
            }
        }
        let [load_small, plan_small, load_large, plan_large] = samples.map(median);
        let ratio = (plan_large.as_secs_f64() / 10_000.0) / (plan_small.as_secs_f64() / 1_000.0);
        row(name, 1_000, load_small, plan_small, String::new());
        row(name, 10_000, load_large, plan_large, format!("{ratio:.2}"));
    }
}

fn row(name: &str, nodes: u32, load: Duration, plan: Duration, ratio: String) {
    let (load_ms, plan_ms) = (load.as_secs_f64() * 1e3, plan.as_secs_f64() * 1e3);
    println!("| {name} | {nodes} | {load_ms:.1} | {plan_ms:.1} | {:.2} | {ratio} |", plan.as_secs_f64() * 1e6 / f64::from(nodes));
}

fn measure(text: &str, event: &Event) -> (Duration, Duration) {
    let start = Instant::now();
    let pipeline = spec::load("bench.yaml", text, &|_| None).expect("the file is good");
    let loaded = start.elapsed();
    let start = Instant::now();
    let plan = plan::build(&pipeline, event, &[]).expect("the plan is good");
    let planned = start.elapsed();
    assert!(plan.nodes.len() >= 1_000);
    (loaded, planned)
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort();
    samples[samples.len() / 2]
}

fn text(nodes: usize, needs: fn(usize, usize) -> Vec<usize>) -> String {
    let mut text = "name: bench\nenv: { A: b }\nsteps:\n".to_owned();
    for at in 0..nodes {
        let needs: Vec<String> = needs(at, nodes).iter().map(|need| format!("s{need}")).collect();
        let _ = writeln!(text, "  s{at}: {{ run: \"x ${{{{ event.kind }}}}\", needs: [{}] }}", needs.join(","));
    }
    text
}

fn chain(at: usize, _: usize) -> Vec<usize> {
    at.checked_sub(1).into_iter().collect()
}

fn fan_out(at: usize, nodes: usize) -> Vec<usize> {
    match at {
        0 => Vec::new(),
        last if last + 1 == nodes => (1..last).collect(),
        _ => vec![0],
    }
}

/// Up to three earlier steps, the same in every run.
fn random(at: usize, _: usize) -> Vec<usize> {
    let mut needs: Vec<usize> = (1..=3_usize).filter_map(|n| (at * 7_919 + n * 104_729).wrapping_mul(2_654_435_761).checked_rem(at)).collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}
