//! `tidegate runs`, as a person meets it: over a state folder in which one run has ended, one is alive and one was killed.

#[path = "support/past.rs"]
mod past;

use std::path::Path;
use std::process::Command;

use past::story;

/// What it prints, and its exit code.
fn tidegate(state: &Path, arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("--state-dir").arg(state).args(arguments).env_clear().output().expect("it runs");
    let code = out.status.code().expect("it ends by itself");
    format!("{}{}[exit {code}]", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
fn the_list_says_which_runs_live_and_which_were_killed() {
    let story = story();
    insta::assert_snapshot!(tidegate(story.state.root(), &["runs", "ls"]));
    insta::assert_snapshot!(tidegate(story.state.root(), &["runs", "ls", "--limit", "2", "--json"]));
}

#[test]
fn a_killed_run_is_shown_as_the_next_start_will_record_it_and_nothing_is_written() {
    let story = story();
    insta::assert_snapshot!(tidegate(story.state.root(), &["runs", "show", "aa02"]));
    let facts = tidegate(story.state.root(), &["runs", "show", "aa02", "--json"]);
    let last = facts.lines().rev().nth(1).expect("a fact");
    insta::assert_snapshot!(last);
}

#[test]
fn a_failed_run_shows_the_end_of_the_log_of_what_failed() {
    let story = story();
    insta::assert_snapshot!(tidegate(story.state.root(), &["runs", "show", "aa01"]));
}

#[test]
fn logs_come_as_they_were_said_to_a_pipe_and_as_data_to_a_program() {
    let story = story();
    insta::assert_snapshot!(tidegate(story.state.root(), &["runs", "logs", "aa01"]).replace(['\u{1b}', '\u{7}'], "␛"));
    insta::assert_snapshot!(tidegate(story.state.root(), &["runs", "logs", "latest", "test", "--json"]));
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let story = story();
    let root = story.state.root();
    insta::assert_snapshot!(tidegate(root, &["runs", "show", "zz"]));
    insta::assert_snapshot!(tidegate(root, &["runs", "show", "../../etc/passwd"]));
    insta::assert_snapshot!(tidegate(root, &["runs", "show", "aa"]));
    insta::assert_snapshot!(tidegate(root, &["runs", "logs", "aa01", "deploy"]));
    let empty = tempfile::tempdir().expect("a temporary folder");
    let never = empty.path().join("never");
    insta::assert_snapshot!(tidegate(&never, &["runs", "ls"]));
    insta::assert_snapshot!(tidegate(&never, &["runs", "show", "aa"]));
    assert!(!never.exists(), "looking must not make a state folder");
}
