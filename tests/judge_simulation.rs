//! The judge over whole simulated rollouts: how often it condemns a release that is no worse, and whether a crash changes anything.
//!
//! Seeds are fixed, so each of these either always holds or never. The full tables are `cargo bench --bench judge`.

#[path = "../benches/judge/traffic.rs"]
mod traffic;

use std::time::Duration;

use tidegate::core::judge::{Baseline, Failure, Judge, MetricName, StageProgress, Verdict};
use tidegate::model::deploy::{ErrorPolicy, JudgePolicy, LatencyPolicy};
use tidegate::model::fact::{ArmCounts, Batch};
use traffic::World;

const RUNS: u32 = 400;
const MINUTES: usize = 120;
const ALPHA: f64 = 0.05;

/// Without a margin, so that nothing but the evidence stands between chance and a rollback.
fn policy() -> JudgePolicy {
    JudgePolicy { errors: ErrorPolicy { margin: 0.0, objective: 0.01 }, latency: None, confidence: 1.0 - ALPHA, samples: 0 }
}

fn condemns(judge: &Judge) -> bool {
    let progress = StageProgress { elapsed: Duration::ZERO, hold: Duration::MAX, patience: Duration::MAX, requests: 0 };
    matches!(judge.verdict(&progress), Verdict::Fail(_))
}

fn is_condemned(world: World, seed: u64) -> bool {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut judge = Judge::new(&policy(), Baseline::Stable);
    (0..MINUTES).any(|minute| {
        let (batch, weight) = traffic::draw(&mut random, world(minute));
        judge.update(&batch, Some(weight)).unwrap();
        condemns(&judge)
    })
}

fn condemned(world: World) -> u32 {
    (0..u64::from(RUNS)).map(|seed| u32::from(is_condemned(world, seed))).sum()
}

/// α and three standard deviations of the count itself.
fn most() -> f64 {
    f64::from(RUNS) * ALPHA + 3.0 * (f64::from(RUNS) * ALPHA * (1.0 - ALPHA)).sqrt()
}

#[test]
fn a_release_that_is_no_worse_is_hardly_ever_condemned() {
    for (name, world) in [
        ("flat", traffic::flat as World),
        ("drift", traffic::drift),
        ("incident", traffic::incident),
        ("ramp", traffic::ramp),
        ("pause", traffic::pause),
    ] {
        let found = condemned(world);
        assert!(f64::from(found) <= most(), "{name}: {found} of {RUNS} were rolled back wrongly");
    }
}

#[test]
fn a_release_that_is_ten_times_worse_is_condemned() {
    let found = condemned(traffic::worse::<100>);
    assert!(found >= RUNS - 2, "{found} of {RUNS}");
}

#[test]
fn a_first_release_within_its_objective_is_hardly_ever_condemned() {
    let mut found = 0;
    for seed in 0..u64::from(RUNS) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut judge = Judge::new(&policy(), Baseline::Objective);
        found += u32::from((0..MINUTES).any(|_| {
            // Exactly at the objective of 1 %: the worst that is still allowed.
            let errors = (0..100).filter(|_| random.f64() < 0.01).count() as u64;
            judge.update(&Batch { canary: ArmCounts { requests: 100, errors, ..ArmCounts::default() }, ..Batch::default() }, None).unwrap();
            condemns(&judge)
        }));
    }
    assert!(f64::from(found) <= most(), "{found} of {RUNS} were rolled back wrongly");
}

#[test]
fn a_cold_start_is_no_slowness() {
    let latency = LatencyPolicy { over: Duration::from_millis(300), margin: 0.0, objective: 0.01 };
    let policy = JudgePolicy { latency: Some(latency), ..policy() };
    // In its first minutes a tenth of the new release's requests meet a cold instance, and all of those are slow.
    let judged = |cold_counts: bool| {
        let mut judge = Judge::new(&policy, Baseline::Stable);
        for minute in 0..30 {
            let cold = if minute < 3 { 10 } else { 0 };
            let (warm, slow) = if cold_counts { (100, cold + 1) } else { (100 - cold, 1) };
            let canary = ArmCounts { requests: 100, errors: 0, warm, slow, init_failures: 0 };
            let stable = ArmCounts { requests: 900, errors: 0, warm: 900, slow: 9, init_failures: 0 };
            judge.update(&Batch { stable, canary }, None).unwrap();
            if condemns(&judge) {
                return true;
            }
        }
        false
    };
    assert!(!judged(false), "only warm requests count");
    assert!(judged(true), "or else this test would prove nothing");
}

#[test]
fn a_slow_release_is_condemned_by_its_latency() {
    let latency = LatencyPolicy { over: Duration::from_millis(300), margin: 0.01, objective: 0.01 };
    let mut judge = Judge::new(&JudgePolicy { latency: Some(latency), ..policy() }, Baseline::Stable);
    let arm = |requests, slow| ArmCounts { requests, errors: 0, warm: requests, slow, init_failures: 0 };
    judge.update(&Batch { canary: arm(200, 20), stable: arm(1_800, 18) }, None).unwrap();
    let progress = StageProgress { elapsed: Duration::ZERO, hold: Duration::MAX, patience: Duration::MAX, requests: 0 };
    assert_eq!(judge.verdict(&progress), Verdict::Fail(Failure::Worse { metric: MetricName::Latency }));
}

#[test]
fn a_crash_between_any_two_batches_changes_not_one_bit() {
    let mut random = fastrand::Rng::with_seed(7);
    let batches: Vec<_> = (0..60).map(|minute| traffic::draw(&mut random, traffic::ramp(minute))).collect();
    let after = |batches: &[(Batch, tidegate::model::traffic::Weight)]| {
        let mut judge = Judge::new(&policy(), Baseline::Stable);
        batches.iter().for_each(|(batch, weight)| judge.update(batch, Some(*weight)).unwrap());
        judge
    };
    let whole = after(&batches);
    for cut in 0..=batches.len() {
        // What a restart does: the journal's batches again, as they were read back, then what comes.
        let text = serde_json::to_string(&batches[..cut]).unwrap();
        let mut read = serde_json::from_str::<Vec<_>>(&text).unwrap();
        read.extend_from_slice(&batches[cut..]);
        let resumed = after(&read);
        assert_eq!(resumed.metrics()[0].ln_evidence().to_bits(), whole.metrics()[0].ln_evidence().to_bits());
        assert_eq!(resumed, whole);
    }
}
