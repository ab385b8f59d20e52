//! How a rollout shall go: strategy, judge and probe as the file says them, checked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::traffic::Weight;

/// Everything that a rollout is told before it starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutPolicy {
    pub strategy: Strategy,
    /// Least time in each stage.
    pub hold: Duration,
    /// How long a stage may last before its verdict is "inconclusive".
    pub patience: Duration,
    /// Instances started before a stage takes traffic.
    pub prewarm: u32,
    pub judge: JudgePolicy,
    pub probe: Option<Probe>,
    /// How long the old release stays ready after promotion.
    pub keep: Duration,
}

/// The shape of the move. Stages are strictly rising and below 100 %; 100 % follows when all have held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    AllAtOnce,
    Canary { stages: Vec<Weight> },
    Linear { step: Weight },
}

impl Strategy {
    /// The stages below 100 %, in order.
    pub fn stages(&self) -> Vec<Weight> {
        match self {
            Self::AllAtOnce => Vec::new(),
            Self::Canary { stages } => stages.clone(),
            Self::Linear { step } => {
                let step = step.basis_points().max(1);
                (1..).map(|n| step.saturating_mul(n)).take_while(|points| *points < 10_000).filter_map(Weight::from_basis_points).collect()
            }
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::AllAtOnce => "all-at-once",
            Self::Canary { .. } => "canary",
            Self::Linear { .. } => "linear",
        }
    }
}

/// What the judge looks at and how sure it must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgePolicy {
    pub errors: ErrorPolicy,
    pub latency: Option<LatencyPolicy>,
    /// 0.999 means: over the whole rollout, however often one looks, a release that is no worse is rolled back with a probability of at most 0.001.
    pub confidence: f64,
    /// Least requests to the new release before a stage may end.
    pub samples: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorPolicy {
    /// The new release may be worse by at most so much (a fraction; 0.005 is half a percent).
    pub margin: f64,
    /// The error rate that a function's first release is held to, as there is nothing to compare it with (a fraction).
    pub objective: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyPolicy {
    /// A warm request slower than this counts as slow.
    pub over: Duration,
    /// The share of slow requests may be worse by at most so much (a fraction).
    pub margin: f64,
    /// The share of slow requests that a function's first release is held to (a fraction).
    pub objective: f64,
}

impl Default for JudgePolicy {
    fn default() -> Self {
        Self { errors: ErrorPolicy { margin: 0.005, objective: 0.01 }, latency: None, confidence: 0.999, samples: 500 }
    }
}

/// Synthetic requests when there is too little real traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Starts with `/`.
    pub path: String,
    /// Requests a second.
    pub rate: f64,
}
