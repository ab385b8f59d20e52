//! Lines that are drawn over again in place.
//!
//! ```text
//! ⠋ quickstart  2.5 s       ▲ up by the rows that the last picture takes on the screen as it is now
//!   ✔ test      2.0 s       │ each line written over the old one, the rest of its row cleared: nothing flickers
//! ▏                         ┘ the cursor rests below; what is left under it is cleared
//! ```
//! The screen is never cleared from its first row on: some terminals then keep what was there in their history.

use std::fmt::Write as _;

use crate::report::run::text::{clean, width};

#[derive(Debug, Default)]
pub struct Canvas {
    /// Columns of each line of the last picture.
    drawn: Vec<usize>,
}

impl Canvas {
    /// What to write so that `lines` stand where the last picture stood. None of them may be wider than the screen.
    pub fn draw(&mut self, lines: &[String], columns: usize) -> String {
        if lines.is_empty() {
            return self.erase(columns);
        }
        // Rows are never broken meanwhile: between a change of the window's size and the next look at it a line may be too long.
        let mut out = format!("\x1b[?7l{}", self.back(columns));
        for line in lines {
            let _ = writeln!(out, "{line}\x1b[K");
        }
        out.push_str("\x1b[J\x1b[?7h");
        self.drawn = lines.iter().map(|line| width(&clean(line))).collect();
        out
    }

    /// What to write so that the last picture is gone and the cursor is where it began.
    pub fn erase(&mut self, columns: usize) -> String {
        if self.drawn.is_empty() {
            return String::new();
        }
        let back = self.back(columns);
        self.drawn.clear();
        format!("{back}\x1b[K\n\x1b[J\x1b[A")
    }

    /// To the first row. A screen that has become narrower has broken the lines that were there.
    fn back(&self, columns: usize) -> String {
        let rows: usize = self.drawn.iter().map(|wide| wide.div_ceil(columns.max(1)).max(1)).sum();
        if rows == 0 { "\r".to_owned() } else { format!("\r\x1b[{rows}A") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    /// Escapes as people can read them.
    fn visible(text: &str) -> String {
        text.replace('\x1b', "␛").replace('\r', "←").replace('\n', "↵")
    }

    #[test]
    fn a_picture_is_drawn_over_the_last_one_and_leaves_nothing() {
        let mut canvas = Canvas::default();
        let mut told = vec![canvas.erase(40)];
        told.push(canvas.draw(&lines(&["one", "\x1b[32mtwo\x1b[0m", "three"]), 40));
        told.push(canvas.draw(&lines(&["four"]), 40));
        told.push(canvas.erase(40));
        told.push(canvas.erase(40));
        insta::assert_snapshot!(told.iter().map(|one| visible(one)).collect::<Vec<_>>().join("\n"), @r"
        ␛[?7l←one␛[K↵␛[32mtwo␛[0m␛[K↵three␛[K↵␛[J␛[?7h
        ␛[?7l←␛[3Afour␛[K↵␛[J␛[?7h
        ←␛[1A␛[K↵␛[J␛[A
        ");
    }

    #[test]
    fn lines_that_a_narrower_screen_has_broken_are_counted_as_they_stand() {
        let mut canvas = Canvas::default();
        canvas.draw(&lines(&[&"x".repeat(75), "", &"y".repeat(30)]), 80);
        assert!(canvas.draw(&lines(&["z"]), 40).contains("\r\x1b[4Az"), "75 columns take two rows of 40, an empty line one, 30 columns one");
    }
}
