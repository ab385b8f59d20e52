//! `/tidegate VERB …`: the first line of a comment, and nothing else of it.
//!
//! | line | command |
//! |---|---|
//! | `/tidegate run [PIPELINE] [KEY=VALUE …]` | run |
//! | `/tidegate approve [COMMIT] [[--environment] NAME]` | approve; a word of 7 to 40 hex digits is a commit, but for one behind `--environment` |
//! | `/tidegate reject …` | reject: the same words as with approve |
//! | `/tidegate cancel` | cancel |
//! | `/tidegate promote [ROLLOUT]`, `/tidegate rollback [ROLLOUT]` | promote, roll back |

use std::collections::BTreeMap;

use crate::model::text::{clean, hidden};
use crate::model::trigger::Command;

const WORD: &str = "/tidegate";
/// Bytes of the line at most.
const LINE: usize = 2000;
const PARAMS: usize = 32;
const OPTION: &str = "--environment";

/// `None` if the comment is not meant for Tidegate.
pub(super) fn parse(comment: &str) -> Option<Command> {
    let line = comment.lines().next()?;
    let rest = line.strip_prefix(WORD).filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))?;
    let rest = rest.replace('\t', " ");
    // What nobody sees is not what somebody wanted.
    let understood = if rest.len() > LINE || rest.chars().any(hidden) { None } else { command(&rest) };
    Some(understood.unwrap_or_else(|| Command::Unknown { said: clean(rest.trim()) }))
}

fn command(line: &str) -> Option<Command> {
    let mut words = line.split_ascii_whitespace();
    let verb = words.next()?;
    let words: Vec<&str> = words.collect();
    Some(match (verb, words.as_slice()) {
        ("run", words) => run(words)?,
        ("approve", words) => about(words).map(|(commit, environment)| Command::Approve { commit, environment })?,
        ("reject", words) => about(words).map(|(commit, environment)| Command::Reject { commit, environment })?,
        ("cancel", []) => Command::Cancel,
        ("promote", words) => Command::Promote { rollout: at_most_one(words)? },
        ("rollback", words) => Command::Rollback { rollout: at_most_one(words)? },
        _ => return None,
    })
}

fn run(words: &[&str]) -> Option<Command> {
    let (pipeline, given) = match words {
        [first, rest @ ..] if !first.contains('=') => (Some((*first).to_owned()), rest),
        all => (None, all),
    };
    let mut params = BTreeMap::new();
    for word in given {
        let (key, value) = word.split_once('=')?;
        // Twice would be one too many, whichever counts.
        let new = params.insert(key.to_owned(), value.to_owned()).is_none();
        if key.is_empty() || !new || params.len() > PARAMS {
            return None;
        }
    }
    Some(Command::Run { pipeline, params })
}

/// A commit and an environment.
fn about(words: &[&str]) -> Option<(Option<String>, Option<String>)> {
    let (commit, environment) = match words {
        [] => (None, None),
        [OPTION, name] => (None, Some(*name)),
        [OPTION, name, commit] | [commit, OPTION, name] if is_commit(commit) => (Some(*commit), Some(*name)),
        [commit] if is_commit(commit) => (Some(*commit), None),
        [name] => (None, Some(*name)),
        [commit, name] if is_commit(commit) => (Some(*commit), Some(*name)),
        _ => return None,
    };
    // What looks like an option is none that there is.
    if environment.is_some_and(|name| name.starts_with('-')) {
        return None;
    }
    Some((commit.map(str::to_ascii_lowercase), environment.map(str::to_owned)))
}

fn is_commit(word: &str) -> bool {
    (7..=40).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn at_most_one(words: &[&str]) -> Option<Option<String>> {
    match words {
        [] => Some(None),
        [one] => Some(Some((*one).to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pipeline: Option<&str>, params: &[(&str, &str)]) -> Option<Command> {
        let params = params.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Some(Command::Run { pipeline: pipeline.map(str::to_owned), params })
    }
    fn approve(commit: Option<&str>, environment: Option<&str>) -> Option<Command> {
        Some(Command::Approve { commit: commit.map(str::to_owned), environment: environment.map(str::to_owned) })
    }
    fn reject(commit: Option<&str>, environment: Option<&str>) -> Option<Command> {
        Some(Command::Reject { commit: commit.map(str::to_owned), environment: environment.map(str::to_owned) })
    }
    fn unknown(said: &str) -> Option<Command> {
        Some(Command::Unknown { said: said.to_owned() })
    }

    #[test]
    fn the_first_line_says_what_is_wanted_and_the_others_are_for_people() {
        for (comment, wanted) in [
            ("/tidegate run", run(None, &[])),
            ("/tidegate run ci\r\n\r\nPlease.", run(Some("ci"), &[])),
            ("/tidegate\trun  deploy  env=staging\tsize= url=a=b", run(Some("deploy"), &[("env", "staging"), ("size", ""), ("url", "a=b")])),
            ("/tidegate run env=$(id)", run(None, &[("env", "$(id)")])),
            ("/tidegate approve", approve(None, None)),
            ("/tidegate approve 6DCB09B", approve(Some("6dcb09b"), None)),
            ("/tidegate approve 6dcb09b production", approve(Some("6dcb09b"), Some("production"))),
            ("/tidegate approve production", approve(None, Some("production"))),
            ("/tidegate approve decade", approve(None, Some("decade"))),
            ("/tidegate approve --environment production", approve(None, Some("production"))),
            ("/tidegate approve --environment production 6DCB09B", approve(Some("6dcb09b"), Some("production"))),
            ("/tidegate approve 6dcb09b --environment production", approve(Some("6dcb09b"), Some("production"))),
            ("/tidegate approve --environment 6dcb09b", approve(None, Some("6dcb09b"))),
            ("/tidegate reject 6DCB09B", reject(Some("6dcb09b"), None)),
            ("/tidegate reject 6dcb09b --environment production", reject(Some("6dcb09b"), Some("production"))),
            ("/tidegate reject production", reject(None, Some("production"))),
            ("/tidegate cancel", Some(Command::Cancel)),
            ("/tidegate promote", Some(Command::Promote { rollout: None })),
            ("/tidegate rollback r-17", Some(Command::Rollback { rollout: Some("r-17".to_owned()) })),
        ] {
            assert_eq!(parse(comment), wanted, "{comment:?}");
        }
    }

    #[test]
    fn what_begins_like_a_command_and_is_none_gets_an_answer() {
        for (comment, said) in [
            ("/tidegate", ""),
            ("/tidegate RUN", "RUN"),
            ("/tidegate deploy", "deploy"),
            ("/tidegate cancel all", "cancel all"),
            ("/tidegate run ci staging", "run ci staging"),
            ("/tidegate run =x", "run =x"),
            ("/tidegate run a=1 a=2", "run a=1 a=2"),
            ("/tidegate approve production 6dcb09b", "approve production 6dcb09b"),
            ("/tidegate approve --environment", "approve --environment"),
            ("/tidegate approve --environment --all", "approve --environment --all"),
            ("/tidegate approve 6dcb09b --environment", "approve 6dcb09b --environment"),
            ("/tidegate approve --environment production staging", "approve --environment production staging"),
            ("/tidegate reject production now", "reject production now"),
            ("/tidegate reject --all", "reject --all"),
            ("/tidegate approve \u{202e}6dcb09b", "approve \u{fffd}6dcb09b"),
            ("/tidegate cancel\x1b[2J", "cancel\u{fffd}[2J"),
        ] {
            assert_eq!(parse(comment), unknown(said), "{comment:?}");
        }
        let many: String = (0..=PARAMS).map(|n| format!(" k{n}=v")).collect();
        assert!(matches!(parse(&format!("/tidegate run{many}")), Some(Command::Unknown { .. })));
        let long = format!("/tidegate run a={}", "x".repeat(LINE));
        assert!(matches!(parse(&long), Some(Command::Unknown { said }) if said.len() <= 200));
    }

    #[test]
    fn other_comments_are_left_alone() {
        for comment in
            ["", "Looks good", " /tidegate run", "> /tidegate run", "/tidegater run", "Try\n/tidegate run", "`/tidegate run`", "/tidegate\u{a0}run"]
        {
            assert_eq!(parse(comment), None, "{comment:?}");
        }
    }
}
