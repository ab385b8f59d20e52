//! The checks as text and as JSON.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::checks::{Check, State};
use crate::report::run::text::wrap;

fn glyph(state: State) -> (&'static str, Style) {
    match state {
        State::Good => ("✔", AnsiColor::Green.on_default()),
        State::Advice => ("!", AnsiColor::Yellow.on_default()),
        State::Missing => ("✘", AnsiColor::Red.on_default()),
    }
}

/// One line a check, what to do below it, and the verdict last. Colours are in it; whoever prints it decides whether they stay.
pub(super) fn text(checks: &[Check], columns: usize) -> String {
    let mut text = String::new();
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let dim = Style::new().dimmed();
    for check in checks {
        let (glyph, style) = glyph(check.state);
        let room = columns.saturating_sub(width + 4).max(16);
        let mut details = wrap(&check.detail, room).into_iter();
        let _ = writeln!(text, "{style}{glyph}{style:#} {:width$}  {}", check.name, details.next().unwrap_or_default());
        for line in details {
            let _ = writeln!(text, "  {:width$}  {line}", "");
        }
        for line in check.remedy.iter().flat_map(|remedy| wrap(&format!("→ {remedy}"), room)) {
            let _ = writeln!(text, "  {:width$}  {dim}{line}{dim:#}", "");
        }
    }
    let isolated = checks.iter().all(|check| check.state != State::Missing);
    let verdict =
        if isolated { "Steps run fully isolated on this machine." } else { "Steps can not be run as they should on this machine: see ✘ above." };
    let _ = writeln!(text, "\n{}", wrap(verdict, columns).join("\n"));
    text
}

/// One object.
pub(super) fn json(checks: &[Check]) -> String {
    let isolated = checks.iter().all(|check| check.state != State::Missing);
    format!("{}\n", serde_json::json!({ "isolated": isolated, "checks": checks }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Check> {
        let check = |name: &str, state, detail: &str, remedy: Option<&str>| Check {
            name: name.to_owned(),
            state,
            detail: detail.to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        vec![
            check("namespaces", State::Good, "user, mount, PID, IPC and UTS namespaces", None),
            check("proc", State::Missing, "/proc is partly hidden", Some("run tidegate on the host")),
            check("python3", State::Advice, "is not installed", Some("install it")),
        ]
    }

    #[test]
    fn what_is_missing_stands_out_and_says_what_to_do() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&text(&sample(), 80)).to_string(), @r"
        ✔ namespaces  user, mount, PID, IPC and UTS namespaces
        ✘ proc        /proc is partly hidden
                      → run tidegate on the host
        ! python3     is not installed
                      → install it

        Steps can not be run as they should on this machine: see ✘ above.
        ");
    }

    #[test]
    fn narrow_terminals_break_between_words() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&text(&sample()[..1], 40)).to_string(), @r"
        ✔ namespaces  user, mount, PID, IPC and
                      UTS namespaces

        Steps run fully isolated on this
        machine.
        ");
    }

    #[test]
    fn programs_read_the_same() {
        insta::assert_snapshot!(json(&sample()[1..2]), @r#"{"isolated":false,"checks":[{"name":"proc","state":"missing","detail":"/proc is partly hidden","remedy":"run tidegate on the host"}]}"#);
    }
}
