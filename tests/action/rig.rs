//! A small repository with a workflow that uses the action, and act to run it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::World;

pub const PIPELINE: &str = r#"name: ci
on:
  push: { branches: [main] }
  pull_request: { branches: [main] }
  manual: { params: { who: { type: string, default: world } } }
steps:
  greet:
    run: |
      echo hello ${{ params.who }}, it is a ${{ event.kind }} of ${{ event.branch }}
"#;

/// The action with this program, and what came of it printed by the next step.
pub const WORKFLOW: &str = r#"name: story
on: [push, pull_request, workflow_dispatch]
permissions: {}
jobs:
  ci:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - id: tidegate
        uses: ./action
        continue-on-error: true
        with:
          binary: BINARY
          INPUTS: x
      - shell: bash
        env:
          OUTCOME: ${{ steps.tidegate.outputs.outcome }}
          CODE: ${{ steps.tidegate.outputs.exit-code }}
          RUN: ${{ steps.tidegate.outputs.run }}
        run: |
          printf 'came of it: outcome=%s code=%s run=%s\n' "$OUTCOME" "$CODE" "${RUN:+yes}"
          which tidegate
"#;

/// Where act, zizmor and the like were installed by ./test.
pub fn tools(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("TIDEGATE_TEST_WORKFLOWS").map(PathBuf::from);
    if found.is_none() {
        skip(test, "act, zizmor, actionlint and the like are not here: ./test installs them from PyPI");
    }
    found
}

pub fn skip(test: &str, reason: &str) {
    use std::io::Write as _;
    let path = std::env::var_os("TIDEGATE_TEST_SKIPS").map_or_else(|| Path::new("/dev/stderr").to_owned(), PathBuf::from);
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    writeln!(file, "{test}\t{reason}").unwrap();
}

pub fn action() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("actions/tidegate")
}

pub struct Rig {
    pub world: World,
    tools: PathBuf,
    pub commit: String,
}

/// What the runner saw: its log, a record a line.
pub struct Acted {
    pub records: Vec<Value>,
}

impl Rig {
    /// `None`, and said so, where there is no act.
    pub fn new(test: &str, pipeline: &str, inputs: &[(&str, &str)]) -> Option<Self> {
        let tools = tools(test)?;
        let inputs: String = inputs.iter().map(|(name, value)| format!("          {name}: {}\n", json!(value))).collect();
        let workflow = WORKFLOW.replace("BINARY", env!("CARGO_BIN_EXE_tidegate")).replace("          INPUTS: x\n", &inputs);
        let world = World::with(&[(".tidegate/ci.yaml", pipeline), (".github/workflows/story.yml", &workflow)]);
        world.copy_from_package("actions/tidegate", "action");
        let commit = world.commit("Use Tidegate");
        world.git(&["remote", "add", "origin", "https://github.com/acme/doors.git"]);
        Some(Self { world, tools, commit })
    }

    pub fn act(&self, event: &str, payload: &Value) -> Acted {
        let file = self.world.path("event.json");
        std::fs::write(&file, payload.to_string()).unwrap();
        let mut command = Command::new(self.tools.join("bin/act"));
        command.arg(event).args(["--workflows", ".github/workflows/story.yml", "--platform", "ubuntu-latest=-self-hosted"]);
        command.args(["--no-cache-server", "--json", "--pull=false", "--eventpath"]).arg(&file).current_dir(self.world.repository());
        command.env_clear().env("HOME", self.world.path("home")).env("XDG_CACHE_HOME", self.world.path("home/.cache")).env("PATH", "/usr/bin:/bin");
        command.env("TIDEGATE_STATE_DIR", self.world.state());
        let output = command.output().expect("act");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let records: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert!(records.iter().any(|record| record["jobResult"] == "success"), "act has not come to the end:\n{text}");
        Acted { records }
    }
}

impl Acted {
    /// What was printed by steps, as far as the runner showed it.
    pub fn printed(&self) -> String {
        self.records.iter().filter(|record| record["raw_output"] == true).filter_map(|record| record["msg"].as_str()).collect()
    }

    /// Commands that the runner has obeyed, but for outputs and the path: their names, and what they said.
    pub fn obeyed(&self) -> Vec<(String, String)> {
        let commands = self.records.iter().filter(|record| record["command"].is_string());
        let plain = |record: &&Value| !["set-output", "add-path"].contains(&record["command"].as_str().unwrap_or_default());
        let words = |record: &Value| (record["command"].as_str().unwrap().to_owned(), record["msg"].as_str().unwrap_or_default().to_owned());
        commands.filter(plain).map(words).collect()
    }

    /// Outputs of the action's own step.
    pub fn output(&self, name: &str) -> Option<String> {
        let ours = |record: &&Value| record["command"] == "set-output" && record["name"] == name && record["stepID"] == json!(["tidegate"]);
        self.records.iter().find(ours).and_then(|record| record["arg"].as_str()).map(str::to_owned)
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        let printed = self.printed();
        assert!(printed.contains(text), "expected {text:?} in:\n{printed}");
        self
    }
}

pub fn repository() -> Value {
    json!({ "id": 1, "full_name": "acme/doors", "clone_url": "https://github.com/acme/doors.git", "default_branch": "main", "private": false })
}

pub fn sender() -> Value {
    json!({ "login": "ada", "id": 7, "type": "User" })
}

pub fn push(commit: &str, branch: &str) -> Value {
    json!({
        "ref": format!("refs/heads/{branch}"), "before": "0".repeat(40), "after": commit, "created": true,
        "head_commit": { "id": commit, "message": "Use Tidegate", "author": { "name": "Ada" } },
        "repository": repository(), "sender": sender(),
    })
}

pub fn pull_request(commit: &str, branch: &str, title: &str) -> Value {
    let side = |branch: &str| json!({ "ref": branch, "sha": commit, "repo": repository() });
    json!({
        "action": "opened", "number": 3, "repository": repository(), "sender": sender(),
        "pull_request": {
            "number": 3, "title": title, "user": sender(), "author_association": "FIRST_TIME_CONTRIBUTOR", "draft": false, "labels": [],
            "head": side(branch), "base": side("main"),
        },
    })
}

pub fn dispatch(inputs: Value) -> Value {
    json!({ "inputs": inputs, "ref": "refs/heads/main", "repository": repository(), "sender": sender(), "workflow": ".github/workflows/story.yml" })
}
