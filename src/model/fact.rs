//! Facts: what has happened and is journaled. The only source of truth after a crash.
//!
//! A fact is never changed once a release has written it: new meaning is a new variant. `fixtures/journals/` keeps samples of every version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::artifact::Artifact;
use super::deploy::RolloutPolicy;
use super::event::Event;
use super::function::Function;
use super::id::{NodeId, RolloutId, RunId};
use super::invocation::InvocationRecord;
use super::outcome::{Outcome, RunOutcome};
use super::policy::Voice;
use super::release::Release;
use super::request::RequestFact;
use super::time::Timestamp;
use super::traffic::{Destination, TrafficSplit, Weight};

/// One line of the journal, as it was appended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is about: one run or one rollout.
    pub stream: Stream,
    /// Counts up in its stream from 1, without gaps.
    pub number: u64,
    pub at: Timestamp,
    pub fact: Fact,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    Run(RunId),
    Rollout(RolloutId),
    /// A run that has been asked for; the id is that of the run.
    Request(RunId),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "most facts are of runs")]
pub enum Fact {
    Run(RunFact),
    Rollout(RolloutFact),
    Request(RequestFact),
}

/// What happens in the life of a run, in the order it can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum RunFact {
    /// The plan is kept whole, so that replay needs nothing else.
    Started {
        run: RunId,
        pipeline: String,
        event: Event,
        plan: serde_json::Value,
    },
    /// It is not run: what it left in an earlier run is what it leaves in this one.
    NodeKept {
        node: NodeId,
        from: RunId,
        artifacts: Vec<Artifact>,
        values: BTreeMap<String, String>,
        layer: Option<String>,
    },
    /// Everything it needs has ended and its condition holds. Its environment holds it up: until somebody has approved it (if `approval`), not before `opens`, and until
    /// nobody else is there. After `expires` no approval is waited for.
    NodeHeld {
        node: NodeId,
        environment: String,
        approval: bool,
        opens: Timestamp,
        expires: Timestamp,
    },
    /// Somebody who may has let it into its environment.
    NodeApproved {
        node: NodeId,
        by: Voice,
    },
    /// Somebody who may has not: its end follows.
    NodeRejected {
        node: NodeId,
        by: Voice,
        reason: String,
    },
    /// Everything it needs has ended and its condition holds, and its environment lets it in. It waits for room.
    NodeQueued {
        node: NodeId,
    },
    /// The executor is asked next. Journaled first, so that it is never asked twice.
    InvocationStarted {
        node: NodeId,
        attempt: u32,
        deadline: Timestamp,
    },
    InvocationEnded {
        node: NodeId,
        attempt: u32,
        outcome: Outcome,
        record: Option<InvocationRecord>,
        artifacts: Vec<Artifact>,
        values: BTreeMap<String, String>,
        /// Where the outputs stand, for those who need them.
        layer: Option<String>,
    },
    /// The attempt failed in a way that its retry policy covers.
    RetryScheduled {
        node: NodeId,
        attempt: u32,
        at: Timestamp,
    },
    /// A deploy step handed over to a rollout.
    RolloutAttached {
        node: NodeId,
        rollout: RolloutId,
    },
    NodeEnded {
        node: NodeId,
        outcome: Outcome,
    },
    CancelRequested {
        reason: String,
    },
    Ended {
        outcome: RunOutcome,
    },
}

/// What happens in the life of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum RolloutFact {
    Started {
        rollout: RolloutId,
        function: Box<Function>,
        policy: Box<RolloutPolicy>,
        stable: Destination,
        /// What people call the stable release ("v3"), where the provider knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stable_version: Option<u64>,
        run: Option<RunId>,
    },
    /// The provider is asked next to publish the artifact.
    PublishIntended {
        artifact: super::id::Digest,
    },
    Published {
        release: Release,
    },
    /// The digest is what already serves: nothing to move.
    AlreadyLive {
        release: Release,
    },
    PrewarmIntended {
        stage: usize,
        instances: u32,
    },
    Prewarmed {
        stage: usize,
        instances: u32,
        cold_start_us: Vec<u64>,
    },
    /// The provider is asked next to set this split; `stage` is `None` for a way back.
    ShiftIntended {
        stage: Option<usize>,
        split: TrafficSplit,
    },
    /// The provider has said that the split is in force, under this revision of its own.
    Shifted {
        stage: Option<usize>,
        split: TrafficSplit,
        revision: u64,
    },
    Observed {
        stage: usize,
        batch: Batch,
    },
    StageHeld {
        stage: usize,
        weight: Weight,
        verdict: VerdictRecord,
    },
    /// A call to the provider did not do what was asked. `retry_at`: the same call is made again then; without it, this was the last attempt.
    CallFailed {
        call: ProviderCall,
        attempt: u32,
        reason: String,
        retry_at: Option<Timestamp>,
    },
    /// A decision, with the numbers that it was made from.
    Decided {
        decision: Decision,
        by: DecidedBy,
        verdict: VerdictRecord,
    },
    Ended {
        outcome: RolloutOutcome,
    },
}

/// What a rollout asks of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderCall {
    Publish,
    Prewarm,
    Shift,
    /// The shift that gives the stable release everything back.
    ShiftBack,
    Observe,
}

impl ProviderCall {
    /// As in "… failed".
    pub fn word(self) -> &'static str {
        match self {
            Self::Publish => "publishing",
            Self::Prewarm => "prewarming",
            Self::Shift => "shifting traffic",
            Self::ShiftBack => "shifting traffic back",
            Self::Observe => "observing",
        }
    }
}

/// Requests observed at both arms over one closed interval.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub stable: ArmCounts,
    pub canary: ArmCounts,
}

/// What one arm did in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmCounts {
    pub requests: u64,
    pub errors: u64,
    /// Requests that were served warm: only these count for latency.
    pub warm: u64,
    /// Warm requests that took longer than the latency policy's limit.
    pub slow: u64,
    /// Instances that never came up. One is enough to fail a release.
    pub init_failures: u64,
}

impl ArmCounts {
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.warm += other.warm;
        self.slow += other.slow;
        self.init_failures += other.init_failures;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    Promote,
    RollBack,
    /// Put back what was there, because somebody said so.
    Abort,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedBy {
    Judge,
    Person,
    /// The rollout's process died; the next start took the safe way.
    Recovery,
    /// The provider failed in a way that the rollout could not go on from.
    Provider {
        reason: String,
    },
}

/// The numbers behind a verdict, as they stood then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VerdictRecord {
    pub stable: ArmCounts,
    pub canary: ArmCounts,
    pub metrics: Vec<MetricRecord>,
    /// One sentence for people.
    pub because: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// `errors`, `latency`.
    pub name: String,
    pub stable_rate: f64,
    pub canary_rate: f64,
    /// Natural logarithm of the evidence that the new release is worse.
    pub log_evidence: f64,
    /// Natural logarithm of what the evidence must reach for a rollback.
    pub log_threshold: f64,
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum RolloutOutcome {
    Promoted,
    /// The same release was serving already.
    Unchanged,
    RolledBack {
        reason: String,
    },
    Aborted {
        reason: String,
    },
    /// Nothing was shifted: publishing failed.
    Failed {
        reason: String,
    },
    /// The way back failed as well, or somebody else changed the split: a person must look.
    Stuck {
        reason: String,
    },
}

impl RolloutOutcome {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Unchanged => "unchanged",
            Self::RolledBack { .. } => "rolled-back",
            Self::Aborted { .. } => "aborted",
            Self::Failed { .. } => "failed",
            Self::Stuck { .. } => "stuck",
        }
    }
}
