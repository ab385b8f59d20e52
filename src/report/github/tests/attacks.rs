//! Whatever a branch, a step, a finding or a log says: read by a real Markdown parser, none of it is anything but code.

use pulldown_cmark::{Event as Piece, Options, Parser, Tag, TagEnd};

use super::*;
use crate::model::request::Dropped;
use crate::model::trust::Trust;
use crate::report::github::comment;

/// What every attack has in it.
const MARK: &str = "zzmark";

const ATTACKS: [&str; 18] = [
    "zzmark [click](https://evil.example)",
    "![zzmark](https://evil.example/pixel.png)",
    "<img src=https://evil.example/zzmark>",
    "<!-- zzmark --> <script>alert(1)</script>",
    "@zzmark @org/team please approve",
    "zzmark fixes #1 acme/other#2",
    "https://evil.example/zzmark www.evil.example/zzmark",
    "zzmark | cell | @admin |",
    "zzmark\\| cell \\\\| [x](y)",
    "zzmark` [click](https://evil.example) `",
    "zzmark`` ` [x](https://evil.example) ``",
    "```\nzzmark [x](https://evil.example)\n```",
    "zzmark\n\n# heading\n\n- [ ] task @admin",
    "</code></details></table> zzmark **bold**",
    "\u{1b}]8;;https://evil.example\u{1b}\\zzmark\u{1b}]8;;\u{1b}\\",
    "{{zzmark}} {{{zzmark}}} {{> step.md.hbs}}",
    "zzmark \u{202e}txt.exe",
    "&lt;b&gt;zzmark&#64;admin",
];

/// Every place that text from outside gets to, filled with it.
fn everywhere(text: &str) -> Tale {
    let gated = gated("gated", text, Approvers::Logins(vec![text.to_owned(); 3]));
    let nodes = vec![node(text, invoke()), node("deploy", deploy(text)), node("other", invoke()), gated];
    let mut blocked_record = record();
    blocked_record.egress = blocked(text);
    blocked_record.unheld = vec![text.to_owned()];
    blocked_record.found.worst = vec![finding(Severity::Low, text, text)];
    blocked_record.found.counts = BTreeMap::from([(Severity::Low, 2)]);
    blocked_record.found.problem = Some(text.to_owned());
    // Its words are no code, so they would be found: what it says of itself has a test of its own.
    blocked_record.summary.problem = Some(text.to_owned());
    blocked_record.image = Some(crate::model::invocation::ImageRecord { reference: text.to_owned(), digest: text.to_owned() });
    let mut inputs = to_first_stage();
    inputs.push((1_700, Input::Abort { reason: text.to_owned() }));
    inputs.push((1_800, Input::Shifted { revision: 2 }));
    let run = vec![
        (at(0), started(text, event(text), nodes)),
        (at(1), held("gated", text)),
        (at(1), RunFact::NodeApproved { node: id("gated"), by: Voice::Forge { login: text.to_owned(), id: None, permission: Permission::Read } }),
        (at(1), begins(text, 1)),
        (at(2), tried(text, 1, failed(text), blocked_record, vec![artifact(text)])),
        (at(2), ended(text, failed(text))),
        (at(2), RunFact::RolloutAttached { node: id("deploy"), rollout: RolloutId::new(text) }),
        (at(3), RunFact::CancelRequested { reason: text.to_owned() }),
        (at(3), ended("other", Outcome::Memoised { from: text.to_owned() })),
        (at(3), ended("deploy", failed(text))),
        (at(4), RunFact::Ended { outcome: RunOutcome::Failed }),
    ];
    let tails = vec![LogTail { node: id(text), lines: text.lines().map(str::to_owned).collect() }];
    let findings = HashMap::from([(id(text), vec![finding(Severity::High, text, text)])]);
    Tale { run, rollouts: HashMap::from([(RolloutId::new(text), rollout(text, inputs))]), tails, findings, ..Tale::default() }
}

/// All Markdown that is made of it at any moment.
fn written(text: &str) -> Vec<String> {
    let whole = everywhere(text);
    let mut all = Vec::new();
    let mut lines = Vec::new();
    for length in 1..=whole.run.len() {
        let part = Tale { run: whole.run[..length].to_vec(), ..everywhere(text) };
        let said = part.said();
        all.extend(said.checks.iter().flat_map(|check| [check.summary.clone(), check.text.clone()]));
        lines.extend(said.line);
    }
    let asked = RequestFact::Asked {
        run: RunId::new(text),
        pipeline: text.to_owned(),
        event: Box::new(event(text)),
        plan: serde_json::Value::Null,
        trust: Trust::Untrusted,
        url: text.to_owned(),
        group: None,
        priority: 0,
        approval: Some(text.to_owned()),
        again: None,
    };
    let dropped = [
        Dropped::Failed { why: text.to_owned() },
        Dropped::Void { because: text.to_owned() },
        Dropped::Cancelled { by: text.to_owned() },
        Dropped::Rejected { by: text.to_owned() },
    ];
    let endings = dropped.into_iter().map(|why| vec![(at(0), asked.clone()), (at(1), RequestFact::Dropped { why })]);
    for request in endings.chain([vec![(at(0), asked.clone())]]) {
        let said = Tale { request, ..Tale::default() }.said();
        all.extend(said.checks.iter().map(|check| check.summary.clone()));
        lines.extend(said.line);
    }
    all.push(comment(&lines, &house()));
    all
}

/// What is in a text that does something, or says the mark outside of code.
fn active(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    // In code of either kind.
    let (mut block, mut tag) = (false, false);
    for piece in Parser::new_ext(markdown, Options::all()) {
        match piece {
            Piece::Start(Tag::CodeBlock(_)) => block = true,
            Piece::End(TagEnd::CodeBlock) => block = false,
            Piece::InlineHtml(html) if &*html == "<code>" => tag = true,
            Piece::InlineHtml(html) if &*html == "</code>" => tag = false,
            Piece::Start(Tag::Link { dest_url, .. }) if dest_url.starts_with("https://ci.example.com/runs/") => {}
            Piece::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => found.push(format!("a link to {dest_url}")),
            Piece::Html(html) | Piece::InlineHtml(html) => found.push(format!("HTML {html}")),
            Piece::Start(Tag::List(_) | Tag::Heading { .. } | Tag::Paragraph | Tag::Item | Tag::Strong) => {}
            Piece::Text(text) if !block && !tag && text.contains(MARK) => found.push(format!("text {text}")),
            Piece::TaskListMarker(_) | Piece::FootnoteReference(_) | Piece::Rule => found.push(format!("{piece:?}")),
            _ => {}
        }
    }
    found
}

#[test]
fn nothing_from_outside_is_anything_but_code() {
    // The parser finds what it shall find.
    assert!(ATTACKS[..4].iter().all(|attack| !active(attack).is_empty()));
    let mut seen = 0;
    for attack in ATTACKS {
        for markdown in written(attack) {
            seen += usize::from(markdown.contains(MARK));
            assert_eq!(active(&markdown), Vec::<String>::new(), "of {attack:?}:\n{markdown}");
        }
    }
    assert!(seen > ATTACKS.len() * 10, "the attacks do get into what is written: {seen}");
}

#[test]
fn tables_keep_their_columns() {
    for attack in ATTACKS {
        for markdown in written(attack) {
            let (mut cells, mut columns) = (0, 0);
            for piece in Parser::new_ext(&markdown, Options::ENABLE_TABLES) {
                match piece {
                    Piece::Start(Tag::Table(alignments)) => columns = alignments.len(),
                    Piece::Start(Tag::TableRow | Tag::TableHead) => cells = 0,
                    Piece::Start(Tag::TableCell) => cells += 1,
                    Piece::End(TagEnd::TableRow) => assert_eq!(cells, columns, "of {attack:?}:\n{markdown}"),
                    _ => {}
                }
            }
            // What came after the cells that a header has would be cut off: it must not have been there.
            for line in markdown.lines().filter(|line| line.starts_with("| ")) {
                assert!(line.ends_with('|'), "{line}");
            }
        }
    }
}

#[test]
fn what_is_too_long_is_cut_and_not_broken() {
    let long = format!("zzmark {}", "`x| ".repeat(20_000));
    for markdown in written(&long) {
        assert!(markdown.len() <= 65_535, "{}", markdown.len());
        assert_eq!(active(&markdown), Vec::<String>::new());
    }
    let mut tale = everywhere("a");
    tale.tails[0].lines = (0..20_000).map(|n| format!("line {n} zzmark [x](https://evil.example)")).collect();
    let said = tale.said();
    let check = said.checks.iter().find(|check| !check.text.is_empty()).expect("one has a log");
    assert!(check.text.len() <= 65_535 && check.text.contains("line 19999"), "{}", check.text.len());
    assert_eq!(active(&check.text), Vec::<String>::new());
}

#[test]
fn annotations_stay_in_the_repository() {
    let paths = ["/etc/passwd", "../up", "a/../../b", "", "a//b", "./a", "ok/file.rs"];
    let findings = paths.iter().map(|path| finding(Severity::High, "rule", path)).collect();
    let mut tale = everywhere("a");
    tale.findings = HashMap::from([(id("a"), findings)]);
    let said = tale.said();
    let told: Vec<&str> = said.checks[1].annotations.iter().map(|annotation| annotation.path.as_str()).collect();
    // The last is of its file of findings, of which two were counted.
    assert_eq!(told, ["ok/file.rs", "a"]);
    assert!(said.checks[1].title.contains("9 findings"), "those without a place are in the table: {}", said.checks[1].title);
}
