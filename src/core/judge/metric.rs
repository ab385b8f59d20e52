//! One thing that is watched: its counts, its evidence, and how much worse counts as worse.

use crate::model::fact::{ArmCounts, MetricRecord};

use super::evidence::Evidence;
use super::factor::Tally;
use super::state::Baseline;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricName {
    Errors,
    Latency,
}

impl MetricName {
    /// The word for it in facts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
        }
    }

    /// What counts for it: all requests for errors, only warm ones for latency (a new release starts cold, which says nothing about it).
    pub(super) fn tally(self, arm: &ArmCounts) -> Tally {
        match self {
            Self::Errors => Tally { of: arm.requests, bad: arm.errors },
            Self::Latency => Tally { of: arm.warm, bad: arm.slow },
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub name: MetricName,
    /// What a worse rate must exceed to matter (two arms only).
    margin: f64,
    /// The rate that is held against the new release where there is no other (one arm only).
    objective: f64,
    evidence: Evidence,
    /// Sums over the batches for the stratified difference of rates (Mantel and Haenszel): comparing within each batch and only then averaging
    /// keeps a stage with other weights and an incident in it from looking like a difference between the releases.
    excess: f64,
    weight: f64,
}

impl Metric {
    pub(super) fn new(name: MetricName, margin: f64, objective: f64) -> Self {
        Self {
            name,
            margin: sane(margin, 0.0),
            objective: sane(objective, 1.0).max(LEAST_OBJECTIVE),
            evidence: Evidence::default(),
            excess: 0.0,
            weight: 0.0,
        }
    }

    pub(super) fn see(&mut self, canary: &ArmCounts, stable: &ArmCounts, baseline: Baseline) {
        let (canary, stable) = (self.name.tally(canary), self.name.tally(stable));
        match baseline {
            Baseline::Stable => {
                self.evidence.see_two_arms(canary, stable);
                let (n1, n0) = (canary.of as f64, stable.of as f64);
                if n1 + n0 > 0.0 {
                    self.excess += (canary.bad as f64 * n0 - stable.bad as f64 * n1) / (n1 + n0);
                    self.weight += n1 * n0 / (n1 + n0);
                }
            }
            Baseline::Objective => self.evidence.see_one_arm(canary, self.objective),
        }
    }

    /// ln of the evidence that the new release is worse.
    pub fn ln_evidence(&self) -> f64 {
        self.evidence.ln()
    }

    /// By how much the new release's rate was above the stable one's, as observed.
    pub fn difference(&self) -> f64 {
        if self.weight > 0.0 { self.excess / self.weight } else { 0.0 }
    }

    /// Whether what was observed is large enough to matter. Held against an objective, the objective itself says what matters.
    pub(super) fn matters(&self, baseline: Baseline) -> bool {
        match baseline {
            Baseline::Stable => self.difference() > self.margin,
            Baseline::Objective => true,
        }
    }

    pub fn margin(&self) -> f64 {
        self.margin
    }
    pub fn objective(&self) -> f64 {
        self.objective
    }

    pub(super) fn record(&self, canary: &ArmCounts, stable: &ArmCounts, baseline: Baseline, log_threshold: f64) -> MetricRecord {
        MetricRecord {
            name: self.name.word().to_owned(),
            stable_rate: match baseline {
                Baseline::Stable => rate(self.name.tally(stable)),
                Baseline::Objective => self.objective,
            },
            canary_rate: rate(self.name.tally(canary)),
            log_evidence: self.ln_evidence(),
            log_threshold,
        }
    }
}

/// An objective of "never" still needs odds to compare with: one in a million.
const LEAST_OBJECTIVE: f64 = 1e-6;

/// A fraction, whatever came in.
fn sane(fraction: f64, otherwise: f64) -> f64 {
    if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { otherwise }
}

pub(super) fn rate(tally: Tally) -> f64 {
    if tally.of == 0 { 0.0 } else { tally.bad as f64 / tally.of as f64 }
}
