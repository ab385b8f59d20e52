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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::deploy::ErrorPolicy;

    fn arm(requests: u64, errors: u64) -> ArmCounts {
        ArmCounts { requests, errors, warm: requests, ..ArmCounts::default() }
    }

    fn judge() -> Judge {
        Judge::new(&JudgePolicy { samples: 100, ..JudgePolicy::default() }, Baseline::Stable)
    }

    fn at(seconds: u64, requests: u64) -> StageProgress {
        StageProgress { elapsed: Duration::from_secs(seconds), hold: Duration::from_secs(10), patience: Duration::from_secs(60), requests }
    }

    fn tenth() -> Option<Weight> {
        Weight::from_basis_points(1_000)
    }

    #[test]
    fn a_stage_needs_time_and_samples_and_is_never_passed_for_want_of_them() {
        let mut judge = judge();
        assert_eq!(judge.verdict(&at(0, 0)), Verdict::Hold(Shortage::Samples { seen: 0, needed: 100 }));
        assert_eq!(judge.verdict(&at(60, 99)), Verdict::Inconclusive(Shortage::Samples { seen: 99, needed: 100 }));
        judge.update(&Batch { canary: arm(100, 0), stable: arm(900, 0) }, tenth()).unwrap();
        assert_eq!(judge.verdict(&at(9, 100)), Verdict::Hold(Shortage::Time { left: Duration::from_secs(1) }));
        assert_eq!(judge.verdict(&at(10, 100)), Verdict::StagePassed);
        let hasty = StageProgress { patience: Duration::from_secs(5), ..at(9, 100) };
        assert_eq!(judge.verdict(&hasty), Verdict::Hold(Shortage::Time { left: Duration::from_secs(1) }), "no stage gives up before its least time");
    }

    #[test]
    fn requests_that_go_astray_stop_a_promotion_but_not_a_rollback() {
        let mut judge = judge();
        judge.update(&Batch { canary: arm(900, 0), stable: arm(1_100, 0) }, tenth()).unwrap();
        assert_eq!(judge.verdict(&at(20, 900)), Verdict::Hold(Shortage::Routing { canary: 900, stable: 1_100 }));
        assert!(matches!(judge.verdict(&at(60, 900)), Verdict::Inconclusive(Shortage::Routing { .. })));
        judge.update(&Batch { canary: arm(900, 90), stable: arm(1_100, 0) }, tenth()).unwrap();
        assert_eq!(judge.verdict(&at(20, 1_800)), Verdict::Fail(Failure::Worse { metric: MetricName::Errors }));
    }

    #[test]
    fn certain_is_not_the_same_as_important() {
        let margin =
            |margin| Judge::new(&JudgePolicy { errors: ErrorPolicy { margin, objective: 0.01 }, ..JudgePolicy::default() }, Baseline::Stable);
        let batch = Batch { canary: arm(100_000, 400), stable: arm(900_000, 900) };
        for (mut judge, condemned) in [(margin(0.0), true), (margin(0.002), true), (margin(0.004), false)] {
            judge.update(&batch, None).unwrap();
            assert!(judge.metrics()[0].ln_evidence() > judge.log_threshold());
            assert_eq!(matches!(judge.verdict(&at(20, 100_000)), Verdict::Fail(_)), condemned);
        }
    }

    #[test]
    fn an_incident_in_a_heavy_stage_is_no_difference_between_releases() {
        let mut judge = judge();
        judge.update(&Batch { canary: arm(10, 0), stable: arm(990, 0) }, None).unwrap();
        judge.update(&Batch { canary: arm(500, 100), stable: arm(500, 100) }, None).unwrap();
        let record = judge.record(&judge.verdict(&at(20, 500)));
        assert!(record.metrics[0].canary_rate > 2.0 * record.metrics[0].stable_rate, "pooled, it looks like one");
        assert!(judge.metrics()[0].difference().abs() < 1e-12);
    }

    #[test]
    fn more_metrics_ask_for_more_evidence_and_no_confidence_makes_a_rollback_impossible() {
        assert!((log_threshold(0.999, 1) - 1_000_f64.ln()).abs() < 1e-9);
        assert!((log_threshold(0.999, 2) - 2_000_f64.ln()).abs() < 1e-9);
        for odd in [0.0, 1.0, -3.0, f64::NAN, f64::INFINITY] {
            assert!((0.0..28.0).contains(&log_threshold(odd, 1)), "{odd}");
        }
    }

    #[test]
    fn refused_counts_leave_no_trace() {
        let mut judge = judge();
        judge.update(&Batch { canary: arm(100, 3), stable: arm(900, 1) }, tenth()).unwrap();
        let before = judge.clone();
        assert!(judge.update(&Batch { canary: arm(1, 2), stable: arm(9, 0) }, tenth()).is_err());
        assert_eq!(judge, before);
    }
}
