//! The rollout drawn as it moves.

use anstyle::Style;

use crate::core::judge::Baseline;
use crate::core::rollout::{Rollout, State};
use crate::model::fact::ArmCounts;
use crate::model::number::{grouped, odds, percent};
use crate::model::time::Timestamp;

use super::picture::{Picture, StageRecord};
use super::text::{BAD, BOLD, FAINT, GOOD, Line, Look, NEW, PLAIN, WARN, bar, columns, count, planned, span, wrapped};

/// Several lines, none of them wider than the look.
pub fn live(picture: &Picture, now: Timestamp, look: Look) -> String {
    let Some(rollout) = picture.rollout() else { return String::new() };
    let mut lines = vec![head(picture, rollout, now, look)];
    lines.extend(picture.stages.iter().enumerate().map(|(place, stage)| stage_line(picture, rollout, place, stage, now, look)));
    if let (Some(means), false) = (picture.first_means(), look.is_narrow()) {
        lines.extend(wrapped(2, &means, FAINT, Look { colour: false, ..look }).iter().map(|line| Line::new().and(FAINT, line)));
    }
    let (canary, stable) = picture.totals();
    if canary.requests + stable.requests > 0 {
        lines.push(arm(&picture.new_name(), &canary, NEW, look));
        if !picture.is_first() {
            lines.push(arm(&picture.stable_name(), &stable, PLAIN, look));
        }
        lines.extend(gauge(rollout, look));
    }
    lines.extend(picture.trouble.as_ref().map(|trouble| Line::new().and(WARN, format!("  ! {trouble}"))));
    lines.into_iter().map(|line| line.render(look)).collect::<Vec<_>>().join("\n")
}

fn head(picture: &Picture, rollout: &Rollout, now: Timestamp, look: Look) -> Line {
    let (style, doing) = match rollout.state() {
        State::RollingBack(_) => (BAD, "rolling back".to_owned()),
        State::Ended { outcome } => (BOLD, outcome.word().to_owned()),
        State::Observing { since, .. } => {
            let least = if look.is_narrow() { "of" } else { "of at least" };
            (PLAIN, format!("observing {} {least} {}", span(now.since(*since)), span(rollout.policy().hold)))
        }
        State::Prewarming { .. } => (PLAIN, format!("starting {}", count(u64::from(rollout.policy().prewarm), "instance"))),
        state => (PLAIN, state.word().to_owned()),
    };
    Line::new().and(BOLD, picture.function()).and(NEW, format!(" {}", picture.new_name())).and(FAINT, " · ").and(style, doing)
}

fn stage_line(picture: &Picture, rollout: &Rollout, place: usize, stage: &StageRecord, now: Timestamp, look: Look) -> Line {
    let weight = stage.weight;
    let current = stage.since.is_some() && stage.until.is_none();
    let (mark, style) = match (stage.held, current, stage.since) {
        (true, ..) => ("✔", GOOD),
        (false, true, _) => ("▸", NEW),
        (false, false, Some(_)) => ("✘", BAD),
        (false, false, None) => (" ", FAINT),
    };
    let cells = look.cells();
    let line = Line::new().and(style, format!("{mark} {weight:>5} "));
    let Some(since) = stage.since else {
        return planned(line, cells, weight.fraction());
    };
    let line = bar(line, cells, weight.fraction(), style);
    let time = span(stage.until.unwrap_or(if picture.outcome().is_some() { picture.last } else { now }).since(since));
    let needed = rollout.policy().judge.samples;
    let of = match rollout.state() {
        State::Observing { stage: observed, requests, .. } if *observed == place && *requests < needed => {
            format!("{}{}", if look.is_narrow() { "/" } else { " of " }, grouped(needed))
        }
        _ => String::new(),
    };
    let (time_width, noun) = if look.is_narrow() { (6, " req") } else { (10, " requests") };
    let seen = format!("{}{of}{noun}", grouped(stage.canary.requests));
    failures(line.and(FAINT, format!(" {time:<time_width$} ")).and(PLAIN, seen), stage.canary.errors)
}

fn failures(line: Line, errors: u64) -> Line {
    match errors {
        0 => line,
        errors => line.and(BAD, format!(", {} failed", grouped(errors))),
    }
}

fn arm(name: &str, counts: &ArmCounts, style: Style, look: Look) -> Line {
    let rate = if counts.requests == 0 { 0.0 } else { counts.errors as f64 / counts.requests as f64 };
    let (column, noun) = if look.is_narrow() { (0, " req") } else { (19, " requests") };
    let line = Line::new().and(style, format!("  {name} ")).to(column).and(PLAIN, format!("{}{noun}", grouped(counts.requests)));
    let share = if look.is_narrow() { String::new() } else { format!(" ({})", percent(rate)) };
    line.and(if counts.errors == 0 { FAINT } else { BAD }, format!(", {} failed{share}", grouped(counts.errors)))
}

/// How near the evidence is to a rollback, on the scale on which each new failure is about the same step.
fn gauge(rollout: &Rollout, look: Look) -> Option<Line> {
    let metric = rollout.leading_metric()?;
    let (ln, needed) = (metric.ln_evidence(), rollout.judge().log_threshold());
    let share = (ln / needed).clamp(0.0, 1.0);
    let style = match share {
        share if share >= 1.0 => BAD,
        share if share > 0.4 => WARN,
        _ => GOOD,
    };
    let line = bar(Line::new().and(PLAIN, "  evidence ").to(11), look.cells(), share, style);
    let line = line.and(style, format!(" {} to 1", odds(ln)));
    let that = match rollout.judge().baseline() {
        Baseline::Stable => format!("{} are worse", metric.name.word()),
        Baseline::Objective => format!("{} are over {}", metric.name.word(), percent(metric.objective())),
    };
    // The longest that fits.
    let said = [format!(" that {that}, {} rolls back", odds(needed)), format!(" of {} that {that}", odds(needed)), format!(" of {}", odds(needed))];
    let room = look.width.saturating_sub(line.width());
    let fits = said.iter().find(|said| columns(said) <= room).or(said.last()).cloned().unwrap_or_default();
    Some(line.and(FAINT, fits))
}
