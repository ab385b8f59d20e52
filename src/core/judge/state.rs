//! The judge itself: batches in, verdicts out.

use std::time::Duration;

use crate::model::deploy::JudgePolicy;
use crate::model::fact::{ArmCounts, Batch, VerdictRecord};
use crate::model::traffic::Weight;

use super::counts::{self, BadCounts};
use super::metric::{Metric, MetricName};
use super::routing::Routing;
use super::verdict::{Failure, Shortage, Verdict};
use super::words;

/// What the new release is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// The stable release, serving at the same time.
    Stable,
    /// The policy's objectives: a first release, or one that took all traffic at once.
    Objective,
}

/// Where a stage stands, as only its owner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageProgress {
    pub elapsed: Duration,
    /// Least time.
    pub hold: Duration,
    /// Most time.
    pub patience: Duration,
    /// Requests to the new release in this stage.
    pub requests: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    baseline: Baseline,
    metrics: Vec<Metric>,
    samples: u64,
    log_threshold: f64,
    routing: Routing,
    stable: ArmCounts,
    canary: ArmCounts,
}

impl Judge {
    pub fn new(policy: &JudgePolicy, baseline: Baseline) -> Self {
        let mut metrics = vec![Metric::new(MetricName::Errors, policy.errors.margin, policy.errors.objective)];
        if let Some(latency) = &policy.latency {
            metrics.push(Metric::new(MetricName::Latency, latency.margin, latency.objective));
        }
        Self {
            baseline,
            log_threshold: log_threshold(policy.confidence, metrics.len()),
            metrics,
            samples: policy.samples,
            routing: Routing::default(),
            stable: ArmCounts::default(),
            canary: ArmCounts::default(),
        }
    }

    /// Takes in one batch. `weight` is the new release's share of traffic during all of it; `None` when that changed in between, as then only the share
    /// that was really seen counts.
    pub fn update(&mut self, batch: &Batch, weight: Option<Weight>) -> Result<(), BadCounts> {
        counts::check(batch)?;
        for metric in &mut self.metrics {
            metric.see(&batch.canary, &batch.stable, self.baseline);
        }
        if let (Some(weight), Baseline::Stable) = (weight, self.baseline) {
            self.routing.see(batch.canary.requests, batch.stable.requests, weight);
        }
        self.stable.add(&batch.stable);
        self.canary.add(&batch.canary);
        Ok(())
    }

    pub fn verdict(&self, stage: &StageProgress) -> Verdict {
        if let Some(failure) = self.failure() {
            return Verdict::Fail(failure);
        }
        match self.shortage(stage) {
            None => Verdict::StagePassed,
            Some(shortage) if stage.elapsed >= stage.patience.max(stage.hold) => Verdict::Inconclusive(shortage),
            Some(shortage) => Verdict::Hold(shortage),
        }
    }

    /// What speaks against the new release for good. A rollback needs both: evidence past the threshold, and a difference large enough to matter.
    /// Asking for more than the evidence can only make a wrong rollback rarer.
    fn failure(&self) -> Option<Failure> {
        if self.canary.init_failures > 0 {
            return Some(Failure::InitFailures { instances: self.canary.init_failures });
        }
        let worse = self.metrics.iter().find(|metric| metric.ln_evidence() >= self.log_threshold && metric.matters(self.baseline))?;
        Some(Failure::Worse { metric: worse.name })
    }

    fn shortage(&self, stage: &StageProgress) -> Option<Shortage> {
        if self.routing.mismatched() {
            return Some(Shortage::Routing { canary: self.canary.requests, stable: self.stable.requests });
        }
        if stage.requests < self.samples {
            return Some(Shortage::Samples { seen: stage.requests, needed: self.samples });
        }
        if stage.elapsed < stage.hold {
            return Some(Shortage::Time { left: stage.hold - stage.elapsed });
        }
        None
    }

    /// The numbers behind a verdict, with one sentence for people.
    pub fn record(&self, verdict: &Verdict) -> VerdictRecord {
        self.record_because(words::because(self, verdict))
    }

    /// The numbers as they stand, with somebody else's reason.
    pub fn record_because(&self, because: String) -> VerdictRecord {
        let metrics = self.metrics.iter().map(|metric| metric.record(&self.canary, &self.stable, self.baseline, self.log_threshold)).collect();
        VerdictRecord { stable: self.stable, canary: self.canary, metrics, because }
    }

    pub fn baseline(&self) -> Baseline {
        self.baseline
    }
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }
    /// Everything the new release has answered.
    pub fn canary(&self) -> &ArmCounts {
        &self.canary
    }
    /// Everything the stable release has answered meanwhile.
    pub fn stable(&self) -> &ArmCounts {
        &self.stable
    }
    /// ln of what the evidence of any one metric must reach.
    pub fn log_threshold(&self) -> f64 {
        self.log_threshold
    }
}

/// ln(m/α): each of m metrics may be wrong with α/m, so all of them together with α (Bonferroni).
fn log_threshold(confidence: f64, metrics: usize) -> f64 {
    // A confidence that is none is the default's; none is so high that a rollback becomes impossible.
    let alpha = if (0.0..=1.0).contains(&confidence) { 1.0 - confidence } else { 0.001 };
    (metrics.max(1) as f64 / alpha.clamp(1e-12, 1.0)).ln()
}
