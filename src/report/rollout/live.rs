//! The rollout drawn as it moves.

use anstyle::Style;

use crate::core::rollout::{Rollout, State};
use crate::model::fact::ArmCounts;
use crate::model::number::{grouped, odds, percent};
use crate::model::time::Timestamp;

use super::picture::{Picture, StageRecord};
use super::text::{BAD, BOLD, FAINT, GOOD, Line, Look, NEW, PLAIN, WARN, bar, count, span};

/// Several lines, none of them wider than the look.
pub fn live(picture: &Picture, now: Timestamp, look: Look) -> String {
    let Some(rollout) = picture.rollout() else { return String::new() };
    let mut lines = vec![head(picture, rollout, now)];
    lines.extend(picture.stages.iter().enumerate().map(|(place, stage)| stage_line(picture, rollout, place, stage, now, look)));
    let (canary, stable) = picture.totals();
    if canary.requests + stable.requests > 0 {
        lines.push(arm(&picture.new_name(), &canary, NEW));
        if !picture.is_first() {
            lines.push(arm(&picture.stable_name(), &stable, PLAIN));
        }
        lines.extend(gauge(rollout, look));
    }
    lines.extend(picture.trouble.as_ref().map(|trouble| Line::new().and(WARN, format!("  ! {trouble}"))));
    lines.into_iter().map(|line| line.render(look)).collect::<Vec<_>>().join("\n")
}

fn head(picture: &Picture, rollout: &Rollout, now: Timestamp) -> Line {
    let (style, doing) = match rollout.state() {
        State::RollingBack(_) => (BAD, "rolling back".to_owned()),
        State::Ended { outcome } => (BOLD, outcome.word().to_owned()),
        State::Observing { since, .. } => (PLAIN, format!("observing, {} of at least {}", span(now.since(*since)), span(rollout.policy().hold))),
        State::Prewarming { .. } => (PLAIN, format!("starting {}", count(u64::from(rollout.policy().prewarm), "instance"))),
        state => (PLAIN, state.word().to_owned()),
    };
    Line::new().and(BOLD, picture.function()).and(NEW, format!(" {}", picture.new_name())).and(FAINT, " · ").and(style, doing)
}

fn stage_line(picture: &Picture, rollout: &Rollout, place: usize, stage: &StageRecord, now: Timestamp, look: Look) -> Line {
    let weight = stage.weight;
    let current = stage.since.is_some() && stage.until.is_none();
    let (mark, style) = match (stage.held, current, stage.since) {
        (true, ..) => ("✓", GOOD),
        (false, true, _) => ("▸", NEW),
        (false, false, Some(_)) => ("✗", BAD),
        (false, false, None) => (" ", FAINT),
    };
    let cells = (look.width / 4).clamp(8, 32);
    let line = Line::new().and(style, format!("{mark} {weight:>5} "));
    let line = bar(line, cells, weight.fraction(), if stage.since.is_some() { style } else { FAINT });
    let Some(since) = stage.since else {
        return line;
    };
    let time = span(stage.until.unwrap_or(if picture.outcome().is_some() { picture.last } else { now }).since(since));
    let needed = rollout.policy().judge.samples;
    let seen = match rollout.state() {
        State::Observing { stage: observed, requests, .. } if *observed == place && *requests < needed => {
            format!("{} of {} requests", grouped(*requests), grouped(needed))
        }
        _ => count(stage.canary.requests, "request"),
    };
    let line = line.and(FAINT, format!(" {time:<10} ")).and(PLAIN, seen);
    match stage.canary.errors {
        0 => line,
        errors => line.and(BAD, format!(", {} failed", grouped(errors))),
    }
}

fn arm(name: &str, counts: &ArmCounts, style: Style) -> Line {
    let rate = if counts.requests == 0 { 0.0 } else { counts.errors as f64 / counts.requests as f64 };
    let line = Line::new().and(style, format!("  {name}")).to(18).and(PLAIN, format!("{:>9}", count(counts.requests, "request")));
    line.and(if counts.errors == 0 { FAINT } else { BAD }, format!(", {} failed ({})", grouped(counts.errors), percent(rate)))
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
    let line = bar(Line::new().and(PLAIN, "  evidence ").to(11), (look.width / 4).clamp(8, 32), share, style);
    Some(line.and(style, format!(" {} to 1", odds(ln))).and(FAINT, format!(", {} rolls back ({})", odds(needed), metric.name.word())))
}
