//! The judge's numbers as one sentence for people.

use crate::model::number::{grouped, odds, percent};

use super::metric::{Metric, MetricName, rate};
use super::state::{Baseline, Judge};
use super::verdict::{Failure, Shortage, Verdict};

pub(super) fn because(judge: &Judge, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Fail(Failure::InitFailures { instances: 1 }) => "an instance of the new release never came up".to_owned(),
        Verdict::Fail(Failure::InitFailures { instances }) => format!("{} instances of the new release never came up", grouped(*instances)),
        Verdict::Fail(Failure::Worse { metric }) => match judge.metrics().iter().find(|found| found.name == *metric) {
            Some(metric) => format!("{}: {}", comparison(judge, metric), evidence(judge, metric)),
            None => "the new release is worse".to_owned(),
        },
        Verdict::StagePassed => passed(judge),
        Verdict::Hold(shortage) => lacks(shortage),
        Verdict::Inconclusive(Shortage::Samples { .. }) if judge.canary().requests == 0 => {
            "inconclusive: not one request reached the new release; send traffic or add a `probe`".to_owned()
        }
        Verdict::Inconclusive(shortage @ Shortage::Samples { .. }) => {
            format!("inconclusive: {} in time; add a `probe`, wait longer (`hold`) or ask for fewer `samples`", lacks(shortage))
        }
        Verdict::Inconclusive(shortage) => format!("inconclusive: {}", lacks(shortage)),
    }
}

/// "12 of 240 requests failed on the new release (5.0 %), 1 of 2,160 on the stable one (0.046 %)"
fn comparison(judge: &Judge, metric: &Metric) -> String {
    let (canary, stable) = (metric.name.tally(judge.canary()), metric.name.tally(judge.stable()));
    let did = match metric.name {
        MetricName::Errors => "requests failed",
        MetricName::Latency => "warm requests were slow",
    };
    let new = format!("{} of {} {did} on the new release ({})", grouped(canary.bad), grouped(canary.of), percent(rate(canary)));
    match judge.baseline() {
        Baseline::Stable => format!("{new}, {} of {} on the stable one ({})", grouped(stable.bad), grouped(stable.of), percent(rate(stable))),
        Baseline::Objective => format!("{new}, {} are allowed", percent(metric.objective())),
    }
}

/// "evidence 310,000 to 1, 1,000 needed"
fn evidence(judge: &Judge, metric: &Metric) -> String {
    format!("evidence {} to 1, {} needed", odds(metric.ln_evidence()), odds(judge.log_threshold()))
}

fn passed(judge: &Judge) -> String {
    let seen = format!("{} of {} requests failed on the new release", grouped(judge.canary().errors), grouped(judge.canary().requests));
    match judge.metrics().iter().find(|metric| metric.ln_evidence() >= judge.log_threshold()) {
        Some(metric) => format!("{}: worse, but by no more than the margin of {}", comparison(judge, metric), percent(metric.margin())),
        None => format!("nothing speaks against it: {seen}"),
    }
}

fn lacks(shortage: &Shortage) -> String {
    match shortage {
        Shortage::Time { left } => format!("{:.1} s of the stage are left", left.as_secs_f64()),
        Shortage::Blind => "what the releases do could not be observed any more".to_owned(),
        Shortage::Samples { seen, needed } => format!("{} of {} requests seen", grouped(*seen), grouped(*needed)),
        Shortage::Routing { canary, stable } => format!(
            "requests do not reach the releases as the weights say ({} to the new one, {} to the stable one), so they can not be compared",
            grouped(*canary),
            grouped(*stable)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::StageProgress;
    use super::*;
    use crate::model::deploy::{JudgePolicy, LatencyPolicy};
    use crate::model::fact::{ArmCounts, Batch};
    use std::time::Duration;

    fn arm(requests: u64, errors: u64) -> ArmCounts {
        ArmCounts { requests, errors, warm: requests, ..ArmCounts::default() }
    }

    fn stage(seconds: u64, requests: u64) -> StageProgress {
        StageProgress { elapsed: Duration::from_secs(seconds), hold: Duration::from_secs(10), patience: Duration::from_secs(60), requests }
    }

    fn sentence(policy: &JudgePolicy, baseline: Baseline, batch: Batch, progress: StageProgress) -> String {
        let mut judge = Judge::new(policy, baseline);
        judge.update(&batch, None).unwrap();
        judge.record(&judge.verdict(&progress)).because
    }

    #[test]
    fn each_verdict_says_which_numbers_decided_it() {
        let policy = JudgePolicy::default();
        let latency =
            JudgePolicy { latency: Some(LatencyPolicy { over: Duration::from_millis(300), margin: 0.01, objective: 0.01 }), ..policy.clone() };
        let slow = ArmCounts { slow: 90, ..arm(600, 0) };
        let told = [
            sentence(&policy, Baseline::Stable, Batch { canary: arm(240, 12), stable: arm(2_160, 1) }, stage(1, 240)),
            sentence(&latency, Baseline::Stable, Batch { canary: slow, stable: arm(5_400, 3) }, stage(1, 600)),
            sentence(&policy, Baseline::Objective, Batch { canary: arm(200, 30), stable: arm(0, 0) }, stage(1, 200)),
            sentence(&policy, Baseline::Stable, Batch { canary: ArmCounts { init_failures: 1, ..arm(3, 3) }, stable: arm(60, 0) }, stage(1, 3)),
            sentence(&policy, Baseline::Stable, Batch { canary: arm(30, 0), stable: arm(270, 0) }, stage(60, 30)),
            sentence(&policy, Baseline::Stable, Batch { canary: arm(900, 0), stable: arm(8_100, 0) }, stage(3, 900)),
            sentence(&policy, Baseline::Stable, Batch { canary: arm(1_900, 2), stable: arm(8_100, 11) }, stage(12, 900)),
            sentence(&policy, Baseline::Stable, Batch { canary: arm(100_000, 400), stable: arm(900_000, 0) }, stage(12, 100_000)),
        ]
        .join("\n");
        insta::assert_snapshot!(told, @r"
        12 of 240 requests failed on the new release (5.0 %), 1 of 2,160 on the stable one (0.05 %): evidence 1e9 to 1, 1,000 needed
        90 of 600 warm requests were slow on the new release (15.0 %), 0 of 5,400 on the stable one (0 %): evidence 1e88 to 1, 2,000 needed
        30 of 200 requests failed on the new release (15.0 %), 1.0 % are allowed: evidence 1e21 to 1, 1,000 needed
        an instance of the new release never came up
        inconclusive: 30 of 500 requests seen in time; add a `probe`, wait longer (`hold`) or ask for fewer `samples`
        7.0 s of the stage are left
        nothing speaks against it: 2 of 1,900 requests failed on the new release
        400 of 100,000 requests failed on the new release (0.40 %), 0 of 900,000 on the stable one (0 %): worse, but by no more than the margin of 0.50 %
        ");
    }
}
