//! One plain line a fact that matters.

use crate::model::fact::{DecidedBy, Decision, RolloutFact, RolloutOutcome};
use crate::model::time::Timestamp;
use crate::model::traffic::Weight;

use super::picture::{Picture, version};
use super::text::{clean, count, span};

/// What to print for a fact that the picture has just taken in; nothing for intents and single observations. Without the function's name.
pub fn line(picture: &Picture, at: Timestamp, fact: &RolloutFact) -> Option<String> {
    let told = match fact {
        RolloutFact::Started { rollout, policy, .. } => {
            let weights: Vec<String> = picture.stages.iter().map(|stage| stage.weight.to_string()).collect();
            let first = picture.first_means().map_or_else(String::new, |means| format!("; {means}"));
            format!("rollout {rollout} started: {}, {}{first}", policy.strategy.word(), weights.join(" → "))
        }
        RolloutFact::Published { release } => format!("published {} ({})", version(release), release.id),
        RolloutFact::AlreadyLive { release } => format!("{} is serving already", version(release)),
        // The same ones as in the stage before: that was said there.
        RolloutFact::Prewarmed { .. } if !picture.warmed_anew => return None,
        RolloutFact::Prewarmed { instances, cold_start_us, .. } => {
            let slowest = cold_start_us.iter().copied().max().unwrap_or_default();
            format!("{} warm, the slowest after {}", count(u64::from(*instances), "instance"), span(std::time::Duration::from_micros(slowest)))
        }
        RolloutFact::Shifted { stage: None, .. } => format!("all traffic back on {}", picture.stable_name()),
        RolloutFact::Shifted { stage: Some(stage), .. } => {
            let weight = picture.stages.get(*stage).map_or(Weight::ALL, |stage| stage.weight);
            format!("{weight} of traffic to {}", picture.new_name())
        }
        RolloutFact::StageHeld { weight, verdict, .. } => format!("{weight} held: {}", verdict.because),
        RolloutFact::CallFailed { call, attempt, reason, retry_at } => {
            let then = retry_at.map(|then| format!("; again in {}", span(then.since(at)))).unwrap_or_default();
            format!("{} failed (attempt {attempt}): {reason}{then}", call.word())
        }
        RolloutFact::Decided { decision: Decision::Promote, by: DecidedBy::Judge, .. } => "promoting: every stage has held".to_owned(),
        RolloutFact::Decided { decision, by, verdict } => format!("{}{}: {}", decision_words(*decision), by_words(by), verdict.because),
        RolloutFact::Ended { outcome } => ended(picture, outcome),
        RolloutFact::PublishIntended { .. }
        | RolloutFact::PrewarmIntended { .. }
        | RolloutFact::ShiftIntended { .. }
        | RolloutFact::Observed { .. } => return None,
    };
    Some(clean(&told))
}

fn decision_words(decision: Decision) -> &'static str {
    match decision {
        Decision::Promote => "promoting",
        Decision::RollBack => "rolling back",
        Decision::Abort => "aborting",
    }
}

fn by_words(by: &DecidedBy) -> &'static str {
    match by {
        DecidedBy::Judge | DecidedBy::Provider { .. } => "",
        DecidedBy::Person => " (by hand)",
        DecidedBy::Recovery => " (after a crash)",
    }
}

fn ended(picture: &Picture, outcome: &RolloutOutcome) -> String {
    let (canary, _) = picture.totals();
    let failed = format!("{} of {} failed on {}", canary.errors, count(canary.requests, "request"), picture.new_name());
    match outcome {
        RolloutOutcome::Promoted => format!("promoted; {failed}"),
        RolloutOutcome::Unchanged => "unchanged".to_owned(),
        RolloutOutcome::RolledBack { .. } => format!("rolled back; {failed}"),
        RolloutOutcome::Aborted { .. } => format!("aborted; {failed}"),
        RolloutOutcome::Failed { reason } => format!("failed, nothing was shifted: {reason}"),
        RolloutOutcome::Stuck { reason } => format!("stuck: {reason}"),
    }
}
