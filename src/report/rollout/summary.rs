//! What happened, and which numbers decided it.

use crate::core::judge::Baseline;
use crate::model::fact::{DecidedBy, Decision, RolloutOutcome};
use crate::model::number::{grouped, odds, percent};
use crate::model::time::Timestamp;
use crate::model::traffic::Weight;

use super::picture::Picture;
use super::text::{BAD, BOLD, FAINT, GOOD, Line, Look, NEW, PLAIN, WARN, count, span, wrapped};

/// Headline, the deciding numbers, the stages, what clients saw.
pub fn summary(picture: &Picture, look: Look) -> String {
    let mut lines = headline(picture, look);
    lines.extend(why(picture, look));
    lines.extend(stages(picture, look));
    lines.extend(clients(picture, look));
    lines.extend(picture.rollout().map(|rollout| Line::new().and(FAINT, format!("  rollout {}", rollout.id())).render(look)));
    lines.join("\n")
}

fn headline(picture: &Picture, look: Look) -> Vec<String> {
    let (name, new) = (picture.function(), picture.new_name());
    let took = span(picture.last.since(picture.started.unwrap_or(picture.last)));
    let (mark, style, told) = match picture.outcome() {
        Some(RolloutOutcome::Promoted) => ("✔", GOOD, format!("{new} serves all traffic, after {took}")),
        Some(RolloutOutcome::Unchanged) => ("✔", GOOD, format!("{new} was serving already: nothing to do")),
        Some(RolloutOutcome::RolledBack { .. }) => ("✘", BAD, format!("{new} was rolled back{}", reached(picture))),
        Some(RolloutOutcome::Aborted { .. }) => ("✘", WARN, format!("{new} was taken back by hand{}", reached(picture))),
        Some(RolloutOutcome::Failed { .. }) => ("✘", BAD, format!("{new} was not rolled out: no traffic was shifted")),
        Some(RolloutOutcome::Stuck { .. }) => ("!", BAD, format!("the rollout of {new} is stuck: a person must look")),
        None => ("…", NEW, format!("{new} is being rolled out: {}", picture.state().map_or("starting", |state| state.word()))),
    };
    let line = Line::new().and(style, format!("{mark} ")).and(BOLD, name).and(PLAIN, format!(": {told}"));
    if line.width() <= look.width {
        return vec![line.render(look)];
    }
    let mut lines = wrapped(2, &format!("{name}: {told}"), style, look);
    if let Some(first) = lines.first_mut() {
        *first = format!("{} {}", Line::new().and(style, mark).render(look), first.trim_start());
    }
    lines
}

/// " from 10% after 2.0 s (the way back took 90 ms)"
fn reached(picture: &Picture) -> String {
    let Some(stage) = picture.stages.iter().rev().find(|stage| stage.since.is_some()) else { return String::new() };
    let (weight, Some(since)) = (stage.weight, stage.since) else { return String::new() };
    let decided = picture.decided.as_ref().map_or(picture.last, |(at, ..)| *at);
    let back = picture.back.map(|back| format!(" (the way back took {})", span(back.since(decided)))).unwrap_or_default();
    format!(" from {weight} after {}{back}", span(decided.since(since)))
}

/// The sentence behind the outcome.
fn why(picture: &Picture, look: Look) -> Vec<String> {
    let told = match (picture.outcome(), &picture.decided) {
        (Some(RolloutOutcome::Failed { reason } | RolloutOutcome::Stuck { reason }), _) => reason.clone(),
        (Some(RolloutOutcome::Unchanged), _) => return Vec::new(),
        (_, Some((_, Decision::Promote, DecidedBy::Judge, _))) => return promoted_because(picture, look),
        (_, Some((.., verdict))) => verdict.because.clone(),
        (_, None) => return Vec::new(),
    };
    wrapped(2, &told, PLAIN, look)
}

fn promoted_because(picture: &Picture, look: Look) -> Vec<String> {
    let Some(rollout) = picture.rollout() else { return Vec::new() };
    let Some(metric) = rollout.leading_metric() else { return Vec::new() };
    let against = match rollout.judge().baseline() {
        Baseline::Stable => format!("it is worse than {}", picture.stable_name()),
        Baseline::Objective => format!("it is over its objective of {}", percent(metric.objective())),
    };
    let needed = odds(rollout.judge().log_threshold());
    let first = picture.first_means().map(|means| format!("{means}; ")).unwrap_or_default();
    let told = format!("{first}evidence that {against}: {} to 1; {needed} to 1 would have rolled it back", odds(metric.ln_evidence()));
    wrapped(2, &told, PLAIN, look)
}

fn stages(picture: &Picture, look: Look) -> Vec<String> {
    let ended = picture.last;
    let walked = picture.stages.iter().filter_map(|stage| stage.since.map(|since| (stage, since)));
    walked
        .map(|(stage, since): (_, Timestamp)| {
            let serving = stage.weight == Weight::ALL && picture.outcome() == Some(&RolloutOutcome::Promoted);
            let (mark, style) = match (stage.held || serving, stage.until) {
                (true, _) => ("✔", GOOD),
                (false, None) if picture.outcome().is_none() => ("▸", NEW),
                (false, _) => ("✘", BAD),
            };
            let line = Line::new().and(style, format!("  {mark} {:>5}", stage.weight));
            if serving && stage.canary.requests == 0 {
                return line.and(FAINT, "  from now on").render(look);
            }
            let (noun, room) = if look.is_narrow() { (" req", 8) } else { (" requests", 16) };
            let line = line.and(FAINT, format!("  {:<9}", span(stage.until.unwrap_or(ended).since(since))));
            let line = line.and(PLAIN, format!(" {:>room$}", format!("{}{noun}", grouped(stage.canary.requests))));
            let line = line.and(if stage.canary.errors == 0 { FAINT } else { BAD }, format!(", {} failed", grouped(stage.canary.errors)));
            line.render(look)
        })
        .collect()
}

/// What it cost those who use the function.
fn clients(picture: &Picture, look: Look) -> Vec<String> {
    let (canary, stable) = picture.totals();
    if canary.requests + stable.requests == 0 {
        return Vec::new();
    }
    let all = canary.requests + if picture.is_first() { 0 } else { stable.requests };
    let share = if all == 0 { 0.0 } else { canary.errors as f64 / all as f64 };
    let told = match canary.errors {
        0 if picture.is_first() => format!("Clients sent {}: none failed.", count(all, "request")),
        0 => format!("Clients sent {}, {} of them to {}: none failed there.", count(all, "request"), grouped(canary.requests), picture.new_name()),
        errors => format!(
            "Clients saw {} from {} ({} of all {}).",
            count(errors, "failed request"),
            picture.new_name(),
            percent(share),
            count(all, "request")
        ),
    };
    let style = if canary.errors == 0 { PLAIN } else { WARN };
    let mut lines = wrapped(2, &told, style, look);
    if matches!(picture.outcome(), Some(RolloutOutcome::RolledBack { .. } | RolloutOutcome::Aborted { .. })) {
        let serving = match picture.is_first() {
            true => "Nothing serves now, as before: this was the first release.".to_owned(),
            false => format!("All traffic goes to {} again.", picture.stable_name()),
        };
        lines.extend(wrapped(2, &serving, PLAIN, look));
    }
    lines
}
