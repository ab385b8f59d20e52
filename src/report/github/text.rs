//! Text from outside, as Markdown that does nothing: no link, image, HTML, mention, reference to an issue, or table cell can come out of it.

use crate::report::run::text::clean;

/// Characters of a name or reason; what is longer is cut.
const MOST: usize = 300;

/// As code within a line, also of a table. In code GitHub looks neither for Markdown nor for people and issues.
pub fn code(text: &str) -> String {
    let cleaned = clean(text);
    let text = short(cleaned.trim(), MOST);
    if text.is_empty() {
        return String::new();
    }
    // Between backticks all is literal, but for the backtick itself, and the bar in a table.
    if !text.contains(['`', '|', '\\']) {
        return format!("`{text}`");
    }
    // Tags are left alone, so what is between them would still be Markdown: but never what is written as a number.
    let inert: String = text.chars().map(|c| if c.is_ascii_punctuation() { format!("&#{};", u32::from(c)) } else { c.to_string() }).collect();
    format!("<code>{inert}</code>")
}

/// Lines as they are, in a block of code of at most so many bytes: the last ones, where they are too long.
pub fn fenced(lines: &[String], most: usize) -> String {
    let cleaned: Vec<String> = lines.iter().map(|line| clean(line)).collect();
    // No line of it can close a fence that is longer than all it has.
    let longest = cleaned.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2).min(most / 4) + 1);
    let Some(room) = most.checked_sub(2 * fence.len() + "text\n\n…\n".len()) else { return String::new() };
    let mut left = room;
    let mut kept: Vec<&str> = Vec::new();
    for line in cleaned.iter().rev() {
        match left.checked_sub(line.len() + 1) {
            Some(rest) => left = rest,
            // Of one that is too long by itself the end.
            None if kept.is_empty() => {
                kept.push(&line[line.ceil_char_boundary(line.len().saturating_sub(room.saturating_sub(1)))..]);
                break;
            }
            None => break,
        }
        kept.push(line);
    }
    let more = if kept.len() < cleaned.len() || kept.iter().map(|line| line.len()).sum::<usize>() < cleaned.iter().map(String::len).sum() {
        "…\n"
    } else {
        ""
    };
    kept.reverse();
    if kept.is_empty() || longest + 1 > fence.len() {
        return String::new();
    }
    format!("{fence}text\n{more}{}\n{fence}", kept.join("\n"))
}

fn longest_run(line: &str) -> usize {
    line.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// One line of plain text, for where nothing is Markdown.
pub fn plain(text: &str, most: usize) -> String {
    short(clean(text).trim(), most)
}

/// With `…` where something is missing.
fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most.saturating_sub(1)).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_plain_reads_plain_and_what_is_not_does_nothing() {
        assert_eq!(code("feature/doors"), "`feature/doors`");
        assert_eq!(code("@admin see #1 https://evil.example ![x](y) <img src=x>"), "`@admin see #1 https://evil.example ![x](y) <img src=x>`");
        assert_eq!(code("a` @admin `b"), "<code>a&#96; &#64;admin &#96;b</code>");
        assert_eq!(code("a | b\\"), "<code>a &#124; b&#92;</code>");
        assert_eq!(code("\u{1b}[31mred\r\n\n# heading"), "`red   # heading`");
        assert_eq!(code(" \u{200b} "), "");
    }

    #[test]
    fn a_log_can_not_leave_its_block() {
        let lines = ["```".to_owned(), "</details> @admin".to_owned(), "`````` end".to_owned()];
        assert_eq!(fenced(&lines, 1000), "```````text\n```\n</details> @admin\n`````` end\n```````");
        assert_eq!(fenced(&[], 1000), "");
        let long: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        assert_eq!(fenced(&long, 60), "```text\n…\nline 95\nline 96\nline 97\nline 98\nline 99\n```");
        assert_eq!(fenced(&["`".repeat(5000)], 1000), "", "one that would need a fence longer than there is room for is left out");
        assert_eq!(fenced(&["`````".to_owned()], 20), "", "and so is one that has room for its fences only");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn code_is_one_piece_of_one_line(text in "[\\PC\\n\\r`|<>\\\\@#]{0,400}") {
            let code = code(&text);
            prop_assert!(!code.contains(['\n', '\r', '|']));
            match code.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
                Some(inside) => prop_assert!(!inside.contains('`')),
                None => {
                    let inside = code.strip_prefix("<code>").and_then(|rest| rest.strip_suffix("</code>")).unwrap_or("");
                    prop_assert!(!inside.contains(['<', '>', '[', ']', '!', '*', '_', '@', '`']), "{}", inside);
                }
            }
        }

        #[test]
        fn a_block_keeps_to_its_bytes_and_to_itself(lines in prop::collection::vec("[a`ü\\n]{0,60}", 0..30), most in 20_usize..400) {
            let block = fenced(&lines, most);
            prop_assert!(block.len() <= most, "{} > {}", block.len(), most);
            if let Some(fence) = block.lines().next().map(|line| line.trim_end_matches("text")) {
                let inside = block.lines().skip(1).filter(|line| line.starts_with(fence)).count();
                prop_assert_eq!(inside, 1, "only the last line closes it");
            }
        }
    }
}
