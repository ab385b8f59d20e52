//! The judge, and the rules that others use in its place.

use std::time::Duration;

use tidegate::core::judge::{Baseline, Judge, StageProgress, Verdict};
use tidegate::model::deploy::{ErrorPolicy, JudgePolicy};
use tidegate::model::fact::Batch;
use tidegate::model::traffic::Weight;

pub enum Rule {
    /// A check fails when the canary's success rate in a minute is below this; the fifth failed check rolls back.
    Checks {
        least: f64,
        failed: u32,
    },
    /// An alarm: errors in two minutes in a row.
    Alarm {
        row: u32,
    },
    /// A two-proportion z-test over all counts so far, looked at every minute.
    Repeated {
        z: f64,
        n: [f64; 2],
        k: [f64; 2],
    },
    /// Wald's test of 0.1 % against 0.5 %: it has to know the baseline.
    Wald {
        log: f64,
        passed: bool,
    },
    Ours(Box<Judge>),
}

/// A name, and how to make one afresh for each run.
type Row = (&'static str, fn() -> Rule);

pub const ROWS: [Row; 9] = [
    ("success rate < 99 %, 5 failed checks", || Rule::Checks { least: 0.99, failed: 0 }),
    ("success rate < 99.5 %, 5 failed checks", || Rule::Checks { least: 0.995, failed: 0 }),
    ("alarm: errors in 2 minutes running", || Rule::Alarm { row: 0 }),
    ("z-test at 5 %, every minute", || Rule::Repeated { z: 1.645, n: [0.0; 2], k: [0.0; 2] }),
    ("z-test at 1 %, every minute", || Rule::Repeated { z: 2.326, n: [0.0; 2], k: [0.0; 2] }),
    ("Wald, 0.1 % against 0.5 %", || Rule::Wald { log: 0.0, passed: false }),
    ("**Tidegate, α = 5 %**", || ours(0.95, 0.0)),
    ("**Tidegate, α = 1 %**", || ours(0.99, 0.0)),
    ("**Tidegate, as it comes** (α = 0.1 %, margin 0.5 %)", || ours(0.999, 0.005)),
];

/// Without the margin it is quicker to condemn, so wrong rollbacks are counted where they are likeliest.
pub fn ours(confidence: f64, margin: f64) -> Rule {
    let policy = JudgePolicy { errors: ErrorPolicy { margin, objective: 0.01 }, latency: None, confidence, samples: 0 };
    Rule::Ours(Box::new(Judge::new(&policy, Baseline::Stable)))
}

impl Rule {
    /// Whether it rolls back after this minute.
    pub fn condemns(&mut self, batch: &Batch, weight: Weight) -> bool {
        let canary = (batch.canary.requests as f64, batch.canary.errors as f64);
        match self {
            Self::Checks { least, failed } => {
                *failed += u32::from(canary.0 > 0.0 && 1.0 - canary.1 / canary.0 < *least);
                *failed >= 5
            }
            Self::Alarm { row } => {
                *row = if canary.1 > 0.0 { *row + 1 } else { 0 };
                *row >= 2
            }
            Self::Repeated { z, n, k } => {
                n[0] += batch.stable.requests as f64;
                k[0] += batch.stable.errors as f64;
                n[1] += canary.0;
                k[1] += canary.1;
                let pooled = (k[0] + k[1]) / (n[0] + n[1]);
                let deviation = (pooled * (1.0 - pooled) * (1.0 / n[0] + 1.0 / n[1])).sqrt();
                deviation > 0.0 && (k[1] / n[1] - k[0] / n[0]) / deviation > *z
            }
            Self::Wald { log, passed } => {
                *log += canary.1 * 5_f64.ln() + (canary.0 - canary.1) * (0.995_f64 / 0.999).ln();
                *passed |= *log <= (0.05_f64 / 0.99).ln();
                !*passed && *log >= (0.95_f64 / 0.01).ln()
            }
            Self::Ours(judge) => {
                judge.update(batch, Some(weight)).expect("simulated counts can be");
                let progress = StageProgress { elapsed: Duration::ZERO, hold: Duration::MAX, patience: Duration::MAX, requests: 0 };
                matches!(judge.verdict(&progress), Verdict::Fail(_))
            }
        }
    }
}
