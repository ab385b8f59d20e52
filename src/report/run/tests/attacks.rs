//! Whatever a step, a branch or a file is called and whatever a log says: nothing of it commands the terminal, and no line is too wide.

use proptest::prelude::*;

use super::*;
use crate::report::run::live::live;
use crate::report::run::plain::Plain;
use crate::report::run::summary::{LogTail, summary};
use crate::report::run::text::{clean, width};

const ATTACKS: [&str; 9] = [
    "\u{1b}[2J\u{1b}[H all is well",
    "\u{1b}]0;owned\u{7}title",
    "\u{1b}]8;;https://evil.example\u{1b}\\click\u{1b}]8;;\u{1b}\\",
    "\u{9b}31mred by C1",
    "back\u{8}\u{8}\u{8}\u{8}space\u{7f}",
    "line one\r\nline two\n\u{2028}three",
    "txt.\u{202e}gnp.exe",
    "half an escape \u{1b}[",
    "\u{1b}P1;2|device control\u{1b}\\\u{0}",
];

fn is_safe(text: &str) -> bool {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    !text.chars().any(|c| c.is_control() || turns(c))
}

/// Every place of a run that text from outside gets to, filled with it.
fn everywhere(text: &str) -> (Vec<(Timestamp, RunFact)>, LogTail) {
    let failed = || Outcome::Failed { exit: Exit::None, reason: text.to_owned() };
    let digest = Digest::from_sha256([7; 32]);
    let artifact = Artifact { name: text.to_owned(), path: text.to_owned(), digest, size: 9, kind: ArtifactKind::Folder };
    let facts = vec![
        (at(0), started(text, text, &[text, "other"])),
        (at(0), begins(text, 1)),
        (at(1), tried(text, 1, failed(), vec![artifact])),
        (at(1), reached(text)),
        (at(1), found(text)),
        (at(1), RunFact::RolloutAttached { node: id("other"), rollout: RolloutId::new(text) }),
        (at(1), ends(text, failed())),
        (at(2), RunFact::CancelRequested { reason: text.to_owned() }),
        (at(3), ends("other", Outcome::Memoised { from: text.to_owned() })),
        (at(3), RunFact::Ended { outcome: RunOutcome::Failed }),
    ];
    (facts, LogTail { node: id(text), lines: vec![text.to_owned(), text.repeat(3)] })
}

/// Everything that can be shown of it, at every moment.
fn shown(text: &str, look: Look) -> (Vec<String>, Vec<String>) {
    let (facts, tail) = everywhere(text);
    let mut plain = Plain::new(look);
    let lines: Vec<String> = facts.iter().filter_map(|(at, fact)| plain.line(*at, fact)).collect();
    let mut bounded = Vec::new();
    for length in 1..=facts.len() {
        let mut view = view(&facts[..length]);
        view.said(&id("other"), text);
        bounded.extend(live(&view, at(9), look));
        bounded.extend(summary(&view, std::slice::from_ref(&tail), at(9), look).lines().map(str::to_owned));
    }
    (lines, bounded)
}

#[test]
fn known_attacks_come_to_nothing() {
    let harmless: Vec<String> = ATTACKS.iter().map(|attack| clean(attack)).collect();
    insta::assert_debug_snapshot!(harmless);
    for attack in ATTACKS {
        let (lines, bounded) = shown(attack, look(80, false));
        assert!(lines.iter().chain(&bounded).all(|line| is_safe(line)), "{attack:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_gets_through_raw_or_makes_a_line_too_wide(
        text in prop_oneof!["\\PC{0,40}", "[\u{0}-\u{9f}\u{2028}-\u{202e}門🚪a-z ]{0,80}", prop::sample::select(ATTACKS.to_vec()).prop_map(str::to_owned)],
        columns in 24..140_usize,
        height in 1..12_usize,
    ) {
        let look = Look { width: columns, height, ..Look::default() };
        let (lines, bounded) = shown(&text, look);
        for line in lines.iter().chain(&bounded) {
            prop_assert!(is_safe(line), "{line:?}");
        }
        for line in &bounded {
            prop_assert!(width(line) <= columns, "{} > {columns}: {line:?}", width(line));
        }
    }

    /// However small the window: never wider, never higher.
    #[test]
    fn the_live_graph_keeps_to_its_window(columns in 0..60_usize, height in 1..12_usize, ms in 0..80_000_u64) {
        let facts: Vec<_> = story().into_iter().filter(|(when, _)| *when <= at(ms)).collect();
        let screen = live(&view(&facts), at(ms), Look { width: columns, height, ..Look::default() });
        prop_assert!(screen.len() <= height);
        for line in screen {
            prop_assert!(width(&line) <= columns, "{line:?}");
        }
    }
}
