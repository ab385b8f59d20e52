//! `rollout show`: the summary, and the way there.

use crate::model::fact::RolloutFact;
use crate::model::time::Timestamp;

use super::line::line;
use super::picture::Picture;
use super::summary::summary;
use super::text::{FAINT, Line, Look, span, wrapped};

/// From all facts of one rollout.
pub fn show(facts: &[(Timestamp, RolloutFact)], look: Look) -> String {
    let mut picture = Picture::default();
    let mut steps = Vec::new();
    for (at, fact) in facts {
        picture.take(*at, fact);
        if let Some(told) = line(&picture, *at, fact) {
            let after = span(at.since(picture.started.unwrap_or(*at)));
            steps.push((after, told));
        }
    }
    let mut lines = vec![summary(&picture, look), String::new()];
    for (after, told) in steps {
        let mut wrapped = wrapped(14, &told, super::text::PLAIN, look).into_iter();
        let first = wrapped.next().unwrap_or_default();
        let head = Line::new().and(FAINT, format!("{:>12}", format!("+{after}"))).to(14).render(look);
        lines.push(format!("{head}  {}", first.trim_start()));
        lines.extend(wrapped);
    }
    lines.join("\n")
}
