//! GitHub's own examples, as npm has them. `./test` installs them and says where.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The folder with `node_modules`; a test that can not run without says so.
pub fn folder(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("TIDEGATE_TEST_OCTOKIT").map(PathBuf::from);
    if found.is_none() {
        let reason = "TIDEGATE_TEST_OCTOKIT is not set: npm's @octokit/webhooks-examples is not there (./test installs it)";
        let Some(list) = std::env::var_os("TIDEGATE_TEST_SKIPS") else { panic!("{test}: {reason}") };
        let line = format!("{test}\t{reason}\n");
        let file = std::fs::OpenOptions::new().append(true).create(true).open(list);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of what was skipped");
    }
    found
}

/// Every example with the name of its event.
pub fn examples(folder: &Path) -> Vec<(String, Value)> {
    let path = folder.join("node_modules/@octokit/webhooks-examples/api.github.com/index.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let events: Vec<Value> = serde_json::from_str(&text).expect("a list of events");
    let mut all = Vec::new();
    for event in events {
        let name = event["name"].as_str().expect("a name").to_owned();
        for example in event["examples"].as_array().expect("examples") {
            all.push((name.clone(), example.clone()));
        }
    }
    all
}

/// One that was sent, and what was answered.
#[derive(serde::Deserialize)]
pub struct Sent {
    pub id: String,
    pub event: String,
    pub action: Option<String>,
    pub status: u16,
    pub said: Value,
}

/// Sends all of them, signed by GitHub's own package.
pub fn send_all(folder: &Path, url: &str, secret: &str, kind: &str) -> Vec<Sent> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hooks/send.mjs");
    let output = Command::new("node").arg(script).arg(folder).args([url, secret, kind]).output().expect("node");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}
