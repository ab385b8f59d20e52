//! What others' linters say of the action, its scripts and the workflows that docs/github.md shows.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::{WORKFLOW, action, tools};

/// A linter's code and words.
fn run(tools: &Path, program: &str, arguments: &[&str], paths: &[PathBuf]) -> (Option<i32>, String) {
    let mut command = Command::new(tools.join("bin").join(program));
    if program == "check-jsonschema" {
        // It is Python, and was installed aside.
        command = Command::new("python3");
        command.arg("-c").arg("import sys; from check_jsonschema import main; sys.exit(main())").env("PYTHONPATH", tools);
    }
    let path = std::env::join_paths([tools.join("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
    let output =
        command.args(arguments).args(paths).env("PATH", path).env("NO_COLOR", "1").current_dir(env!("CARGO_MANIFEST_DIR")).output().expect(program);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn clean(tools: &Path, program: &str, arguments: &[&str], paths: &[PathBuf]) {
    let (code, said) = run(tools, program, arguments, paths);
    assert_eq!(code, Some(0), "{program}: {said}");
}

/// Workflows in a page, each as a file.
fn workflows_of(page: &str, into: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let whole = blocks.filter(|block| block.contains("runs-on:") && block.contains("\njobs:"));
    let folder = into.join(".github/workflows");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |(n, block): (usize, &str)| {
        let path = folder.join(format!("{n}.yml"));
        std::fs::write(&path, format!("{block}\n")).unwrap();
        path
    };
    whole.enumerate().map(write).collect()
}

#[test]
fn linters_find_nothing_in_the_action() {
    let Some(tools) = tools("lint::linters_find_nothing_in_the_action") else { return };
    let yml = vec![action().join("action.yml")];
    clean(&tools, "check-jsonschema", &["--builtin-schema", "vendor.github-actions"], &yml);
    clean(&tools, "zizmor", &["--offline", "--no-progress", "--pedantic"], &yml);
    let scripts: Vec<PathBuf> = ["install.sh", "run.sh", "say.sh"].map(|name| action().join(name)).into();
    clean(&tools, "shellcheck", &["--shell=bash", "--external-sources", "--enable=all", "--exclude=SC2154,SC2250,SC2310,SC2311,SC2312"], &scripts);
}

/// What makes the releases that the action installs: nobody else's code by a name that can move, no right that it does not need, no text in a script.
#[test]
fn linters_find_nothing_in_what_makes_releases() {
    let Some(tools) = tools("lint::linters_find_nothing_in_what_makes_releases") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workflow = vec![root.join(".github/workflows/release.yml")];
    clean(&tools, "check-jsonschema", &["--builtin-schema", "vendor.github-workflows"], &workflow);
    clean(&tools, "actionlint", &["-no-color"], &workflow);
    clean(&tools, "zizmor", &["--offline", "--no-progress", "--pedantic"], &workflow);
    clean(&tools, "shellcheck", &["--shell=bash", "--enable=all", "--exclude=SC2250,SC2310,SC2311,SC2312"], &[root.join("packaging/release.sh")]);
    let text = std::fs::read_to_string(&workflow[0]).unwrap();
    let pinned =
        |uses: &str| uses.split_once('@').is_some_and(|(_, rest)| rest.len() > 40 && rest[..40].bytes().all(|byte| byte.is_ascii_hexdigit()));
    let used: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("- uses: ")).collect();
    assert!(used.len() >= 5 && used.iter().all(|uses| pinned(uses)), "{used:?}");
}

#[test]
fn linters_find_nothing_in_the_workflows_that_we_show() {
    let Some(tools) = tools("lint::linters_find_nothing_in_the_workflows_that_we_show") else { return };
    let place = tempfile::tempdir().unwrap();
    let workflows = workflows_of("docs/github.md", place.path());
    assert!(workflows.len() >= 3, "the page shows workflows: {workflows:?}");
    clean(&tools, "check-jsonschema", &["--builtin-schema", "vendor.github-workflows"], &workflows);
    clean(&tools, "actionlint", &["-no-color"], &workflows);
    clean(&tools, "zizmor", &["--offline", "--no-progress"], &workflows);
}

/// They would find it if there were something: each is shown what it is there for.
#[test]
fn linters_find_what_is_wrong() {
    let Some(tools) = tools("lint::linters_find_what_is_wrong") else { return };
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join(".github/workflows");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        vec![folder.join(name)]
    };
    let text = std::fs::read_to_string(action().join("action.yml")).unwrap();
    std::fs::create_dir(place.path().join("action")).unwrap();
    let unsafe_action = place.path().join("action/action.yml");
    std::fs::write(&unsafe_action, text.replacen("run: '\"$GITHUB_ACTION_PATH/run.sh\"'", "run: echo ${{ inputs.file }}", 1)).unwrap();
    assert!(run(&tools, "zizmor", &["--offline", "--no-progress"], std::slice::from_ref(&unsafe_action)).1.contains("template-injection"));
    std::fs::write(&unsafe_action, text.replacen("using: composite", "using: magic", 1)).unwrap();
    assert_ne!(run(&tools, "check-jsonschema", &["--builtin-schema", "vendor.github-actions"], &[unsafe_action]).0, Some(0));
    let wrong = WORKFLOW.replace("runs-on: ubuntu-latest", "runs-on: ubuntu-latest\n    tiemout-minutes: 3");
    assert!(run(&tools, "actionlint", &["-no-color"], &write("wrong.yml", &wrong)).1.contains("tiemout-minutes"));
}
