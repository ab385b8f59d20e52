//! Text from outside, made fit to be shown anywhere.

/// Characters of one line at most.
pub const LINE: usize = 200;

/// One line without control characters (escape sequences, direction overrides), at most [`LINE`] characters.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).take(LINE).collect()
}

/// The first line of a text, clean.
pub fn first_line(text: &str) -> String {
    clean(text.lines().next().unwrap_or_default())
}

/// Moves the cursor, turns the direction of reading, or can not be seen.
pub fn hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_can_not_move_the_cursor_or_turn_the_line_around() {
        assert_eq!(clean("a\x1b[2Jb\u{202e}c\r\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\u{fffd}");
        assert_eq!(first_line("Fix it\r\n\nas was said"), "Fix it");
        assert_eq!(clean(&"x".repeat(1000)).len(), LINE);
    }
}
