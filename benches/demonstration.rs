//! The rollback demonstration: twenty healthy changes of the quick start's function, then five releases that answer 5 % of the requests with an error.
//! Run with `cargo bench --bench demonstration`. Every run is `tidegate run pipelines/quickstart.yaml` as a person types it.

#[path = "../tests/support/mod.rs"]
mod support;

use support::World;
use tidegate::model::fact::{ArmCounts, Entry, Fact, RolloutFact, RolloutOutcome};

const HEALTHY: usize = 20;
const FAULTY: usize = 5;

fn main() {
    let world = World::with(&[("README.md", "A repository.\n")]);
    world.copy_from_package("pipelines", "pipelines");
    world.commit("The quick start");
    println!("first release: {}", run(&world, "0%").outcome);

    let (mut promoted, mut failed_in_healthy) = (0, 0);
    for change in 0..HEALTHY {
        change_the_function(&world, change);
        let seen = run(&world, "0%");
        promoted += usize::from(seen.outcome == "promoted");
        failed_in_healthy += seen.canary.errors;
        println!(
            "healthy {:>2}: {:<12} {:>5} requests to the new release, {} failed",
            change + 1,
            seen.outcome,
            seen.canary.requests,
            seen.canary.errors
        );
    }
    let mut rolled_back = Vec::new();
    for change in 0..FAULTY {
        change_the_function(&world, HEALTHY + change);
        let seen = run(&world, "5%");
        println!(
            "faulty  {:>2}: {:<12} {:>5} requests to the new release, {} failed: {}",
            change + 1,
            seen.outcome,
            seen.canary.requests,
            seen.canary.errors,
            seen.because
        );
        if seen.outcome == "rolled-back" {
            rolled_back.push(seen.canary);
        }
    }
    println!("\n| release | runs | outcome | failed requests that clients saw |\n|---|---|---|---|");
    println!("| healthy | {HEALTHY} | {promoted} promoted | {failed_in_healthy} |");
    let failed: Vec<String> = rolled_back.iter().map(|canary| canary.errors.to_string()).collect();
    println!("| 5 % errors | {FAULTY} | {} rolled back | {} |", rolled_back.len(), failed.join(", "));
    assert_eq!((promoted, rolled_back.len()), (HEALTHY, FAULTY), "the demonstration did not show what it is there for");
}

struct Seen {
    outcome: &'static str,
    because: String,
    canary: ArmCounts,
}

fn run(world: &World, fault: &str) -> Seen {
    let seen = world.tidegate(&["run", "pipelines/quickstart.yaml", "--json", "--param", &format!("fault={fault}")]);
    let facts = seen.out.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()).filter_map(|entry| match entry.fact {
        Fact::Rollout(fact) => Some(fact),
        Fact::Run(_) | Fact::Request(_) => None,
    });
    let mut result = Seen { outcome: "no rollout", because: seen.err.clone(), canary: ArmCounts::default() };
    for fact in facts {
        match fact {
            RolloutFact::Observed { batch, .. } => result.canary.add(&batch.canary),
            RolloutFact::Decided { verdict, .. } => result.because = verdict.because,
            RolloutFact::Ended { outcome } => result.outcome = RolloutOutcome::word(&outcome),
            _ => {}
        }
    }
    result
}

fn change_the_function(world: &World, change: usize) {
    let path = "pipelines/quickstart/handler.py";
    let text = std::fs::read_to_string(world.repository().join(path)).expect("the function");
    world.write(path, &format!("{text}\n# change {change}\n"));
    world.commit("Change the function");
}
