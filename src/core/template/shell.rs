//! Where in a shell script an expression stands.
//!
//! A value is put into a script as one single-quoted word. That is only sound where the shell would read a word: within `"…"`, `'…'`, a here-document or a
//! comment it is not, and the value could become code. So such places are found and refused, not escaped by guesswork. Where shells differ, or where only a
//! whole shell parser could follow, the reader says that it is lost, and everything behind is refused: it errs on the side of refusing.

use super::{Part, Template};

/// What an expression stands within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    Double,
    Single,
    /// `` `…` ``
    Backquotes,
    HereDocument,
    Comment,
    /// Right behind a backslash or a `$`.
    Prefix,
    /// `$((…))`, `((…))`, `[[…]]`, `name[…]`: some shell reads a value there as a formula, and runs what a formula names.
    Arithmetic,
    /// Behind something that shells read in different ways, so that nobody can say.
    Unclear,
}

impl Quotes {
    pub fn word(self) -> &'static str {
        match self {
            Self::Double => "double quotes",
            Self::Single => "single quotes",
            Self::Backquotes => "backquotes",
            Self::HereDocument => "a here-document",
            Self::Comment => "a comment",
            Self::Prefix => "a word, right behind a backslash or a $",
            Self::Arithmetic => "arithmetic, double parentheses, [[ … ]] or an index",
            Self::Unclear => "a script whose quotes can not be followed up to here",
        }
    }
}

/// Every expression of a script that does not stand where a word is read, by its offset.
pub fn quotes(script: &Template) -> Vec<(usize, Quotes)> {
    let mut reader = Reader::default();
    let mut found = Vec::new();
    for part in script.parts() {
        match part {
            Part::Text(text) => text.chars().for_each(|c| reader.feed(c)),
            Part::Expression { at, .. } => {
                found.extend(reader.inside().map(|quotes| (*at, quotes)));
                reader.feed('x');
            }
        }
    }
    found
}

#[derive(Default)]
struct Reader {
    /// Innermost last: quotes and `$(`s that are open.
    stack: Vec<Open>,
    escaped: bool,
    comment: bool,
    lost: bool,
    /// The character before, where it means something for the next.
    last: Option<char>,
    /// The plain word that is being read, to notice `case`, whose `)` closes nothing.
    word: String,
    here: Here,
    /// Within `[[ … ]]`.
    tests: bool,
    /// Within `name[…]`.
    index: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Double,
    Single,
    Back,
    /// `$(…)` or `(…)`: words are read here.
    Paren,
    /// `${…}`
    Brace,
}

/// A here-document: its word is read, then it waits for the end of the line, then its own end is looked for.
#[derive(Default)]
enum Here {
    #[default]
    None,
    Word {
        end: String,
        tabs: bool,
    },
    Waiting {
        end: String,
        tabs: bool,
    },
    Body {
        end: String,
        tabs: bool,
        line: String,
    },
}

impl Reader {
    fn inside(&self) -> Option<Quotes> {
        if matches!(self.here, Here::Body { .. }) {
            return Some(Quotes::HereDocument);
        }
        if self.lost || matches!(self.here, Here::Word { .. }) {
            return Some(Quotes::Unclear);
        }
        if self.comment {
            return Some(Quotes::Comment);
        }
        if self.escaped || self.last == Some('$') {
            return Some(Quotes::Prefix);
        }
        if self.stack.contains(&Open::Back) {
            return Some(Quotes::Backquotes);
        }
        match self.stack.as_slice() {
            [.., Open::Double] => Some(Quotes::Double),
            [.., Open::Single] => Some(Quotes::Single),
            [.., Open::Double, Open::Brace] => Some(Quotes::Double),
            [.., Open::Brace] => Some(Quotes::Unclear),
            [.., Open::Paren, Open::Paren] => Some(Quotes::Arithmetic),
            _ if self.tests || self.index => Some(Quotes::Arithmetic),
            _ => None,
        }
    }

    fn feed(&mut self, c: char) {
        let last = self.last.take();
        if let Here::Body { end, tabs, line } = &mut self.here {
            if c != '\n' {
                line.push(c);
            } else if (if *tabs { line.trim_start_matches('\t') } else { line.as_str() }) == end {
                self.here = Here::None;
            } else {
                line.clear();
            }
            return;
        }
        if self.comment && c != '\n' {
            return;
        }
        self.comment = false;
        if std::mem::take(&mut self.escaped) {
            if let Here::Word { end, .. } = &mut self.here {
                end.push(c);
            }
            self.last = Some('x');
            return;
        }
        // `$$` is a whole: the second `$` begins nothing.
        self.last = Some(if c == '$' && last == Some('$') { 'x' } else { c });
        self.follow_word(c);
        if !self.here_document(c, last) {
            self.quote(c, last);
        }
    }

    fn follow_word(&mut self, c: char) {
        if c.is_ascii_alphanumeric() {
            self.word.push(c);
            return;
        }
        if std::mem::take(&mut self.word) == "case" && self.stack.contains(&Open::Paren) {
            self.lost = true;
        }
    }

    /// Reads `<<EOF`, `<<-'EOF'`. Answers whether the character was part of it.
    fn here_document(&mut self, c: char, last: Option<char>) -> bool {
        let opens = c == '<' && last == Some('<') && matches!(self.stack.last(), None | Some(Open::Paren));
        match &mut self.here {
            Here::Word { end, tabs } => match c {
                // `<<<` is a here-string: what follows is a word.
                '<' if end.is_empty() => self.here = Here::None,
                '-' if end.is_empty() => *tabs = true,
                ' ' | '\t' if end.is_empty() => {}
                '\'' | '"' => {}
                '\\' => self.escaped = true,
                c if c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '!') => end.push(c),
                c if end.is_empty() || !(c.is_whitespace() || matches!(c, ';' | '|' | '&' | ')' | '>')) => {
                    self.lost = true;
                    self.here = Here::None;
                }
                c => {
                    self.here = Here::Waiting { end: std::mem::take(end), tabs: *tabs };
                    return c == '\n' && self.start_body();
                }
            },
            Here::Waiting { .. } if c == '\n' => return self.start_body(),
            // A second one in the same line: bodies follow one another.
            Here::Waiting { .. } if opens => self.lost = true,
            // `$((x << 2))` or `((cat <<EOF`: they look the same here.
            Here::None if opens && self.stack.ends_with(&[Open::Paren, Open::Paren]) => self.lost = true,
            Here::None if opens => self.here = Here::Word { end: String::new(), tabs: false },
            _ => return false,
        }
        true
    }

    fn start_body(&mut self) -> bool {
        // A quote that is open at the end of the line goes on behind the body.
        if !matches!(self.stack.last(), None | Some(Open::Paren)) {
            self.lost = true;
        }
        if let Here::Waiting { end, tabs } = std::mem::take(&mut self.here) {
            self.here = Here::Body { end, tabs, line: String::new() };
        }
        true
    }

    fn quote(&mut self, c: char, last: Option<char>) {
        let behind_dollar = last == Some('$');
        match (self.stack.last().copied(), c) {
            (Some(Open::Single), '\'') => self.pop(),
            (Some(Open::Single), _) => {}
            (_, '\\') => self.escaped = true,
            (Some(Open::Double), '"') | (Some(Open::Back), '`') | (Some(Open::Brace), '}') | (Some(Open::Paren), ')') => self.pop(),
            // Shells do not agree on what a quote within backquotes closes.
            (Some(Open::Back), '\'' | '"' | '#') => self.lost = true,
            (_, '(') if behind_dollar => self.stack.push(Open::Paren),
            (_, '{') if behind_dollar => self.stack.push(Open::Brace),
            (_, '`') => self.stack.push(Open::Back),
            (Some(Open::Double), _) => {}
            // `$'…'` and `$"…"` are known to some shells only.
            (_, '\'' | '"') if behind_dollar => self.lost = true,
            // Within "${…}" a single quote is text or a quote, by the operator.
            (Some(Open::Brace), '\'') if self.stack.contains(&Open::Double) => self.lost = true,
            (_, '"') => self.stack.push(Open::Double),
            (_, '\'') => self.stack.push(Open::Single),
            (Some(Open::Paren), '(') => self.stack.push(Open::Paren),
            (None, '(') if last == Some('(') => self.lost = true,
            (None | Some(Open::Paren), '[') if last == Some('[') => self.tests = true,
            (None | Some(Open::Paren), '[') if last.is_some_and(|last| last.is_alphanumeric() || last == '_') => self.index = true,
            (None | Some(Open::Paren), ']') => {
                self.index = false;
                self.tests &= last != Some(']');
            }
            (None | Some(Open::Paren), '#') if last.is_none_or(|last| last.is_whitespace() || matches!(last, ';' | '(' | ')' | '&' | '|')) => {
                self.comment = true;
                self.lost |= self.stack.contains(&Open::Double);
            }
            _ => {}
        }
    }

    fn pop(&mut self) {
        self.stack.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(script: &str) -> Option<Quotes> {
        let script = Template::parse(script).expect("parses");
        quotes(&script).first().map(|(_, quotes)| *quotes)
    }

    #[test]
    fn only_places_where_a_word_is_read_are_let_through() {
        for good in [
            "echo ${{ event.branch }}",
            "echo \"a\" ${{ event.branch }} 'b'",
            "x=${{ event.branch }}",
            "echo pre${{ event.branch }}post",
            "echo \"$(cat ${{ event.branch }})\"",
            "# it's a comment\necho ${{ event.branch }}",
            "echo a#b ${{ event.branch }}",
            "cat <<EOF\nit's text\nEOF\necho ${{ event.branch }}",
            "cat <<-'EOF' | sort\n\"\n\tEOF\necho ${{ event.branch }}",
            "cat <<<${{ event.branch }}",
            "echo \\\" ${{ event.branch }}",
            "echo $(( 1 + 2 )) ${{ event.branch }}",
            "case x in a) echo ${{ event.branch }};; esac",
            "[ ${{ event.branch }} = main ] && [[ a = a ]] && ls x[a-z] && (echo ${{ event.branch }})",
        ] {
            assert_eq!(inside(good), None, "{good}");
        }
        for (bad, quotes) in [
            ("echo \"${{ event.branch }}\"", Quotes::Double),
            ("echo '${{ event.branch }}'", Quotes::Single),
            ("echo \"$(echo \"${{ event.branch }}\")\"", Quotes::Double),
            ("echo `cat ${{ event.branch }}`", Quotes::Backquotes),
            ("cat <<EOF\n${{ event.branch }}\nEOF", Quotes::HereDocument),
            ("cat << \"EOF\" > x\n${{ event.branch }}\nEOF", Quotes::HereDocument),
            ("# ${{ event.branch }}", Quotes::Comment),
            ("echo \\${{ event.branch }}", Quotes::Prefix),
            ("echo $${{ event.branch }}", Quotes::Prefix),
            ("echo $(( ${{ event.branch }} ))", Quotes::Arithmetic),
            ("(( ${{ event.branch }} ))", Quotes::Unclear),
            ("[[ ${{ event.branch }} -eq 1 ]]", Quotes::Arithmetic),
            ("x[${{ event.branch }}]=1", Quotes::Arithmetic),
            ("echo \"\\$(\" x \"${{ event.branch }}\"", Quotes::Double),
            ("echo \"$$(\" x \"${{ event.branch }}\"", Quotes::Double),
            ("x=\"$(case x in a) echo \"${{ event.branch }}\";; esac)\"", Quotes::Unclear),
            ("cat <<A\n\tA\n${{ event.branch }}\nA", Quotes::HereDocument),
            ("cat <<A <<B\nx\nA\n${{ event.branch }}\nB", Quotes::Unclear),
            ("echo $'it\\'s' ${{ event.branch }}", Quotes::Unclear),
            ("echo \"${x#'}'}\" ${{ event.branch }}", Quotes::Unclear),
            ("echo `echo \"x\"` ${{ event.branch }}", Quotes::Unclear),
            ("echo \"${x:-${{ event.branch }}}\"", Quotes::Double),
            ("echo $(( x<<2 ))\necho ${{ event.branch }}", Quotes::Unclear),
        ] {
            assert_eq!(inside(bad), Some(quotes), "{bad}");
        }
    }
}
