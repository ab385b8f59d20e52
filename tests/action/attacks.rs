//! Text that strangers write, where it could become a command: of a shell, or of the runner.

use serde_json::json;

use crate::rig::{Rig, dispatch, pull_request, push};

/// Everything that a runner obeys, or has obeyed once, in the ways of writing it that there are.
const COMMANDS: [&str; 12] = [
    "::error file=x::obeyed",
    "::add-mask::hello",
    "::set-output name=outcome::obeyed",
    "::set-env name=LD_PRELOAD::/tmp/obeyed",
    "::add-path::/tmp/obeyed",
    "::save-state name=x::obeyed",
    "::stop-commands::obeyed",
    "::group::obeyed",
    "##[error]obeyed",
    "##[add-mask]hello",
    "  \\t::warning::obeyed",
    "x\\r::notice::obeyed",
];

#[test]
fn what_a_step_prints_is_never_obeyed() {
    let lines: String = COMMANDS.iter().map(|command| format!("      printf '{command}\\n'; printf '{command}\\n' >&2\n")).collect();
    let pipeline =
        format!("name: ci\non: {{ push: {{}} }}\nsteps:\n  evil:\n    run: |\n      printf 'no line of its own yet'\n{lines}      exit 9\n");
    let Some(rig) = Rig::new("attacks::what_a_step_prints_is_never_obeyed", &pipeline, &[]) else { return };
    let acted = rig.act("push", &push(&rig.commit, "main"));
    acted.says("came of it: outcome=failed code=1 run=yes");
    acted.says("::add-mask::hello");
    let obeyed = acted.obeyed();
    assert!(
        obeyed.iter().all(|(command, said)| command == "error" && said.contains("evil failed")
            || command == "stop-commands"
            // What is in GITHUB_STEP_SUMMARY, in the words of who runs the workflow.
            || command == "summary" && !said.contains("obeyed")
            || command.starts_with("tidegate-")),
        "{obeyed:?}"
    );
    assert_eq!(acted.output("outcome").as_deref(), Some("failed"));
}

#[test]
fn names_and_reasons_that_strangers_choose_stay_where_they_stand() {
    // A file of a pull request: what is wrong in it is said, and shown.
    let pipeline = "name: \"x\\n::error::obeyed\"\non: { pull_request: {} }\nsteps:\n  a:\n    run: echo\n    \"::add-mask::hello\": 1\n";
    let Some(rig) = Rig::new("attacks::names_and_reasons_that_strangers_choose_stay_where_they_stand", pipeline, &[]) else { return };
    let title = "a title\n::error::obeyed\n$(touch /tmp/obeyed) `id` ${{ github.token }}";
    let acted = rig.act("pull_request", &pull_request(&rig.commit, "x", title));
    acted.says("came of it: outcome=not run code=2");
    for (command, said) in acted.obeyed() {
        assert!(["error", "stop-commands"].contains(&command.as_str()) || command.starts_with("tidegate-"), "{command}: {said}");
        assert!(!said.trim().ends_with("obeyed"), "{command}: {said}");
    }
}

#[test]
fn inputs_branches_and_titles_run_in_no_shell() {
    let pipeline = r#"name: ci
on: { push: {}, pull_request: {}, manual: { params: { who: { type: string, default: world } } } }
steps:
  greet: { run: "echo hello ${{ params.who }} of ${{ event.branch }}" }
"#;
    let Some(rig) = Rig::new("attacks::inputs_branches_and_titles_run_in_no_shell", pipeline, &[]) else { return };
    let mark = rig.world.path("obeyed");
    let mark = mark.to_str().unwrap();
    let evil = format!("\"; touch {mark} #'; touch {mark} #$(touch {mark})`touch {mark}`");
    let branch = format!("x$({{touch,{mark}}})`touch,{mark}`;touch,{mark}");
    let acted = rig.act("push", &push(&rig.commit, &branch));
    acted.says("outcome=succeeded");
    rig.act("workflow_dispatch", &dispatch(json!({ "who": evil }))).says("outcome=succeeded").says("hello \"; touch");
    rig.act("pull_request", &pull_request(&rig.commit, &branch, &evil)).says("outcome=succeeded");
    assert!(!std::path::Path::new(mark).exists(), "something has run it");

    // And as inputs of the action itself, as from `with: { params: "who=${{ github.head_ref }}" }`.
    let evil_lines = format!("who={evil}");
    let inputs = [("params", evil_lines.as_str()), ("args", "--color=never"), ("working-directory", ".")];
    let rig = Rig::new("attacks::inputs_branches_and_titles_run_in_no_shell", pipeline, &inputs).unwrap();
    rig.act("workflow_dispatch", &dispatch(json!({}))).says("outcome=succeeded").says("hello \"; touch");
    for (name, value) in [("file", evil.as_str()), ("working-directory", &evil), ("mode", &evil), ("step", &evil), ("install", &evil)] {
        let rig = Rig::new("attacks::inputs_branches_and_titles_run_in_no_shell", pipeline, &[(name, value)]).unwrap();
        let acted = rig.act("workflow_dispatch", &dispatch(json!({})));
        assert!(name == "install" || !acted.printed().contains("outcome=succeeded"), "{name}");
    }
    assert!(!std::path::Path::new(mark).exists(), "something has run it");
}

#[test]
fn an_input_of_several_lines_is_no_other_argument() {
    let pipeline = "name: ci\non: { manual: { params: { who: { type: string, default: world } } } }\nsteps:\n  greet: { run: \"echo hello ${{ params.who }}\" }\n";
    let inputs = [("params", "who=x\n--allow-unisolated\nwho2=y"), ("file", "--help")];
    let Some(rig) = Rig::new("attacks::an_input_of_several_lines_is_no_other_argument", pipeline, &inputs) else { return };
    let acted = rig.act("workflow_dispatch", &dispatch(json!({})));
    assert!(!acted.printed().contains("Usage: tidegate run"), "a file is a file, whatever it is called");
    acted.says("code=2");
    let inputs = [("params", "who=x\n--allow-unisolated=y")];
    let rig = Rig::new("attacks::an_input_of_several_lines_is_no_other_argument", pipeline, &inputs).unwrap();
    rig.act("workflow_dispatch", &dispatch(json!({}))).says("no parameter \"--allow-unisolated\"");
}
