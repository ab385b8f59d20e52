//! A run, as a person meets it: what flows from step to step, what happens when steps go wrong, and how it is looked at afterwards.

use std::time::Duration;

use rustix::process::Signal;
use tidegate::model::fact::RunFact;
use tidegate::model::outcome::{Outcome, RunOutcome};

use crate::story::{Tells as _, Terminal, ends, entries, nothing_left, redacted, run_facts, run_outcome};
use crate::support::World;

/// A pipeline in a repository of its own.
fn world(steps: &str) -> World {
    World::with(&[("x.yaml", &format!("name: x\nsteps:\n{steps}")), ("README.md", "hello\n"), ("src/main.txt", "main\n")])
}

fn words(ends: &[(String, Outcome)]) -> Vec<(&str, &str)> {
    let mut words: Vec<_> = ends.iter().map(|(node, outcome)| (node.as_str(), outcome.word())).collect();
    words.sort_unstable();
    words
}

#[test]
fn files_and_values_flow_along_the_graph_and_nothing_else_does() {
    let world = world(
        r#"
  compile:
    run: |
      mkdir -p dist && echo program > dist/program && chmod +x dist/program
      echo scribble > scribble.txt
      echo changed > README.md
      rm src/main.txt
      echo "version=1.2.3" >> "$TIDEGATE_OUTPUT"
    outputs: { program: dist/program }
  document: { run: mkdir -p site/a && echo page > site/a/index.html, outputs: { site: site } }
  twin: { run: mkdir -p site/a && echo page > site/a/index.html, outputs: { site: site } }
  beside: { run: "test ! -e dist && test ! -e scribble.txt && cat README.md src/main.txt" }
  release:
    needs: [compile, document, twin]
    run: |
      test -x ${{ steps.compile.outputs.program }}
      cat dist/program site/a/index.html README.md src/main.txt
      test ! -e scribble.txt
      echo version ${{ steps.compile.outputs.version }} of ${{ event.branch }}
      echo more >> dist/program
  after: { needs: [release, compile], run: cat dist/program }
"#,
    );
    let seen = world.tidegate(&["run", "x.yaml"]).expect(0);
    let logs = |step: &str| world.tidegate(&["runs", "logs", "latest", step]).expect(0).out;
    assert_eq!(logs("release"), "program\npage\nhello\nmain\nversion 1.2.3 of main\n");
    assert_eq!((logs("beside"), logs("after")), ("hello\nmain\n".to_owned(), "program\n".to_owned()));
    // The scribble, the README, and the file that is gone are thrown away, and counted.
    seen.says("2 files (17 B) discarded").says("compile.program").says("dist/program");
    world.tidegate(&["runs", "show", "latest"]).expect(0).says("✔ x succeeded").says("document.site").says("2 files (17 B) discarded");
    assert_eq!(std::fs::read_to_string(world.repository().join("README.md")).unwrap(), "hello\n");
    nothing_left(&world);
}

#[test]
fn text_from_outside_stays_text() {
    let world = world(
        r#"
  hostile:
    run: |
      printf '%s\n' "quote='; touch pwned; '" 'subst=$(touch pwned) `touch pwned`' "slash=\\" "braces=\$"'{{ event.branch }} {{x}}' >> "$TIDEGATE_OUTPUT"
  echo:
    needs: [hostile]
    env: { FROM_ENV: "${{ steps.hostile.outputs.quote }}" }
    run: |
      printf '%s\n' ${{ steps.hostile.outputs.quote }} ${{ steps.hostile.outputs.subst }} ${{ steps.hostile.outputs.slash }}
      printf '%s\n' ${{ steps.hostile.outputs.braces }} "$FROM_ENV"
      printf '%s\n' ${{ event.branch }} ${{ event.subject }}
      test ! -e pwned
"#,
    );
    world.git(&["checkout", "--quiet", "-b", "a;touch${IFS}pwned;\"'$(touch${IFS}pwned)"]);
    world.commit("It's `touch pwned`; $(touch pwned) \u{1b}[2J");
    let seen = world.tidegate(&["run", "x.yaml"]).expect(0);
    assert!(!seen.all().contains('\u{1b}'), "no control sequence of a commit reaches the terminal");
    let said = world.tidegate(&["runs", "logs", "latest", "echo"]).expect(0).out;
    // What was filled in is not read for expressions again.
    let expected = ["'; touch pwned; '", "$(touch pwned) `touch pwned`", "\\", "${{ event.branch }} {{x}}", "'; touch pwned; '"];
    assert_eq!(said.lines().take(expected.len()).collect::<Vec<_>>(), expected);
    assert!(said.contains("a;touch${IFS}pwned;\"'$(touch${IFS}pwned)\nIt's `touch pwned`; $(touch pwned)"), "{said}");
    assert!(!world.repository().join("pwned").exists());
}

#[test]
fn conditions_decide_and_failures_spread() {
    let world = world(
        r#"
  bad: { run: "echo what went wrong; exit 7" }
  good: { run: echo fine }
  dependent: { needs: [bad], run: echo never }
  far: { needs: [dependent], run: echo never }
  notify: { needs: [dependent], if: failed(), run: "echo ${{ steps.dependent.outcome }}" }
  tidy: { needs: [good], if: failed(), run: echo never }
  always: { needs: [bad, good], if: always(), run: "echo ${{ steps.bad.outcome }} ${{ steps.good.outcome }}" }
  rescue: { needs: [bad], if: steps.bad.outcome == "failed", run: echo rescue }
  pushed: { if: event.kind == "push", run: echo never }
  main: { if: event.branch == "main" && event.kind == "manual", run: echo main }
"#,
    );
    let seen = world.tidegate(&["run", "x.yaml", "--json"]).expect(1);
    let facts = entries(&seen.out);
    assert_eq!(run_outcome(&facts), RunOutcome::Failed);
    assert_eq!(
        words(&ends(&facts)),
        [
            ("always", "succeeded"),
            ("bad", "failed"),
            ("dependent", "skipped"),
            ("far", "skipped"),
            ("good", "succeeded"),
            ("main", "succeeded"),
            ("notify", "succeeded"),
            ("pushed", "skipped"),
            ("rescue", "succeeded"),
            ("tidy", "skipped"),
        ]
    );
    // What is asked later is what was said then.
    let later = world.tidegate(&["runs", "show", "latest", "--json"]).expect(0);
    assert_eq!(entries(&later.out), facts);
    world
        .tidegate(&["runs", "show", "latest"])
        .expect(0)
        .tells("✘ bad failed: exited with 7 │ what went wrong all of it: tidegate runs logs")
        .tells("skipped: it needs bad, which failed")
        .tells("skipped: its condition is false: event.kind == \"push\" (event.kind is \"manual\")");
    assert_eq!(world.tidegate(&["runs", "logs", "latest", "always"]).expect(0).out, "failed succeeded\n");
    let listed = redacted(&world, &world.tidegate(&["runs", "ls"]).expect(0).out);
    assert!(listed.starts_with("ID ") && listed.contains(" failed ") && listed.contains(" x  main "), "{listed}");
}

#[test]
fn a_matrix_is_one_node_for_each_combination() {
    let world = world(
        r#"
  build:
    matrix: { version: [3.10, "4"], os: [linux, bsd] }
    run: echo v${{ matrix.version }} on ${{ matrix.os }}
  one-fails:
    matrix: { n: [1, 2, 3] }
    run: test ${{ matrix.n }} != 2
  ship: { needs: [build], run: echo all built }
  never: { needs: [one-fails], run: echo never }
"#,
    );
    let facts = entries(&world.tidegate(&["run", "x.yaml", "--json", "--parallel", "1"]).expect(1).out);
    let ends = ends(&facts);
    let count = |word: &str| ends.iter().filter(|(_, outcome)| outcome.word() == word).count();
    assert_eq!((count("succeeded"), count("failed"), count("skipped")), (7, 1, 1), "{ends:?}");
    let mut said: Vec<_> = world.tidegate(&["runs", "logs", "latest", "build"]).expect(0).out.lines().map(str::to_owned).collect();
    said.retain(|line| line.starts_with('v'));
    said.sort();
    assert_eq!(said, ["v3.10 on bsd", "v3.10 on linux", "v4 on bsd", "v4 on linux"]);
    assert_eq!(most_at_once(&facts, ""), 1, "one at a time was asked for");
}

/// Invocations of a step that were under way at the same time, at most.
fn most_at_once(facts: &[tidegate::model::fact::Entry], step: &str) -> i32 {
    let mut now = 0;
    let change = |(_, fact): (_, RunFact)| match fact {
        RunFact::InvocationStarted { node, .. } if node.as_str().starts_with(step) => Some(1),
        RunFact::InvocationEnded { node, .. } if node.as_str().starts_with(step) => Some(-1),
        _ => None,
    };
    let changes = run_facts(facts).into_iter().filter_map(change);
    changes
        .map(|change| {
            now += change;
            now
        })
        .max()
        .unwrap_or_default()
}

#[test]
fn a_steps_own_limit_holds_however_much_room_there_is() {
    let world = world(
        "  slow:\n    concurrency: 2\n    matrix: { n: [1, 2, 3, 4, 5, 6] }\n    run: sleep 0.2\n  free: { matrix: { n: [1, 2, 3, 4] }, run: sleep 0.2 }\n",
    );
    let facts = entries(&world.tidegate(&["run", "x.yaml", "--json", "--parallel", "8"]).expect(0).out);
    assert_eq!(most_at_once(&facts, "slow"), 2);
    assert!(most_at_once(&facts, "") > 2, "the others were not held up");
}

#[test]
fn what_may_be_tried_again_is_and_with_its_delay() {
    let world = world(
        r#"
  stubborn: { run: "echo try; exit 1", retry: { attempts: 3, on: [failed], delay: 300ms } }
  once: { run: "echo try; exit 1" }
"#,
    );
    let facts = entries(&world.tidegate(&["run", "x.yaml", "--json"]).expect(1).out);
    let starts = |wanted: &str| -> Vec<_> {
        let start = |(at, fact)| match fact {
            RunFact::InvocationStarted { node, attempt, .. } if node.as_str() == wanted => Some((attempt, at)),
            _ => None,
        };
        run_facts(&facts).into_iter().filter_map(start).collect()
    };
    let stubborn = starts("stubborn");
    assert_eq!(stubborn.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    // No attempt began before the moment that its retry was journaled for.
    let due = run_facts(&facts).into_iter().filter_map(|(_, fact)| if let RunFact::RetryScheduled { at, .. } = fact { Some(at) } else { None });
    for ((_, began), due) in stubborn.iter().skip(1).zip(due) {
        assert!(*began >= due, "{began:?} {due:?}");
    }
    assert!(stubborn.windows(2).all(|pair| pair[1].1.since(pair[0].1) >= Duration::from_millis(300)));
    assert_eq!(starts("once").len(), 1);
    let logs = world.tidegate(&["runs", "logs", "latest", "stubborn"]).expect(0).out;
    assert_eq!(logs, "==> stubborn (attempt 1)\ntry\n==> stubborn (attempt 2)\ntry\n==> stubborn (attempt 3)\ntry\n");
}

#[test]
fn a_timeout_ends_everything_that_the_step_has_started() {
    let world = world(
        r#"
  hangs:
    timeout: 700ms
    run: |
      echo before it hung
      setsid sleep 27182 & nohup sleep 27182 & (trap '' TERM; sleep 27182) &
      sleep 27182
  waits: { needs: [hangs], run: echo never }
"#,
    );
    world
        .tidegate(&["run", "x.yaml"])
        .expect(1)
        .tells("✘ hangs timed-out: after 700 ms │ before it hung")
        .tells("skipped: it needs hangs, which timed out");
    assert_eq!(sleepers("27182"), 0);
    nothing_left(&world);
}

fn sleepers(argument: &str) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).eq([&b"sleep"[..], argument.as_bytes(), b""])).count()
}

#[test]
fn a_person_changes_their_mind() {
    let world = world(
        r#"
  hangs: { run: "echo here; sleep 14142" }
  next: { needs: [hangs], run: echo never }
  tidy: { needs: [hangs], if: always(), run: echo tidying }
"#,
    );
    for signal in [Signal::INT, Signal::TERM] {
        let mut terminal = Terminal::start(&world, &["run", "x.yaml"]);
        terminal.until("hangs │ here");
        terminal.signal(signal);
        assert_eq!(terminal.end(), 130, "{}", terminal.lines);
        assert!(terminal.lines.contains("is being cancelled"), "{}", terminal.lines);
        assert_eq!(sleepers("14142"), 0);
        nothing_left(&world);
        let facts = entries(&world.tidegate(&["runs", "show", "latest", "--json"]).expect(0).out);
        assert_eq!(run_outcome(&facts), RunOutcome::Cancelled);
        world.tidegate(&["runs", "ls"]).expect(0).says("cancelled");
    }
}

#[test]
fn steps_are_told_apart_and_asked_for_by_name() {
    let world = world("  a: { run: echo from a }\n  b: { needs: [a], run: echo from b }\n  c: { run: echo from c }\n");
    let seen = world.tidegate(&["run", "x.yaml", "--step", "b"]).expect(0).tells("a │ from a").tells("b │ from b");
    assert!(!seen.all().contains("from c"), "only what it needs");
    world.tidegate(&["runs", "logs", "latest", "nobody"]).expect(2).says("the run has no step \"nobody\"; it has a, b");
    world.tidegate(&["runs", "show", "zzz"]).expect(2).says("there is no run \"zzz\"");
    world.tidegate(&["run", "x.yaml", "--on", "push"]).expect(0).says("a push does not start this pipeline");
}
