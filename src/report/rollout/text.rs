//! Lines made of coloured pieces, cut to a width. Whatever comes from outside is cleaned on its way in.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

/// How it shall look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns. Nothing is wider, except where a sentence can not be cut: then it is wrapped.
    pub width: usize,
    pub colour: bool,
}

impl Look {
    /// Too narrow for whole words.
    pub(super) fn is_narrow(self) -> bool {
        self.width < 60
    }

    /// Cells of a bar.
    pub(super) fn cells(self) -> usize {
        if self.is_narrow() { 6 } else { (self.width / 4 - 2).min(28) }
    }
}

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
pub(super) const NEW: Style = AnsiColor::Cyan.on_default();

/// One line in pieces.
#[derive(Debug, Default)]
pub(super) struct Line(Vec<(Style, String)>);

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub(super) fn and(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.0.push((style, clean(text.as_ref())));
        self
    }

    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| columns(text)).sum()
    }

    /// Spaces up to a column.
    #[must_use]
    pub(super) fn to(mut self, column: usize) -> Self {
        let missing = column.saturating_sub(self.width());
        self.0.push((PLAIN, " ".repeat(missing)));
        self
    }

    /// Cut to the look's width, with an ellipsis where something is missing.
    pub(super) fn render(self, look: Look) -> String {
        let mut left = look.width.max(1);
        let fits = self.width() <= left;
        let mut out = String::new();
        for (style, text) in self.0 {
            let (piece, whole) = if fits { (text, true) } else { cut(&text, left) };
            left = left.saturating_sub(columns(&piece));
            paint(&mut out, style, &piece, look.colour);
            if !whole {
                break;
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

pub(super) fn paint(out: &mut String, style: Style, text: &str, colour: bool) {
    if colour && style != PLAIN && !text.is_empty() {
        let _ = write!(out, "{style}{text}{style:#}");
    } else {
        out.push_str(text);
    }
}

/// As much of `text` as fits before an ellipsis that must fit as well; whether all of it did.
fn cut(text: &str, left: usize) -> (String, bool) {
    if columns(text) < left {
        return (text.to_owned(), true);
    }
    let mut piece = String::new();
    let mut used = 0;
    for character in text.chars() {
        let wide = columns_of(character);
        if used + wide > left.saturating_sub(1) {
            break;
        }
        used += wide;
        piece.push(character);
    }
    piece.push('…');
    (piece, false)
}

/// A sentence (or several lines, such as the end of a log) over as many lines as it needs, each indented.
pub(super) fn wrapped(indent: usize, sentence: &str, style: Style, look: Look) -> Vec<String> {
    let room = look.width.saturating_sub(indent).max(16);
    let mut lines: Vec<String> = vec![String::new()];
    let words = sentence.lines().enumerate().flat_map(|(line, text)| {
        let words: Vec<String> = clean(text).split_whitespace().map(str::to_owned).collect();
        words.into_iter().enumerate().map(move |(word, text)| (line > 0 && word == 0, text))
    });
    for (begins_a_line, word) in words {
        if begins_a_line {
            lines.push(word);
            continue;
        }
        let word = word.as_str();
        let current = lines.last().map_or(0, |line| columns(line));
        match lines.last_mut() {
            Some(line) if current == 0 => line.push_str(word),
            Some(line) if current + 1 + columns(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.into_iter().map(|line| Line::new().to(indent).and(style, line).render(Look { width: usize::MAX, ..look })).collect()
}

/// `filled` of `width` cells.
pub(super) fn bar(line: Line, width: usize, share: f64, style: Style) -> Line {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let mut filled = (share * width as f64).round() as usize;
    // Little is not nothing, and almost all is not all.
    if share > 0.0 {
        filled = filled.max(1);
    }
    if share < 1.0 {
        filled = filled.min(width.saturating_sub(1));
    }
    line.and(style, "█".repeat(filled)).and(FAINT, "░".repeat(width - filled))
}

/// The same for what is only planned: lighter, so that it does not look done.
pub(super) fn planned(line: Line, width: usize, share: f64) -> Line {
    let filled = ((share * width as f64).round() as usize).clamp(1, width);
    line.and(FAINT, "▒".repeat(filled)).and(FAINT, "░".repeat(width - filled))
}

/// Text from outside without what could move a cursor, change a colour or turn the reading direction.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if matches!(c, '\n' | '\t') {
                ' '
            } else if c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

pub(super) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// East Asian and emoji characters take two columns.
fn columns_of(character: char) -> usize {
    match u32::from(character) {
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// `850 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// An age, as exactly as anybody wants to know it: `4 s`, `15 min`, `2 h`, `3 d`.
pub(super) fn ago(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// "1 request", "1,234 requests".
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", crate::model::number::grouped(number), if number == 1 { "" } else { "s" })
}
