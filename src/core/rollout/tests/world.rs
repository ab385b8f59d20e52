//! Things to start rollouts with.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::rollout::{Effect, Order, Rollout};
use crate::core::turn::Turn;
use crate::model::deploy::{JudgePolicy, RolloutPolicy, Strategy};
use crate::model::fact::{ArmCounts, Batch, RolloutFact};
use crate::model::function::{Function, Target};
use crate::model::id::{Digest, RolloutId};
use crate::model::release::{Release, ReleaseId};
use crate::model::time::Timestamp;
use crate::model::traffic::{Destination, TrafficSplit, Weight};

pub(super) fn weight(percent: u16) -> Weight {
    Weight::try_from(percent * 100).unwrap()
}

pub(in crate::core::rollout) fn canary(stages: &[u16]) -> RolloutPolicy {
    RolloutPolicy {
        strategy: Strategy::Canary { stages: stages.iter().map(|percent| weight(*percent)).collect() },
        hold: Duration::from_secs(4),
        patience: Duration::from_secs(20),
        prewarm: 2,
        judge: JudgePolicy { samples: 50, ..JudgePolicy::default() },
        probe: None,
        keep: Duration::ZERO,
    }
}

pub(super) fn function() -> Function {
    Function {
        name: "checkout".to_owned(),
        runtime: "provided.al2023".to_owned(),
        handler: "bootstrap".to_owned(),
        memory: 128 << 20,
        timeout: Duration::from_secs(3),
        concurrency: 10,
        env: BTreeMap::new(),
        target: Target::Local,
    }
}

pub(super) fn release(byte: u8) -> Release {
    let digest = Digest::from_sha256([byte; 32]);
    Release {
        id: ReleaseId::new(digest.clone()),
        function: "checkout".to_owned(),
        version: u64::from(byte),
        artifact: digest,
        published_at: Timestamp::EPOCH,
    }
}

pub(super) fn destination(byte: u8) -> Destination {
    Destination::Release(release(byte).id)
}

pub(super) const OLD: u8 = 2;
pub(super) const NEW: u8 = 3;

pub(super) fn split(percent: u16) -> TrafficSplit {
    TrafficSplit::between(destination(OLD), destination(NEW), weight(percent))
}

pub(in crate::core::rollout) fn second(n: u64) -> Timestamp {
    Timestamp::from_micros(n * 1_000_000)
}

pub(super) fn start(policy: RolloutPolicy, stable: Destination) -> (Rollout, Turn<RolloutFact, Effect>) {
    let order = Order {
        id: RolloutId::new("r1"),
        function: function(),
        policy,
        stable,
        stable_version: None,
        artifact: Digest::from_sha256([NEW; 32]),
        run: None,
    };
    Rollout::start(order, second(0))
}

pub(super) fn arm(requests: u64, errors: u64) -> ArmCounts {
    ArmCounts { requests, errors, warm: requests, ..ArmCounts::default() }
}

/// `requests` in all, shared as the split says, of which the arms fail so many.
pub(super) fn batch(percent: u64, requests: u64, canary_errors: u64, stable_errors: u64) -> Batch {
    let canary = requests * percent / 100;
    Batch { canary: arm(canary, canary_errors), stable: arm(requests - canary, stable_errors) }
}
