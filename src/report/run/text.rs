//! Text that is safe to show, and how wide it is.

use std::time::Duration;

use crate::model::time::Timestamp;

/// What may be shown of a text from outside, on one line: without escape sequences, control characters and what turns the direction of reading, so that
/// nothing in a log or a name can move the cursor, hide text or change the terminal.
pub fn clean(text: &str) -> String {
    let stripped = anstream::adapter::strip_str(text).to_string();
    stripped.chars().filter_map(shown).collect()
}

fn shown(c: char) -> Option<char> {
    match c {
        '\t' | '\n' | '\r' => Some(' '),
        c if c.is_control() => None,
        // Marks and overrides of direction, line and paragraph separators, invisible characters, tags.
        '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => None,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => None,
        c => Some(c),
    }
}

/// Columns that a clean text takes at most. Where terminals differ, the larger: a line that is too short looks fine, one that wraps does not.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(c: char) -> usize {
    match u32::from(c) {
        0x20..=0x7e => 1,
        0x300..=0x36f | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f | 0x231a..=0x231b | 0x2329..=0x232a | 0x23e9..=0x23f3 | 0x25fd..=0x25fe | 0x2614..=0x2615 | 0x2648..=0x2653 => 2,
        0x267f | 0x2693 | 0x26a1 | 0x26aa..=0x26ab | 0x26bd..=0x26be | 0x26c4..=0x26c5 | 0x26ce | 0x26d4 | 0x26ea => 2,
        0x26f2..=0x26f5 | 0x26fa | 0x26fd | 0x2705 | 0x270a..=0x270b | 0x2728 | 0x274c | 0x274e | 0x2753..=0x2757 | 0x2795..=0x2797 => 2,
        0x27b0 | 0x27bf | 0x2b1b..=0x2b1c | 0x2b50 | 0x2b55 | 0x2e80..=0xa4cf | 0xa960..=0xa97f | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x16fe0..=0x18cff | 0x1aff0..=0x1b2ff | 0x1f000..=0x1faff => 2,
        0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The text, cut to so many columns, with `…` where something is missing.
pub fn fit(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let mut cut = String::new();
    for c in text.chars() {
        let Some(rest) = left.checked_sub(columns(c)) else { break };
        left = rest;
        cut.push(c);
    }
    if most > 0 {
        cut.push('…');
    }
    cut
}

/// The text, filled up to so many columns.
pub fn pad(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

/// The text in lines of at most so many columns, broken between words where it can be.
pub fn wrap(text: &str, most: usize) -> Vec<String> {
    let most = most.max(2);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && width(&line) + 1 + width(word) > most {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if width(&line) + columns(c) > most {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The parts with ` · ` between them in lines of at most so many columns, broken between parts where it can be.
pub fn wrap_parts(parts: &[String], most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if width(line) + 3 + width(part) <= most => {
                line.push_str(" · ");
                line.push_str(part);
            }
            _ if width(part) <= most => lines.push(part.clone()),
            _ => lines.extend(wrap(part, most)),
        }
    }
    lines
}

/// `640 µs`, `12 ms`, `1.2 s`, `3 min 05 s`, `2 h 07 min`.
pub fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match duration.as_secs() {
        0 if micros < 1_000 => format!("{micros} µs"),
        0 if micros < 10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        0 => format!("{} ms", micros / 1_000),
        seconds @ 1..60 => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        seconds @ 60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `17 B`, `1.2 KiB`, `64 MiB`.
pub fn bytes(bytes: u64) -> String {
    let (mut whole, mut rest, mut unit) = (bytes, 0, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1024 {
            break;
        }
        (rest, whole, unit) = (whole % 1024, whole / 1024, larger);
    }
    if rest * 10 / 1024 == 0 || whole >= 100 { format!("{whole} {unit}") } else { format!("{whole}.{} {unit}", rest * 10 / 1024) }
}

/// `1 step`, `2 steps`.
pub fn count(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// The time of day.
pub fn clock(at: Timestamp, utc_offset: i32) -> String {
    let seconds = i128::from(at.as_millis() / 1000) + i128::from(utc_offset);
    let day = seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60)
}
