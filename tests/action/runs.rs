//! What a workflow sees when nobody means it ill.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::rig::{PIPELINE, Rig, action, dispatch, pull_request, push};
use crate::support::World;

#[test]
fn a_push_a_pull_request_and_a_start_by_hand_run_the_pipeline() {
    let Some(rig) = Rig::new("runs::a_push_a_pull_request_and_a_start_by_hand_run_the_pipeline", PIPELINE, &[]) else { return };
    let acted = rig.act("push", &push(&rig.commit, "main"));
    acted.says("hello world, it is a push of main").says("came of it: outcome=succeeded code=0 run=yes");
    assert!(acted.output("path").unwrap().ends_with("/tidegate"));
    acted.says(env!("CARGO_BIN_EXE_tidegate"));
    assert_eq!(acted.obeyed().iter().filter(|(command, _)| command == "error").count(), 0);
    rig.act("pull_request", &pull_request(&rig.commit, "doors", "Add a door")).says("hello world, it is a pull_request of main");
    rig.act("workflow_dispatch", &dispatch(json!({ "who": "you" }))).says("hello you, it is a manual of main").says("outcome=succeeded");
}

#[test]
fn an_event_that_the_pipeline_does_not_want_is_skipped_and_nothing_fails() {
    let Some(rig) = Rig::new("runs::an_event_that_the_pipeline_does_not_want_is_skipped_and_nothing_fails", PIPELINE, &[]) else { return };
    let acted = rig.act("push", &push(&rig.commit, "other"));
    acted.says("came of it: outcome=skipped code=0 run=");
    assert!(
        acted.obeyed().iter().any(|(command, said)| command == "notice" || said.contains("does not start"))
            || acted.printed().contains("does not start")
    );
}

#[test]
fn inputs_become_arguments() {
    let pipeline = PIPELINE.replace("steps:\n", "steps:\n  other: { run: echo other }\n");
    let inputs = [("step", "greet\n"), ("params", "who=all of you\n\n"), ("file", ".tidegate/ci.yaml"), ("args", "--parallel=1\n--color=never")];
    let Some(rig) = Rig::new("runs::inputs_become_arguments", &pipeline, &inputs) else { return };
    let acted = rig.act("workflow_dispatch", &dispatch(json!(null)));
    acted.says("hello all of you").says("outcome=succeeded");
    assert!(!acted.printed().contains("│ other"), "only the step that was asked for");
}

#[test]
fn a_failure_is_an_annotation_at_the_steps_place_and_the_steps_own_failure() {
    let pipeline = "name: ci\non: { push: {} }\nsteps:\n  builds: { run: \"true\" }\n  breaks:\n    needs: [builds]\n    run: exit 3\n";
    let Some(rig) = Rig::new("runs::a_failure_is_an_annotation_at_the_steps_place_and_the_steps_own_failure", pipeline, &[]) else { return };
    let acted = rig.act("push", &push(&rig.commit, "main"));
    acted.says("came of it: outcome=failed code=1 run=yes");
    let errors: Vec<_> = acted.obeyed().into_iter().filter(|(command, _)| command == "error").collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].1.contains("breaks failed"), "{errors:?}");
    let failed = acted.records.iter().any(|record| record["stepID"] == json!(["tidegate"]) && record["stepResult"] == "failure");
    assert!(failed, "without continue-on-error the job would fail");
}

#[test]
fn mistakes_in_the_pipeline_file_are_annotations_at_their_lines() {
    let pipeline = "name: ci\non: { push: {} }\nsteps:\n  a:\n    run: echo\n    tiemout: 5m\n";
    let Some(rig) = Rig::new("runs::mistakes_in_the_pipeline_file_are_annotations_at_their_lines", pipeline, &[]) else { return };
    let acted = rig.act("push", &push(&rig.commit, "main"));
    acted.says("came of it: outcome=not run code=2 run=");
    let errors: Vec<_> = acted.obeyed().into_iter().filter(|(command, _)| command == "error").collect();
    assert!(errors.iter().any(|(_, said)| said.contains("tiemout")), "{errors:?}");
}

/// The files that a runner makes for a step: read by their real rules.
#[test]
fn the_summary_and_the_outputs_are_in_the_runners_files() {
    let pipeline =
        "name: ci\non: { manual: {} }\nsteps:\n  builds: { run: \"true\" }\n  breaks: { run: \"echo '| a <b> `c` ::error::x'; exit 3\" }\n";
    let world = World::with(&[(".tidegate/ci.yaml", pipeline)]);
    let (event, output, summary) = (world.path("event.json"), world.path("output"), world.path("summary"));
    std::fs::write(&event, dispatch(json!({})).to_string()).unwrap();
    std::fs::write(&output, "earlier=1\n").unwrap();
    let ran = Command::new(action().join("run.sh"))
        .current_dir(world.repository())
        .env_clear()
        .envs([
            ("PATH", "/usr/bin:/bin"),
            ("GITHUB_EVENT_NAME", "workflow_dispatch"),
            ("INPUT_MODE", "run"),
            ("TIDEGATE_PROGRAM", env!("CARGO_BIN_EXE_tidegate")),
        ])
        .envs(["STEP", "PARAMS", "ARGS", "FILE", "WORKING_DIRECTORY"].map(|name| (format!("INPUT_{name}"), "")))
        .envs([("GITHUB_EVENT_PATH", &event), ("GITHUB_OUTPUT", &output), ("GITHUB_STEP_SUMMARY", &summary), ("TIDEGATE_STATE_DIR", &world.state())])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stdout));
    let said = String::from_utf8(ran.stdout).unwrap();
    let token = said.lines().next().and_then(|line| line.strip_prefix("::stop-commands::")).expect("the first line of all").to_owned();
    let (_, after) = said.split_once(&format!("\n::{token}::\n")).expect("commands are obeyed again at the end");
    assert!(after.starts_with("::error file=.tidegate/ci.yaml,line=5,title=tidegate / breaks::breaks failed"), "{after}");
    assert!(ran.stderr.is_empty(), "one stream, so that nothing overtakes what stops commands");
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(summary.contains("| step | result | time |") && summary.contains("`breaks`"), "{summary}");
    assert!(!summary.lines().any(|line| line.starts_with("| a <b>")), "what a step printed is no table of ours: {summary}");
    let output = std::fs::read_to_string(output).unwrap();
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("earlier=1"), "what was there stays");
    let mut found = std::collections::BTreeMap::new();
    while let Some(line) = lines.next() {
        let (name, delimiter) = line.split_once("<<").unwrap_or_else(|| panic!("{output}"));
        assert!(delimiter.len() > 30, "{output}");
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        found.insert(name.to_owned(), value.join("\n"));
    }
    assert_eq!((found["outcome"].as_str(), found["exit-code"].as_str()), ("failed", "1"), "{found:?}");
    assert!(!found["run"].is_empty());
}

/// Annotations at the lines that a step's findings name, and its own words on the page: of a step that succeeds as of one that fails.
#[test]
fn findings_are_annotations_and_what_a_step_says_is_on_the_page() {
    let pipeline = r##"name: ci
on: { push: {} }
steps:
  scan:
    run: |
      cat > "$TIDEGATE_FINDINGS" <<'EOF'
      { "version": "2.1.0", "runs": [{ "tool": { "driver": { "name": "x" } }, "results": [
        { "ruleId": "door", "level": "error", "message": { "text": "it squeaks\n::error::obeyed" }, "locations": [{ "physicalLocation": {
          "artifactLocation": { "uri": "file:///workspace/src/a.rs" }, "region": { "startLine": 7 } } }] },
        { "ruleId": "x,file=/etc/passwd::obeyed", "level": "note", "message": { "text": "::add-mask::hello" }, "locations": [{ "physicalLocation": {
          "artifactLocation": { "uri": "a%0A%3A%3Aerror%3A%3Aobeyed" } } }] },
        { "ruleId": "climbs", "level": "note", "locations": [{ "physicalLocation": { "artifactLocation": { "uri": "../../etc/passwd" } } }] },
        { "ruleId": "p,line=1::obeyed", "level": "warning", "message": { "text": "%0A::error::obeyed" }, "locations": [{ "physicalLocation": {
          "artifactLocation": { "uri": "src/b.rs" }, "region": { "startLine": 2 } } }] } ] }] }
      EOF
      printf '# Doors\n\n2 squeak, ask @admin <script>alert(1)</script> [x](https://evil.example)\n' > "$TIDEGATE_SUMMARY"
"##;
    let Some(rig) = Rig::new("runs::findings_are_annotations_and_what_a_step_says_is_on_the_page", pipeline, &[]) else { return };
    let acted = rig.act("push", &push(&rig.commit, "main"));
    acted.says("came of it: outcome=succeeded code=0 run=yes");
    let obeyed = acted.obeyed();
    let told: Vec<_> = obeyed.iter().filter(|(command, _)| ["error", "warning", "notice", "add-mask"].contains(&command.as_str())).collect();
    assert_eq!(told.len(), 2, "{obeyed:?}");
    assert!(told[0].0 == "error" && told[0].1.contains("it squeaks"), "{told:?}");
    assert_eq!(told[1].0, "warning", "{told:?}");
    let page: String = obeyed.iter().filter(|(command, _)| command == "summary").map(|(_, said)| said.as_str()).collect();
    assert!(page.contains("### What the step says\n**Doors**\n\n2 squeak, ask `@admin` `<script>`"), "{page}");
    assert!(page.contains("4 findings"), "{page}");
}
