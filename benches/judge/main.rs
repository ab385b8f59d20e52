//! How often each rule rolls back, over the same simulated traffic: `cargo bench --bench judge [-- RUNS]` prints docs/judge.md's tables as Markdown.

mod judges;
mod traffic;

use judges::{ROWS, Rule};
use traffic::World;

/// 200 looks, a minute each.
const MINUTES: usize = 200;

const WORLDS: [(&str, World); 9] = [
    ("0.1 % (as good)", traffic::flat),
    ("0.2 %", traffic::worse::<20>),
    ("0.5 %", traffic::worse::<50>),
    ("1 %", traffic::worse::<100>),
    ("5 %", traffic::worse::<500>),
    ("as good: incident", traffic::incident),
    ("as good: drift", traffic::drift),
    ("as good: ramp", traffic::ramp),
    ("as good: pause", traffic::pause),
];

/// Canary requests until the rollback, of the runs that had one.
#[derive(Default, Clone)]
struct Cell {
    after: Vec<u64>,
}

fn main() {
    // `cargo bench` passes flags of its own.
    let runs = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(4_000_usize);
    println!(
        "{runs} runs of {MINUTES} minutes with {} requests each, 10 % of them to the new release; the stable release fails 0.1 % of them.",
        traffic::REQUESTS
    );
    println!("Rollbacks in % of the runs; median number of requests to the new release until then.\n");
    print!("| rule |");
    WORLDS.iter().for_each(|(name, _)| print!(" {name} |"));
    println!("\n|---|{}", "---|".repeat(WORLDS.len()));
    let columns: Vec<Vec<Cell>> = WORLDS.iter().enumerate().map(|(seed, (_, world))| simulate(*world, runs, seed as u64)).collect();
    for (row, (name, _)) in ROWS.iter().enumerate() {
        print!("| {name} |");
        columns.iter().for_each(|column| print!(" {} |", show(&column[row], runs)));
        println!();
    }
}

fn simulate(world: World, runs: usize, seed: u64) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); ROWS.len()];
    for run in 0..runs {
        let mut random = fastrand::Rng::with_seed(seed << 32 | run as u64);
        let mut rules: Vec<Option<Rule>> = ROWS.iter().map(|(_, make)| Some(make())).collect();
        let mut seen = 0;
        for minute in 0..MINUTES {
            let (batch, weight) = traffic::draw(&mut random, world(minute));
            seen += batch.canary.requests;
            for (rule, cell) in rules.iter_mut().zip(&mut cells) {
                if rule.as_mut().is_some_and(|rule| rule.condemns(&batch, weight)) {
                    cell.after.push(seen);
                    *rule = None;
                }
            }
        }
    }
    cells
}

fn show(cell: &Cell, runs: usize) -> String {
    let mut after = cell.after.clone();
    after.sort_unstable();
    let share = 100.0 * after.len() as f64 / runs as f64;
    let share = if share >= 99.95 {
        "100".to_owned()
    } else if share < 10.0 {
        format!("{share:.2}")
    } else {
        format!("{share:.1}")
    };
    match after.get(after.len() / 2) {
        Some(median) if after.len() * 2 > runs => format!("{share}; {}", median / 10 * 10),
        _ => share,
    }
}
