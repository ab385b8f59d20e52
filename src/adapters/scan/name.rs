//! Names of files and folders: shown without what must not be shown, and looked at like any other text.

use super::Sighting;
use super::matcher::{Hit, Matcher};

/// A name has few parts; what has more is looked at as a whole only.
const MOST_PARTS: usize = 12;

/// One part of a path, as it may be shown, and what was seen in it (its `path` is the caller's to fill in).
pub(super) fn look(matcher: &Matcher, name: &str) -> (String, Vec<Sighting>) {
    let mut hits: Vec<(usize, usize, Sighting)> = Vec::new();
    for (offset, piece) in pieces(name) {
        for hit in matcher.hits("", piece.as_bytes()) {
            let (start, end) = (offset + hit.start, offset + hit.end);
            if !hits.iter().any(|(from, to, _)| start < *to && *from < end) {
                hits.push((start, end, sighting(&hit, String::new(), 0, 0)));
            }
        }
    }
    hits.sort_by_key(|(start, ..)| *start);
    let mut shown = String::new();
    let mut at = 0;
    for (start, end, seen) in &hits {
        shown.push_str(name.get(at..*start).unwrap_or_default());
        shown.push_str(&format!("<{}>", seen.rule));
        at = *end;
    }
    shown.push_str(name.get(at..).unwrap_or_default());
    (printable(&shown), hits.into_iter().map(|(_, _, seen)| seen).collect())
}

/// The name, then every run of its parts between underscores: to a pattern `_` is a letter, in a name it stands between words.
fn pieces(name: &str) -> Vec<(usize, &str)> {
    let mut all = vec![(0, name)];
    let starts: Vec<usize> = std::iter::once(0).chain(name.match_indices('_').map(|(at, _)| at + 1)).collect();
    let ends: Vec<usize> = name.match_indices('_').map(|(at, _)| at).chain(std::iter::once(name.len())).collect();
    if starts.len() <= MOST_PARTS {
        for start in &starts {
            all.extend(ends.iter().rev().filter(|end| *end > start).map(|end| (*start, &name[*start..*end])));
        }
    }
    all
}

pub(super) fn sighting(hit: &Hit<'_>, path: String, line: u32, column: u32) -> Sighting {
    Sighting {
        rule: hit.rule.id.clone(),
        title: hit.rule.title.clone(),
        severity: hit.rule.severity,
        sure: hit.rule.sure,
        path,
        line,
        column,
        digest: hit.digest,
    }
}

/// Text from outside on its way to a terminal: no control characters, no marks that turn the direction of reading.
pub(super) fn printable(text: &str) -> String {
    let dangerous = |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    text.chars().map(|c| if dangerous(c) { '\u{fffd}' } else { c }).collect()
}
