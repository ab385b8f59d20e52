//! Markdown that a step has written, made anew from what a parser finds in it: text, code, lists, tables and quotes. Links and images are named and lead nowhere,
//! headings do not look like ours, HTML is shown as it is written, nobody is mentioned, and nothing that is left open reaches beyond its end.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::text::{code, fenced};
use crate::model::text::hidden;

/// Bytes of one block of code.
const MOST_CODE: usize = 16 << 10;
/// Lists and quotes in one another: what is deeper stands as deep as this.
const DEPTH: usize = 8;
/// Columns of a table.
const COLUMNS: usize = 20;
/// Where strong text begins and ends, in text that has not been said yet. Text itself never holds them: they are hidden characters.
const STRONG: char = '\u{1}';
const STRONG_END: char = '\u{2}';

/// At most so many bytes of it.
pub fn harmless(markdown: &str, most: usize) -> String {
    let mut writer = Writer { most, ..Writer::default() };
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS) {
        if writer.is_full {
            break;
        }
        writer.take(event);
    }
    writer.end_block();
    let mut out = writer.out.trim_end().to_owned();
    if writer.is_full {
        out.push_str("\n\n…");
    }
    out
}

#[derive(Debug, Default)]
struct Writer {
    out: String,
    most: usize,
    is_full: bool,
    /// What has been said of the block that is open.
    line: String,
    /// Text that goes on, so that its last word may be longer than it looks: `http:` and `//…` can come one by one.
    text: String,
    /// Of each list item and quote around it: what the first of its lines begins with, if that is still to come, and what all others do.
    around: Vec<(Option<String>, &'static str)>,
    deeper: usize,
    /// Where open lists are.
    numbers: Vec<Option<u64>>,
    /// Of the item that has just begun the number has been said, and nothing else.
    numbered: bool,
    strong: usize,
    code: Option<String>,
    /// Where an open link or image leads.
    leads: Vec<String>,
    table: Vec<Vec<String>>,
}

impl Writer {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.text.extend(text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c })),
            },
            Event::Code(text) | Event::InlineHtml(text) | Event::InlineMath(text) | Event::DisplayMath(text) => self.say(&code(&text)),
            Event::Html(text) => text.lines().map(code).filter(|text| !text.is_empty()).for_each(|text| self.say(&format!("{text} "))),
            Event::SoftBreak | Event::HardBreak => self.say(" "),
            Event::TaskListMarker(done) => self.say(if done { "☑ " } else { "☐ " }),
            Event::FootnoteReference(_) | Event::Rule => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph if self.numbered => {}
            Tag::Paragraph | Tag::HtmlBlock => self.end_block(),
            Tag::Heading { .. } => {
                self.end_block();
                self.mark_strong();
            }
            Tag::BlockQuote(_) => self.enter("> ".to_owned(), "> "),
            Tag::CodeBlock(kind) => {
                self.end_block();
                let _: CodeBlockKind<'_> = kind;
                self.code = Some(String::new());
            }
            Tag::List(first) => {
                self.end_block();
                self.numbers.push(first);
            }
            Tag::Item => {
                self.enter("- ".to_owned(), "  ");
                // As text: behind it a block would not stand where a line begins, and be read as something else.
                if let Some(Some(number)) = self.numbers.last_mut() {
                    self.line = format!("{number}\\. ");
                    *number = number.saturating_add(1);
                    self.numbered = true;
                }
            }
            Tag::Table(_) => {
                self.end_block();
                self.table.clear();
            }
            Tag::TableHead | Tag::TableRow => self.table.push(Vec::new()),
            Tag::Strong => self.mark_strong(),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.leads.push(dest_url.into_string()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.mark_strong_end();
                self.end_block();
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.end_block(),
            TagEnd::BlockQuote(_) | TagEnd::Item => self.leave(),
            TagEnd::List(_) => {
                self.end_block();
                self.numbers.pop();
            }
            TagEnd::CodeBlock => {
                let lines: Vec<String> = self.code.take().unwrap_or_default().lines().map(str::to_owned).collect();
                let block = fenced(&lines, MOST_CODE);
                self.block(&block);
            }
            TagEnd::TableCell => {
                self.end_text();
                let cell = std::mem::take(&mut self.line);
                if let Some(row) = self.table.last_mut().filter(|row| row.len() < COLUMNS) {
                    row.push(cell.trim().to_owned());
                }
            }
            TagEnd::Table => self.end_table(),
            TagEnd::Strong => self.mark_strong_end(),
            TagEnd::Link | TagEnd::Image => {
                let to = self.leads.pop().map(|to| code(&to)).filter(|to| !to.is_empty());
                to.into_iter().for_each(|to| self.say(&format!(" ({to})")));
            }
            _ => {}
        }
    }

    fn mark_strong(&mut self) {
        self.strong += 1;
        if self.strong == 1 {
            self.text.push(STRONG);
        }
    }

    fn mark_strong_end(&mut self) {
        self.strong = self.strong.saturating_sub(1);
        if self.strong == 0 {
            self.text.push(STRONG_END);
        }
    }

    /// What is no text. Where it is nothing, the text around it is one.
    fn say(&mut self, what: &str) {
        if !what.is_empty() {
            self.end_text();
            self.line.push_str(what);
        }
    }

    fn end_text(&mut self) {
        self.line.push_str(&inert(&std::mem::take(&mut self.text)));
    }

    fn enter(&mut self, first: String, rest: &'static str) {
        self.end_block();
        if self.around.len() < DEPTH {
            self.around.push((Some(first), rest));
        } else {
            self.deeper += 1;
        }
    }

    fn leave(&mut self) {
        self.end_block();
        if self.deeper > 0 {
            self.deeper -= 1;
        } else {
            self.around.pop();
        }
    }

    fn end_table(&mut self) {
        let rows = std::mem::take(&mut self.table);
        let Some(head) = rows.first() else { return };
        let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
        let rule = format!("|{}", "---|".repeat(head.len()));
        let lines: Vec<String> = [line(head), rule].into_iter().chain(rows[1..].iter().map(|row| line(row))).collect();
        self.block(&lines.join("\n"));
    }

    fn end_block(&mut self) {
        self.numbered = false;
        self.end_text();
        let line = std::mem::take(&mut self.line);
        // What is open goes on in the next.
        let line = line.trim();
        if !line.is_empty() && line != "****" {
            self.block(line);
        }
    }

    fn block(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let begun = self.out.len();
        // Between two blocks, whatever they are in.
        if begun > 0 {
            let rest: String = self.around.iter().filter(|(first, _)| first.is_none()).map(|(_, rest)| *rest).collect();
            self.out.push_str(rest.trim_end());
            self.out.push('\n');
        }
        for line in text.lines() {
            for (first, rest) in &mut self.around {
                match first.take() {
                    Some(first) => self.out.push_str(&first),
                    None => self.out.push_str(rest),
                }
            }
            self.out.push_str(line);
            self.out.push('\n');
        }
        if self.out.len() > self.most {
            self.out.truncate(begun);
            self.is_full = true;
        }
    }
}

/// Text that is read as text, also by what looks in it for people, issues and addresses.
fn inert(text: &str) -> String {
    let mut out = String::new();
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            out.push(' ');
        }
        let plain = word.replace([STRONG, STRONG_END], "");
        if leads(&plain) {
            // As one: what is strong in a part of it would take it apart.
            let marks = || word.chars().filter(|c| matches!(*c, STRONG | STRONG_END));
            let (before, after) = (marks().next() == Some(STRONG_END), marks().next_back() == Some(STRONG));
            out.push_str(if after && !before { "**" } else { "" });
            out.push_str(&code(&plain));
            out.push_str(if before && !after { "**" } else { "" });
        } else {
            word.chars().for_each(|c| escape(c, &mut out));
        }
    }
    out
}

/// Somebody could make a link of it, or tell a person.
fn leads(word: &str) -> bool {
    // Other scripts' full stops are taken for ours in addresses.
    let lower = word.to_ascii_lowercase().replace(['\u{3002}', '\u{ff0e}', '\u{ff61}'], ".");
    lower.contains(['@', '#']) || ["://", "www.", "gh-"].iter().any(|part| lower.contains(part))
}

fn escape(c: char, out: &mut String) {
    if matches!(c, STRONG | STRONG_END) {
        return out.push_str("**");
    }
    if c.is_ascii_punctuation() && !matches!(c, ',' | ';' | '\'' | '"' | '/' | '?' | '%') {
        out.push('\\');
    }
    out.push(c);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What in it does something, or could be taken for ours.
    fn active(markdown: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut texts = Vec::new();
        let mut block = false;
        let mut tag = false;
        // As a browser shows it: neighbouring text is one, however it was written.
        let mut text = String::new();
        let mut look = |text: &mut String| {
            let shown = std::mem::take(text).to_ascii_lowercase().replace('\u{3002}', ".");
            if shown.contains(['@', '#']) || ["://", "www.", "gh-"].iter().any(|part| shown.contains(part)) {
                texts.push(format!("text {shown}"));
            }
        };
        for event in Parser::new_ext(markdown, Options::all()) {
            let goes_on = matches!(
                event,
                Event::Text(_)
                    | Event::Start(Tag::Emphasis | Tag::Strong | Tag::Strikethrough)
                    | Event::End(TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough)
            );
            if !goes_on {
                look(&mut text);
            }
            match event {
                Event::Start(Tag::CodeBlock(_)) => block = true,
                Event::End(TagEnd::CodeBlock) => block = false,
                Event::InlineHtml(html) if &*html == "<code>" => tag = true,
                Event::InlineHtml(html) if &*html == "</code>" => tag = false,
                Event::Html(html) | Event::InlineHtml(html) => found.push(format!("HTML {html}")),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => found.push(format!("a link to {dest_url}")),
                Event::Start(Tag::Heading { .. }) => found.push("a heading".to_owned()),
                Event::Text(more) if !block && !tag => text.push_str(&more),
                _ => {}
            }
        }
        look(&mut text);
        found.append(&mut texts);
        found
    }

    #[test]
    fn what_is_meant_well_reads_well() {
        let text = "# Tests\n\n12 passed, **1 failed** in `3 s`\n\n| test | result |\n|---|---|\n| a_b | ok |\n| `c\\|d` | no |\n\n\
                    1. one\n2. two\n   - below\n\n   ```rust\n   fn main() {}\n   ```\n\n> said\n> so\n\n- [x] done";
        insta::assert_snapshot!(harmless(text, 10_000), @r"
        **Tests**

        12 passed, **1 failed** in `3 s`

        | test | result |
        |---|---|
        | a\_b | ok |
        | <code>c&#124;d</code> | no |

        - 1\. one

        - 2\. two

          - below

          ```text
          fn main() {}
          ```

        > said so

        - ☑ done
        ");
    }

    #[test]
    fn nothing_of_it_does_anything() {
        for attack in [
            "# Approved by the maintainers",
            "Setext\n======",
            "[click](https://evil.example) <https://evil.example> https://evil.example www.evil.example",
            "![pixel](https://evil.example/p.png) [![x](y)](z)",
            "[a]: https://evil.example\n\n[a] [text][a]",
            "<img src=x onerror=alert(1)> <details open><summary>x</summary>",
            "<!-- hidden\n\n## everything after it",
            "<script>\nalert(1)\n</script>",
            "@admin @org/team fixes #1 acme/other#2 GH-1 a@b.example",
            "```\nnever closed @admin",
            "`` unclosed ` [x](y)",
            "\\[x](https://evil.example) &#60;b&#62; &lt;b&gt; &#64;admin &commat;admin",
            "| a |\n|---|\n| <b>@admin</b> [x](y) |",
            "> > > > > > > > > > > > deep [x](y)",
            "**bold [x](y",
            "\u{1b}[2J\u{202e}exe.txt\u{200b}",
            "a\\\n# b\n\n    indented <b>",
            "<div>\n\n[x](y)\n\n</div>",
            "http:\\//1249713234/login http&#58;//1249713234/login http:*//1249713234/login* http:~~//1249713234~~ h*tt*p://1249713234",
            "http:**//1249713234/login** **http:**//1249713234 **a http:**//**b c** _**http:**_/**/1**",
            "http:[//1249713234/](x) http:[](<>)//1249713234 [http:](<>)//1249713234 http:` `//1249713234 http:![](<>)//1249713234",
            "http:\\//evil\u{3002}example www\u{3002}evil.example ww*w\u{3002}evil.example* http&#58;//evil\u{3002}example",
            "www\\.evil.example ww&#119;.evil.example w*ww.evil.example* w**ww**.evil.example",
            "\\@user &#64;user @*user* **@**user *@*user a\\@b.example",
            "\\#1 &#35;1 #*1* **#**1 *#*1 acme/other\\#2 acme/*other#2* acme/other&#35;2 acme/other**#2**",
            "GH\\-1 GH&#45;1 G*H-1* GH**-1** &#71;H-1 gh~~-1~~",
            "| http:\\//1 | **http:**//2 |\n|---|---|\n| ww*w.x* | GH\\-1 |",
            "1. ```\n   # Approved by the maintainers\n   [click](https://evil.example) @org/team ![p](https://evil.example/p.png) <b>\n   ```",
            "1. > ```\n   > # Approved\n   > [x](y) @admin\n   > ```",
            "1. - ```\n     # Approved\n     [x](y) @admin\n     ```",
            "1.      [x](https://evil.example) @admin",
            "1. 1. 1. ```\n         <b>[x](y)\n         ```",
            "1. | a |\n   |---|\n   | [x](y) |",
            "# http:\\//1249713234 **x**\n\n- [ ] http:*//1*\n> http&#58;//1",
        ] {
            let made = harmless(attack, 10_000);
            assert_eq!(active(&made), Vec::<String>::new(), "{attack:?} became {made:?}");
            assert!(!made.chars().any(|c| c != '\n' && crate::model::text::hidden(c)), "{made:?}");
            // What follows is what it would be without it.
            let page = format!("{made}\n\n### Ours\n");
            assert!(Parser::new_ext(&page, Options::all()).any(|event| matches!(event, Event::Start(Tag::Heading { .. }))), "{made:?}");
        }
    }

    #[test]
    fn it_is_as_long_as_it_may_be() {
        let made = harmless(&"some words\n\n".repeat(1_000), 200);
        assert!(made.len() <= 200 + "\n\n…".len() && made.ends_with('…'), "{made}");
        assert_eq!(harmless("", 100), "");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_it_is(text in "[a-c \\n#@<>*_`\\[\\]()!|~:/\\\\&;.0-9=+-]{0,120}") {
            let made = harmless(&text, 5_000);
            prop_assert_eq!(active(&made), Vec::<String>::new(), "{:?} became {:?}", text, made);
        }

        #[test]
        fn whatever_it_is_in(text in "[a-c \n#@<>*_`\\[\\]()!|~:/0-9-]{0,60}", mark in "([0-9]{1,3}\\. |- |> ){1,3}") {
            let inside = format!("{mark}```\n{text}").replace('\n', &format!("\n{}", " ".repeat(mark.len())));
            let made = harmless(&inside, 5_000);
            prop_assert_eq!(active(&made), Vec::<String>::new(), "{:?} became {:?}", inside, made);
        }

        #[test]
        fn nothing_panics(text in "(?s).{0,200}", most in 0..300_usize) {
            let made = harmless(&text, most);
            prop_assert!(made.len() <= most + 6);
        }
    }
}
