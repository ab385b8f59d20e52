//! What the steps of a run reached, as far as a person has to know it: what was kept from them, and what a step that was learning needs.

use std::collections::BTreeSet;

use crate::model::egress::{Attempt, Egress, Verdict};

use super::look::{BOLD, FAINT, Look};
use super::text::{clean, fit, wrap};
use super::view::{NodeView, View};

/// Lines for each step. What they leave out is in the journal.
const LINES: usize = 10;

/// The part of a summary, with an empty line before it; nothing when there is nothing to say.
pub(super) fn network(view: &View, look: Look) -> Vec<String> {
    let steps = view.nodes.iter().filter_map(|node| Some((node, &node.record.as_ref()?.egress)));
    let said: Vec<(&NodeView, Vec<String>)> =
        steps.map(|(node, egress)| (node, lines(egress, look))).filter(|(_, lines)| !lines.is_empty()).collect();
    if said.is_empty() {
        return Vec::new();
    }
    let mut out = vec![String::new(), format!("  {}", look.paint(BOLD, "Network"))];
    for (node, lines) in said {
        out.push(format!("    {}", fit(&node.name, look.width.saturating_sub(4))));
        out.extend(lines.into_iter().map(|line| format!("      {}", look.paint(FAINT, &line))));
    }
    out
}

fn lines(egress: &Egress, look: Look) -> Vec<String> {
    let room = look.width.saturating_sub(6);
    let blocked: Vec<String> = egress.attempts.iter().filter_map(blocked).collect();
    let mut lines: Vec<String> = blocked.iter().take(LINES).flat_map(|line| wrap(line, room)).collect();
    if blocked.len() > LINES {
        lines.push(format!("and {} more", blocked.len() - LINES));
    }
    if egress.more > 0 {
        lines.extend(wrap(&format!("and {} attempts past the limit of {}", egress.more, Egress::LIMIT), room));
    }
    if egress.lost {
        lines.extend(wrap("its proxy was killed: nobody knows what else it tried", room));
    }
    if egress.learning {
        lines.extend(learned(egress, room));
    }
    lines
}

fn blocked(attempt: &Attempt) -> Option<String> {
    let Verdict::Blocked { because } = &attempt.verdict else { return None };
    let times = if attempt.count > 1 { format!(", {} times", attempt.count) } else { String::new() };
    Some(clean(&format!("blocked: {} ({because}{times})", place(attempt))))
}

fn place(attempt: &Attempt) -> String {
    format!("{}:{}", attempt.host, attempt.port)
}

/// The list in the form in which it stands in the file. Broken between entries, which YAML does not mind.
fn learned(egress: &Egress, room: usize) -> Vec<String> {
    let needed: BTreeSet<String> =
        egress.attempts.iter().filter(|attempt| !matches!(attempt.verdict, Verdict::Blocked { .. })).map(|attempt| clean(&place(attempt))).collect();
    if needed.is_empty() {
        return wrap("it reached nothing: network: none", room);
    }
    let entries: Vec<String> = needed.iter().map(|entry| format!("\"{entry}\"")).collect();
    wrap(&format!("network: [{}]", entries.join(", ")), room)
}
