//! What a step finds and says of itself, from its files to the terminal.

use tidegate::model::fact::RunFact;
use tidegate::model::finding::{Found, Severity};

use crate::story::{entries, run_facts};
use crate::support::World;

/// More than is kept, of which the worst comes last; and a path and words that would command a terminal.
const PIPELINE: &str = r##"name: ci
on: { manual: {} }
steps:
  scan:
    run: |
      {
        printf '{ "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "x" } }, "results": ['
        seq 1 30000 | sed 's/.*/{ "ruleId": "small", "level": "note" },/'
        printf '{ "ruleId": "last", "level": "error" } ] }] }'
      } > "$TIDEGATE_FINDINGS"
      printf '# Of the scan\n\n\033[2J\033]0;owned\007 and \342\200\256 back\n' > "$TIDEGATE_SUMMARY"
      exit 3
  doors:
    run: |
      cat > "$TIDEGATE_FINDINGS" <<'EOF'
      { "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "x" } }, "results": [
        { "ruleId": "squeaks", "level": "error", "message": { "text": "\u001b[2Jopen\u202e" }, "locations": [{ "physicalLocation": {
          "artifactLocation": { "uri": "src/a%1b%5b2J.rs" }, "region": { "startLine": 7 } } }] } ] }] }
      EOF
  broken:
    run: |
      printf '{\n  "version": 2\n}' > "$TIDEGATE_FINDINGS"
"##;

fn found(facts: &[(tidegate::model::time::Timestamp, RunFact)], step: &str) -> Found {
    let record = facts.iter().find_map(|(_, fact)| match fact {
        RunFact::InvocationEnded { node, record, .. } if node.as_str() == step => record.clone(),
        _ => None,
    });
    record.expect("it has ended").found
}

#[test]
fn findings_and_summaries_are_shown_and_command_no_terminal() {
    let world = World::with(&[(".tidegate/ci.yaml", PIPELINE)]);
    let ran = world.tidegate(&["run"]).expect(1);
    let shown = world.tidegate(&["runs", "show", "latest"]).expect(0);
    for text in [ran.all(), shown.out.clone()] {
        for said in [
            "25000 findings: 25000 low",
            "$TIDEGATE_FINDINGS holds 30001 results: the first 25000 were read",
            "1 finding: 1 high",
            "high      squeaks  src/a\u{fffd}[2J.rs:7  \u{fffd}[2Jopen\u{fffd}",
            "$TIDEGATE_FINDINGS: the findings are not SARIF 2.1.0: invalid type: integer `2`, expected a string at line 2 column",
            "# Of the scan",
            "and  back",
        ] {
            assert!(text.replace("\n      ", " ").contains(said), "{said}: {text}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains('\u{7}'), "{text}");
    }
    let json = world.tidegate(&["runs", "show", "latest", "--json"]).expect(0).out;
    let facts = run_facts(&entries(&json));
    let scan = found(&facts, "scan");
    assert_eq!((scan.worst.len(), scan.total(), scan.counts[&Severity::Low]), (Found::MOST, 25_000, 25_000));
    // All of it is kept.
    let file = tidegate::adapters::workspace::stored(&world.state(), scan.file.as_ref().expect("kept"));
    assert!(std::fs::read_to_string(file).unwrap().ends_with(r#"{ "ruleId": "last", "level": "error" } ] }] }"#));
    let doors = found(&facts, "doors");
    assert_eq!((doors.worst[0].line, doors.worst[0].severity, doors.problem), (7, Severity::High, None));
    let broken = found(&facts, "broken");
    assert!(broken.worst.is_empty() && broken.problem.is_some());
}
