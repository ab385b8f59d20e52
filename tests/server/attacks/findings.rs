//! *A secret in a file of findings*: what a scanner has found, or a step has written there on purpose, goes to code scanning with all its words.

use serde_json::{Value, json};
use tidegate::model::outcome::RunOutcome;

use crate::payloads::push;
use crate::town::{SHOP, Town};

/// The step puts the secrets together, so that they stand in no commit; and does so in the file of findings and in an output that is one.
const PIPELINE: &str = r#"
name: shop
on: { push: {} }
steps:
  scan:
    run: |
      sed 's/ghp@/ghp_/g' found.json > "$TIDEGATE_FINDINGS"
      sed 's/ghp@/ghp_/g; s/"squeaks"/"creaks"/g' found.json > found.sarif
    outputs: { found: found.sarif }
"#;
/// What is secret about it.
const REST: &str = "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW1xY2";
const PASSWORD: &str = "tr0ub4dor-and-3";

/// In every part of the file that is text, spelled in every way that its readers see through.
fn found() -> String {
    let token = format!("ghp@{REST}");
    let file = json!({
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": format!("scanner of {token}"), "rules": [{ "id": "squeaks", "help": { "markdown": format!("**{token}**") } }] } },
            "invocations": [{ "executionSuccessful": true, "commandLine": format!("scan --token={token}") }],
            "results": [{
                "ruleId": "squeaks",
                "level": "warning",
                "message": { "text": format!("found {token} there, ESCAPED here"), "arguments": [token] },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": "src/PERCENT.rs" },
                    "region": { "startLine": 7, "snippet": { "text": format!("let token = \"{token}\";\n") } },
                } }],
                "partialFingerprints": { "primaryLocationLineHash": "39fa2ee980eb94b0:1", "own": token },
                "properties": { (format!("{token}")): 1, "password": PASSWORD, "tags": [[{ "deep": token }]] },
            }],
        }],
    });
    // JSON and addresses have other ways to write the same letters.
    let escaped: String = format!("ghp{}{REST}", '_').chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let percent: String = format!("ghp{}{REST}", '_').bytes().map(|byte| format!("%{byte:02X}")).collect();
    file.to_string().replace("ESCAPED", &escaped).replace("PERCENT", &percent)
}

#[test]
fn no_secret_in_a_file_of_findings_reaches_code_scanning() {
    let files = [(".tidegate/shop.yaml", PIPELINE), ("found.json", &found()), ("door.txt", "oak\n")];
    let mut town = Town::quiet(&files);
    let settings = std::fs::read_to_string(town.world.path("settings.yaml")).expect("settings");
    std::fs::write(town.world.path("settings.yaml"), settings.replace("github:\n", "github:\n  code_scanning: true\n")).expect("written");
    town.start();
    let commit = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let run = town.asked_one(&town.deliver("push", "push", &push(&town.url(), "refs/heads/main", &commit)));
    assert_eq!(town.end_of(&run), RunOutcome::Succeeded);

    let sent = || town.github.sarifs(SHOP);
    let sent = town.until("both files", || Some(sent()).filter(|sent| sent.len() == 2));
    let mut rules: Vec<&str> = sent.iter().filter_map(|sent| sent.sarif["runs"][0]["results"][0]["ruleId"].as_str()).collect();
    rules.sort_unstable();
    assert_eq!(rules, ["creaks", "squeaks"]);
    for sent in &sent {
        // As its readers see it: no spelling is left in it.
        let text = sent.sarif.to_string();
        let plain = percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned();
        assert!(!plain.contains(REST) && !plain.contains(PASSWORD), "{text}");
        is_whole(&sent.sarif);
    }
    // Nor in anything else that GitHub is told of the run.
    town.check(&format!("{run}/scan"), "success");
    assert!(town.github.requests().iter().all(|asked| !asked.body.to_string().contains(REST)));
}

/// Nothing is missing but what was hidden.
#[track_caller]
fn is_whole(sarif: &Value) {
    let run = &sarif["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "scanner of ***");
    assert_eq!(run["tool"]["driver"]["rules"][0]["help"]["markdown"], "*******");
    assert_eq!(run["invocations"][0]["commandLine"], "scan --token=***");
    let result = &run["results"][0];
    assert_eq!(result["message"], json!({ "text": "found *** there, *** here", "arguments": ["***"] }));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "src/***.rs");
    assert_eq!(place["region"], json!({ "startLine": 7, "snippet": { "text": "let token = \"***\";\n" } }));
    assert_eq!(result["partialFingerprints"], json!({ "primaryLocationLineHash": "39fa2ee980eb94b0:1", "own": "***" }));
    assert_eq!(result["properties"], json!({ "***": 1, "password": "***", "tags": [[{ "deep": "***" }]] }));
}
