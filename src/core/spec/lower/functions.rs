//! `functions:` and how traffic moves to a new release.

use std::time::Duration;

use super::super::fields::{duration, parse_count, parse_samples, percent, rate, size};
use super::super::pipeline::FunctionSource;
use super::super::places::Part;
use super::super::problems::Problems;
use super::cursor::Cursor;
use super::scope::Scope;
use super::texts;
use crate::model::deploy::{JudgePolicy, LatencyPolicy, Probe, RolloutPolicy, Strategy};
use crate::model::function::Target;
use crate::model::traffic::Weight;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOLD: Duration = Duration::from_secs(300);
const LEAST_PATIENCE: Duration = Duration::from_secs(600);

pub fn lower(name: String, cursor: &Cursor<'_>, scope: &Scope<'_>, steps: &[&str], problems: &mut Problems<'_>) -> FunctionSource {
    let runtime = cursor.text_at("runtime").unwrap_or_default();
    if let (false, Some(at)) = (runtime.starts_with("provided"), cursor.key("runtime")) {
        problems.later(&at.route, Part::Value, &format!("runtime {runtime}"));
    }
    let env = texts::env(cursor.key("env").as_ref(), scope, problems);
    FunctionSource {
        name,
        runtime,
        handler: cursor.text_at("handler").unwrap_or_else(|| "bootstrap".into()),
        memory: cursor.parse("memory", size::parse).unwrap_or(128 << 20),
        timeout: cursor.parse("timeout", duration::parse).unwrap_or(Duration::from_secs(10)),
        concurrency: cursor.parse("concurrency", parse_count).unwrap_or(100),
        env,
        target: target(cursor.key("target").as_ref(), problems),
        policy: policy(cursor.key("rollout").as_ref(), steps, problems),
    }
}

fn target(cursor: Option<&Cursor<'_>>, problems: &mut Problems<'_>) -> Target {
    let Some(cursor) = cursor else { return Target::Local };
    let provider = cursor.text_at("provider").unwrap_or_default();
    let (required, optional): (&[&str], &[&str]) = match provider.as_str() {
        "local" => (&[], &[]),
        "aws" => (&["region"], &["role", "alias"]),
        "gcp" => (&["project", "region"], &["service"]),
        "azure" => (&["subscription", "group", "app"], &["slot"]),
        _ => return Target::Local,
    };
    for (key, at) in cursor.entries() {
        if key != "provider" && super::super::format::is_target_key(&key) && !required.contains(&key.as_str()) && !optional.contains(&key.as_str()) {
            problems.error("conflicting-keys", &at.route, Part::Key, format!("the provider {provider} has no {key}"), "belongs to another provider");
        }
    }
    for key in required.iter().filter(|key| cursor.key(key).is_none()) {
        problems.error("missing-key", &cursor.route, Part::Key, format!("the provider {provider} needs {key}"), format!("needs {key}"));
    }
    if let (true, Some(at)) = (provider != "local", cursor.key("provider")) {
        problems.later(&at.route, Part::Value, &format!("provider {provider}"));
    }
    let text = |key: &str| cursor.text_at(key).unwrap_or_default();
    match provider.as_str() {
        "aws" => {
            Target::Aws { region: text("region"), role: cursor.text_at("role"), alias: cursor.text_at("alias").unwrap_or_else(|| "live".into()) }
        }
        "gcp" => Target::Gcp { project: text("project"), region: text("region"), service: cursor.text_at("service") },
        "azure" => Target::Azure { subscription: text("subscription"), group: text("group"), app: text("app"), slot: cursor.text_at("slot") },
        _ => Target::Local,
    }
}

/// A rollout with all its defaults.
pub fn policy(cursor: Option<&Cursor<'_>>, steps: &[&str], problems: &mut Problems<'_>) -> RolloutPolicy {
    let usual = || Strategy::Canary { stages: [100, 500, 2_500, 5_000].into_iter().filter_map(Weight::from_basis_points).collect() };
    let Some(cursor) = cursor else {
        return RolloutPolicy {
            strategy: usual(),
            hold: HOLD,
            patience: HOLD * 6,
            prewarm: 1,
            judge: JudgePolicy::default(),
            probe: None,
            keep: DAY,
        };
    };
    let hold = cursor.parse("hold", duration::parse).unwrap_or(HOLD);
    let patience = cursor.parse("patience", duration::parse).unwrap_or_else(|| hold.saturating_mul(6).max(LEAST_PATIENCE));
    if let (true, Some(at)) = (patience < hold, cursor.key("patience")) {
        problems.error("invalid-value", &at.route, Part::Value, "the patience is shorter than the hold", "no stage could ever hold");
    }
    for key in ["before", "after"] {
        if let Some(at) = cursor.key(key) {
            let step = at.text().unwrap_or_default();
            if !steps.contains(&step.as_str()) {
                problems
                    .error("unknown-step", &at.route, Part::Value, format!("there is no step {step:?}"), "expected a step of this file")
                    .suggest(&step, steps.iter().copied());
            }
        }
    }
    let strategy = strategy(cursor, usual, problems);
    approvals(cursor, &strategy, problems);
    let probe = cursor
        .key("probe")
        .map(|probe| Probe { path: probe.text_at("path").unwrap_or_else(|| "/".into()), rate: probe.parse("rate", rate::parse).unwrap_or(10.0) });
    RolloutPolicy {
        strategy,
        hold,
        patience,
        prewarm: cursor.parse("prewarm", parse_count).unwrap_or(1),
        judge: judge(cursor.key("judge").as_ref()),
        probe,
        keep: cursor.parse("keep", duration::parse).unwrap_or(DAY),
    }
}

fn strategy(cursor: &Cursor<'_>, usual: impl Fn() -> Strategy, problems: &mut Problems<'_>) -> Strategy {
    let word = cursor.text_at("strategy").unwrap_or_else(|| "canary".into());
    let stages = cursor.key("stages").map(|list| stages(&list, problems));
    for (key, only) in [("stages", "canary"), ("step", "linear")] {
        if let (true, Some(at)) = (word != only, cursor.key(key)) {
            problems.error(
                "conflicting-keys",
                &at.route,
                Part::Key,
                format!("{key} has no meaning with strategy {word}"),
                format!("belongs to {only}"),
            );
        }
    }
    match word.as_str() {
        "all-at-once" => Strategy::AllAtOnce,
        "linear" => {
            if cursor.key("step").is_none() {
                problems.error("missing-key", &cursor.route, Part::Key, "linear needs step: by how much each stage rises", "needs step, such as 10%");
            }
            Strategy::Linear { step: cursor.parse("step", percent::stage).or_else(|| Weight::from_basis_points(1_000)).unwrap_or(Weight::ALL) }
        }
        "blue-green" => {
            if let Some(at) = cursor.key("strategy") {
                problems.later(&at.route, Part::Value, "strategy blue-green");
            }
            Strategy::AllAtOnce
        }
        _ => stages.map_or_else(usual, |stages| Strategy::Canary { stages }),
    }
}

fn stages(list: &Cursor<'_>, problems: &mut Problems<'_>) -> Vec<Weight> {
    let mut stages: Vec<Weight> = Vec::new();
    for item in list.items() {
        let Some(weight) = item.text().and_then(|text| percent::stage(&text).ok()) else { continue };
        match stages.last() {
            Some(last) if *last >= weight => {
                problems.error(
                    "invalid-value",
                    &item.route,
                    Part::Value,
                    format!("stages must rise: {weight} stands behind {last}"),
                    "expected more than the stage before",
                );
            }
            _ => stages.push(weight),
        }
    }
    if list.items().is_empty() {
        problems.error("invalid-value", &list.route, Part::Value, "there is no stage", "expected at least one, such as [5%, 50%]");
        problems.hint("strategy: all-at-once has no stages");
    }
    if list.items().len() > 100 {
        problems.error("invalid-value", &list.route, Part::Value, "a rollout has at most 100 stages", "too many");
    }
    stages
}

fn approvals(cursor: &Cursor<'_>, strategy: &Strategy, problems: &mut Problems<'_>) {
    let stages = strategy.stages();
    for item in cursor.key("approve").map(|list| list.items()).unwrap_or_default() {
        let Some(weight) = item.text().and_then(|text| percent::stage(&text).ok()) else { continue };
        if !stages.contains(&weight) {
            let label = format!("expected one of {}", stages.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
            problems.error("invalid-value", &item.route, Part::Value, format!("there is no stage of {weight}"), label);
        }
    }
}

fn judge(cursor: Option<&Cursor<'_>>) -> JudgePolicy {
    let mut policy = JudgePolicy::default();
    let Some(cursor) = cursor else { return policy };
    if let Some(errors) = cursor.key("errors") {
        policy.errors.margin = errors.parse("margin", percent::parse).unwrap_or(policy.errors.margin);
        policy.errors.objective = errors.parse("objective", percent::parse).unwrap_or(policy.errors.objective);
    }
    policy.latency = cursor.key("latency").map(|latency| LatencyPolicy {
        over: latency.parse("over", duration::parse).unwrap_or(Duration::from_secs(1)),
        margin: latency.parse("margin", percent::parse).unwrap_or(0.01),
        objective: latency.parse("objective", percent::parse).unwrap_or(0.01),
    });
    policy.confidence = cursor.parse("confidence", percent::confidence).unwrap_or(policy.confidence);
    policy.samples = cursor.parse("samples", parse_samples).unwrap_or(policy.samples);
    policy
}
