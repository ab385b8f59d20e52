//! The graph as it stands now: the lines that a terminal shows and draws over again.

use crate::model::time::Timestamp;

use super::look::{BOLD, FAINT, Look, run_sign, sign};
use super::text::{duration, fit, pad, width};
use super::view::{NodeView, Status, View, held, reason, short_reason};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// Columns of the time that a node has taken.
const TIME: usize = 11;

/// Every line fits into `look.width`, and all of them into `look.height`: a graph that is longer shows what moves and what went wrong first.
pub fn live(view: &View, now: Timestamp, look: Look) -> Vec<String> {
    let mut lines = vec![head(view, now, look)];
    if let (Some(why), None) = (&view.cancel, &view.ended) {
        lines.push(fit(&format!("  stopping, because of {why}: once more ends it at once"), look.width));
    }
    // Besides the nodes there are the head, the counts, and the line that says what is not shown.
    let room = look.height.saturating_sub(2 + lines.len()).max(1);
    let shown = chosen(view, room);
    let names = view.nodes.iter().map(|node| width(&node.name)).max().unwrap_or(0).min(look.width / 3).max(4);
    lines.extend(shown.iter().map(|node| line(node, names, now, look)));
    if shown.len() < view.nodes.len() {
        lines.push(look.paint(FAINT, &fit(&format!("  … {} more", view.nodes.len() - shown.len()), look.width)));
    }
    let counts: Vec<String> = view.counts().into_iter().map(|(word, n)| format!("{n} {word}")).collect();
    lines.push(look.paint(FAINT, &fit(&format!("  {}", counts.join(" · ")), look.width)));
    lines.truncate(look.height.max(1));
    lines
}

fn head(view: &View, now: Timestamp, look: Look) -> String {
    let (mark, style) = view.ended.map_or_else(|| (spinner(now), sign(&Status::Running).1), |(_, outcome)| run_sign(outcome));
    let rest = fit(&format!("{}  {}  {}", view.pipeline, duration(view.took(now)), view.subject()), look.width.saturating_sub(2));
    if look.width < 2 {
        return fit(mark, look.width);
    }
    let name = rest.strip_prefix(view.pipeline.as_str()).map(|after| format!("{}{after}", look.paint(BOLD, &view.pipeline)));
    format!("{} {}", look.paint(style, mark), name.unwrap_or(rest))
}

fn spinner(now: Timestamp) -> &'static str {
    let frame = now.as_millis() / 100 % SPINNER.len() as u64;
    usize::try_from(frame).ok().and_then(|frame| SPINNER.get(frame)).copied().unwrap_or("▶")
}

/// The most telling nodes that there is room for, in the plan's order.
fn chosen(view: &View, room: usize) -> Vec<&NodeView> {
    if view.nodes.len() <= room {
        return view.nodes.iter().collect();
    }
    let weight = |node: &NodeView| match &node.status {
        Status::Running | Status::Deploying => 0,
        Status::Ended(outcome) if !outcome.is_success() && outcome.word() != "skipped" && outcome.word() != "cancelled" => 1,
        Status::BackingOff { .. } => 2,
        Status::Held { .. } => 2,
        Status::Queued => 3,
        Status::Ended(outcome) if outcome.is_success() => 4,
        Status::Waiting => 5,
        Status::Ended(_) => 6,
    };
    let mut ranked: Vec<(usize, usize)> = view.nodes.iter().enumerate().map(|(at, node)| (weight(node), at)).collect();
    ranked.sort_unstable();
    let mut places: Vec<usize> = ranked.into_iter().take(room).map(|(_, at)| at).collect();
    places.sort_unstable();
    places.into_iter().map(|at| &view.nodes[at]).collect()
}

fn line(node: &NodeView, names: usize, now: Timestamp, look: Look) -> String {
    let (mark, style) = match node.status {
        Status::Running => (spinner(now), sign(&node.status).1),
        _ => sign(&node.status),
    };
    let time = node.took(now).map_or_else(String::new, duration);
    let name = pad(&fit(&node.name, names), names);
    let middle = format!("{name} {}{time}", " ".repeat(TIME.saturating_sub(width(&time))));
    let said = fit(&telling(node, now), look.width.saturating_sub(width(&middle) + 6));
    // The narrowest terminals lose the right side, never the sign.
    let middle = fit(&middle, look.width.saturating_sub(4));
    let text = if said.is_empty() { middle } else { format!("{middle}  {}", look.paint(FAINT, &said)) };
    match look.width {
        0..4 => fit(mark, look.width),
        _ => format!("  {} {}", look.paint(style, mark), text.trim_end()),
    }
}

fn telling(node: &NodeView, now: Timestamp) -> String {
    match &node.status {
        Status::Waiting => String::new(),
        Status::Held { environment, approval, opens } => held(environment, *approval, *opens, now),
        Status::Queued => "waits for room".to_owned(),
        Status::BackingOff { until } => format!("attempt {} follows in {}", node.attempt.saturating_add(1), duration(until.since(now))),
        Status::Deploying => node.rollout.as_ref().map_or_else(String::new, |rollout| super::text::clean(&format!("rollout {rollout}"))),
        Status::Ended(outcome) => match short_reason(node).or_else(|| reason(outcome)) {
            Some(why) if node.rollout.is_some() => why,
            Some(why) => format!("{}: {why}", outcome.word()),
            None => String::new(),
        },
        Status::Running if node.attempt > 1 => format!("(attempt {}) {}", node.attempt, node.log_line),
        Status::Running => node.log_line.clone(),
    }
}
