//! Diagnostics for people: what is wrong, the line with the place marked, what was expected, what to do.
//!
//! ```text
//! error[unknown-key]: there is no key "need" here
//!   --> .tidegate/build.yaml:7:5
//!    |
//!  7 |     need: [test]
//!    |     ^^^^ not part of the format
//!    = help: did you mean "needs"?
//! ```
//! What stands in a file is shown, never obeyed: control characters come out as their pictures.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::model::diagnostic::{Diagnostic, Level, Span};

/// How it may look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub color: bool,
    /// Columns; long lines are cut around the marked place.
    pub width: usize,
}

impl Default for Look {
    fn default() -> Self {
        Self { color: false, width: 100 }
    }
}

const TAB: usize = 4;

/// Messages about one file, and how many there are of each kind.
pub fn render(file: &str, text: &str, diagnostics: &[Diagnostic], look: Look) -> String {
    let mut out = String::new();
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    for diagnostic in diagnostics {
        one(&mut out, file, &lines, diagnostic, look);
    }
    out.push_str(&summary(file, diagnostics));
    out
}

/// `2 errors, 1 warning in FILE`, or nothing.
fn summary(file: &str, diagnostics: &[Diagnostic]) -> String {
    let count = |level| diagnostics.iter().filter(|diagnostic| diagnostic.level == level).count();
    let parts: Vec<String> = [(Level::Error, "error"), (Level::Warning, "warning"), (Level::Note, "note")]
        .into_iter()
        .filter_map(|(level, word)| match count(level) {
            0 => None,
            1 => Some(format!("1 {word}")),
            many => Some(format!("{many} {word}s")),
        })
        .collect();
    if parts.is_empty() { String::new() } else { format!("{} in {}\n", parts.join(", "), clean(file)) }
}

fn level_style(level: Level) -> (Style, &'static str) {
    let (color, word) = match level {
        Level::Error => (AnsiColor::Red, "error"),
        Level::Warning => (AnsiColor::Yellow, "warning"),
        Level::Note => (AnsiColor::Cyan, "note"),
    };
    (color.on_default().bold(), word)
}

fn one(out: &mut String, file: &str, lines: &[&str], diagnostic: &Diagnostic, look: Look) {
    let paint = |style: Style, text: &str| if look.color { format!("{style}{text}{style:#}") } else { text.to_owned() };
    let (style, word) = level_style(diagnostic.level);
    let frame = AnsiColor::Blue.on_default().bold();
    let _ = writeln!(out, "{}: {}", paint(style, &format!("{word}[{}]", diagnostic.code)), paint(Style::new().bold(), &clean(&diagnostic.message)));
    let gutter = diagnostic.span.map_or(1, |span| span.line.to_string().len());
    let bar = paint(frame, "|");
    match diagnostic.span {
        None => {
            let _ = writeln!(out, "{:gutter$} {} {}", "", paint(frame, "-->"), clean(file));
        }
        Some(span) => {
            let _ = writeln!(out, "{:gutter$}{} {}:{}:{}", "", paint(frame, "-->"), clean(file), span.line, span.column);
            let line = usize::try_from(span.line).ok().and_then(|line| lines.get(line.checked_sub(1)?)).copied().unwrap_or_default();
            let (shown, before, marked) = snippet(line, span, look.width.saturating_sub(gutter + 4).max(20));
            let _ = writeln!(out, "{:gutter$} {bar}", "");
            let _ = writeln!(out, "{} {bar} {shown}", paint(frame, &span.line.to_string()));
            let (marks, label) = ("^".repeat(marked), clean(&diagnostic.label));
            let beside = gutter + 4 + before + marked + label.chars().count() <= look.width;
            let marks = if beside && !label.is_empty() { format!("{marks} {label}") } else { marks };
            let _ = writeln!(out, "{:gutter$} {bar} {:before$}{}", "", "", paint(style, &marks));
            if !beside {
                // Below the marks, or as far to the left as it needs.
                let label = wrapped(&label, look.width, gutter + 3);
                label.lines().map(str::trim_start).for_each(|line| {
                    let left = before.min(look.width.saturating_sub(gutter + 3 + line.chars().count()));
                    let _ = writeln!(out, "{:gutter$} {bar} {:left$}{}", "", "", paint(style, line));
                });
            }
        }
    }
    for hint in &diagnostic.hints {
        let _ = writeln!(out, "{:gutter$} {} {}", "", paint(frame, "="), wrapped(&format!("help: {}", clean(hint)), look.width, gutter + 3));
    }
    out.push('\n');
}

/// Further lines of a hint stand below its first.
fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let room = width.saturating_sub(indent).max(20);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if last + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{:indent$}", ""))
}

/// The line as it is shown, the columns before the mark, and the columns of the mark.
fn snippet(line: &str, span: Span, room: usize) -> (String, usize, usize) {
    let start = usize::try_from(span.column).unwrap_or(1).max(1) - 1;
    let length = line.chars().count();
    let end = if span.end_line > span.line { length } else { usize::try_from(span.end_column).unwrap_or(1).max(1) - 1 };
    let cells: Vec<String> = line.chars().map(cell).collect();
    let columns = |from: usize, to: usize| {
        cells.get(from.min(length)..to.clamp(from.min(length), length)).unwrap_or_default().iter().map(|cell| wide(cell)).sum::<usize>()
    };
    let marked = columns(start, end).max(1);
    if columns(0, length) <= room {
        return (cells.concat(), columns(0, start), marked);
    }
    // Cut around the mark: some of what stands before it stays.
    let mut from = start.min(length);
    while from > 0 && columns(from - 1, start) <= room / 3 {
        from -= 1;
    }
    let mut to = from;
    while to < length && columns(from, to + 1) + 2 <= room {
        to += 1;
    }
    let head = if from > 0 { "…" } else { "" };
    let tail = if to < length { "…" } else { "" };
    let shown = format!("{head}{}{tail}", cells[from..to].concat());
    (shown, columns(from, start) + wide(head), marked.min(columns(start, to).max(1)))
}

/// One character as it is shown.
fn cell(c: char) -> String {
    match c {
        '\t' => " ".repeat(TAB),
        c => visible(c).to_string(),
    }
}

/// Control characters, and those that change the direction of text, as something harmless.
fn visible(c: char) -> char {
    match c {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { ' ' } else { visible(c) }).collect()
}

/// Columns on a terminal, near enough: East Asian wide characters and pictures take two, combining marks none.
fn wide(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x300..=0x36f | 0xfe00..=0xfe0f => 0,
            0x1100..=0x115f
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0xffe0..=0xffe6
            | 0x1f300..=0x1faff
            | 0x20000..=0x3fffd => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, column: u32, end_column: u32) -> Diagnostic {
        let span = Some(Span { line, column, end_line: line, end_column });
        Diagnostic { level: Level::Error, code: "x".into(), message: "wrong".into(), route: String::new(), span, label: "here".into(), hints: vec![] }
    }

    fn marked(text: &str, diagnostic: Diagnostic, width: usize) -> String {
        render("f.yaml", text, &[diagnostic], Look { color: false, width })
    }

    #[test]
    fn the_mark_stands_below_what_is_meant() {
        insta::assert_snapshot!(marked("a: 1\n\tb: 世界 x\n", at(2, 5, 7), 80), @r"
        error[x]: wrong
         --> f.yaml:2:5
          |
        2 |     b: 世界 x
          |        ^^^^ here

        1 error in f.yaml
        ");
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text = format!("{}MARK{}", "a".repeat(200), "b".repeat(200));
        insta::assert_snapshot!(marked(&text, at(1, 201, 205), 44), @r"
        error[x]: wrong
         --> f.yaml:1:201
          |
        1 | …aaaaaaaaaaaaaMARKbbbbbbbbbbbbbbbbbbbb…
          |               ^^^^ here

        1 error in f.yaml
        ");
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        let shown = marked("a: \u{1b}[31m\u{202e}x", at(1, 4, 5), 80);
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
        let colored = render("f.yaml", "a: b", &[at(1, 4, 5)], Look { color: true, width: 80 });
        assert!(colored.contains('\u{1b}'));
    }

    #[test]
    fn a_place_outside_of_the_text_does_no_harm() {
        for diagnostic in [at(9, 9, 9), at(1, 99, 120), at(0, 0, 0), at(1, 3, 2)] {
            assert!(marked("abc", diagnostic, 1).starts_with("error[x]: wrong"));
        }
    }
}
