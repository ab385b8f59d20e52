//! Workflow commands: lines that GitHub's runner obeys.

use crate::model::check::{Annotation, Level};
use crate::report::github::text::plain;

/// GitHub shows no more than ten of each level of a step.
pub const MOST: usize = 30;
/// Characters of a message.
const MESSAGE: usize = 2_000;

/// From here on nothing is a command, until [`resume`] with the same token. It has to be one that what is printed can not know.
pub fn stop(token: &str) -> String {
    format!("::stop-commands::{token}")
}

pub fn resume(token: &str) -> String {
    format!("::{token}::")
}

/// A remark, at a line of a file where it has one.
pub fn annotation(annotation: &Annotation) -> String {
    let word = match annotation.level {
        Level::Notice => "notice",
        Level::Warning => "warning",
        Level::Failure => "error",
    };
    let mut properties = Vec::new();
    if !annotation.path.is_empty() {
        properties.push(format!("file={}", property(&annotation.path)));
        properties.push(format!("line={}", annotation.line.max(1)));
    }
    if !annotation.title.is_empty() {
        properties.push(format!("title={}", property(&annotation.title)));
    }
    let space = if properties.is_empty() { "" } else { " " };
    format!("::{word}{space}{}::{}", properties.join(","), data(&annotation.message))
}

/// What stands behind the command: lines stay lines.
fn data(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| plain(line, MESSAGE)).collect();
    plain_escape(&lines.join("\n"))
}

/// What stands in the command itself, between `=` and the next comma or colon.
fn property(text: &str) -> String {
    plain_escape(&plain(text, MESSAGE)).replace(':', "%3A").replace(',', "%2C")
}

fn plain_escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(path: &str, title: &str, message: &str) -> String {
        annotation(&Annotation { path: path.into(), line: 7, level: Level::Failure, title: title.into(), message: message.into() })
    }

    #[test]
    fn an_annotation_says_where_and_what() {
        assert_eq!(of("src/a.rs", "build", "failed: 50 % done"), "::error file=src/a.rs,line=7,title=build::failed: 50 %25 done");
        assert_eq!(of("", "", "no place"), "::error::no place");
        assert_eq!(of("", "a title", "x\ny"), "::error title=a title::x%0Ay");
    }

    #[test]
    fn nothing_gets_out_of_its_place() {
        let file = "a,line=1::x\n::add-mask::b";
        assert_eq!(of(file, "", "y"), "::error file=a%2Cline=1%3A%3Ax %3A%3Aadd-mask%3A%3Ab,line=7::y");
        assert_eq!(
            of("", "t::::stop-commands::x", "a\r\n::set-env name=PATH::/evil"),
            "::error title=t%3A%3A%3A%3Astop-commands%3A%3Ax::a%0A::set-env name=PATH::/evil"
        );
        assert_eq!(of("", "%0A::error::x", "%0A"), "::error title=%250A%3A%3Aerror%3A%3Ax::%250A", "what looks escaped already is not");
    }

    proptest! {
        #[test]
        fn it_is_one_line_and_one_command_whatever_it_is_made_of(path in ".*", title in ".*", message in "(?s).*") {
            let line = of(&path, &title, &message);
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            let (head, _) = line[2..].split_once("::").expect("a command has an end");
            let properties = head.strip_prefix("error").expect("the command").trim_start();
            let names: Vec<&str> = properties.split(',').filter(|part| !part.is_empty()).map(|part| part.split('=').next().unwrap_or_default()).collect();
            prop_assert!(names.iter().all(|name| ["file", "line", "title"].contains(name)), "{names:?}");
            prop_assert!(names.len() <= 3);
        }
    }
}
