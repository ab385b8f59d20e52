//! The description that the server publishes: valid by other people's judgement, and true under fire.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tidegate::model::access::Scope;

use crate::bench::Bench;

/// The folder that `./test` has installed the python tools into, or a line among the skipped.
fn tools(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("TIDEGATE_TEST_OPENAPI").map(PathBuf::from).filter(|folder| folder.join("bin").is_dir());
    if found.is_none() {
        use std::io::Write as _;
        let skips = std::env::var_os("TIDEGATE_TEST_SKIPS").expect("run with ./test, which installs what this needs (or set TIDEGATE_TEST_SKIPS)");
        let mut file = std::fs::File::options().append(true).create(true).open(skips).expect("the list of the skipped");
        writeln!(file, "described::{test}\tschemathesis and openapi-spec-validator are not installed").expect("written");
    }
    found
}

fn python(tools: &std::path::Path) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", tools).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

#[test]
fn the_description_is_valid() {
    let Some(tools) = tools("the_description_is_valid") else { return };
    let bench = Bench::new();
    let description = bench.get("/openapi.json", "");
    assert_eq!(description.json(), serde_json::to_value(tidegate::server::api::description()).expect("JSON"));
    let file = tempfile::NamedTempFile::with_suffix(".json").expect("a file");
    std::fs::write(file.path(), &description.body).expect("written");
    let out = python(&tools).args(["-m", "openapi_spec_validator"]).arg(file.path()).output().expect("python");
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}

/// Requests of every kind that the description allows, and many that it does not. No answer may be a fault of ours, and each must be as it is described.
#[test]
fn no_request_is_answered_with_a_fault() {
    let Some(tools) = tools("no_request_is_answered_with_a_fault") else { return };
    let bench = Bench::new();
    let token = bench.token(&[Scope::Admin]);
    let out = python(&tools)
        .args(["-m", "schemathesis.cli", "run", &bench.url("/openapi.json")])
        .args(["--url", &bench.url("")])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "30", "--seed", "7", "--workers", "1", "--request-timeout", "20"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance",
        ])
        // A stream has no end; what it sends is tested in live.rs. Of a log-in GitHub is the other half: people.rs.
        .args(["--exclude-path-regex", "/events$|^/login"])
        .args(["--no-color"])
        .output()
        .expect("python");
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}");
    println!("{said}");
    let cases = said.lines().find_map(|line| line.trim().strip_suffix(" generated")?.rsplit(' ').next()?.parse::<u64>().ok());
    assert!(said.contains("generated"), "it says how many: {said}");
    assert!(cases.is_none_or(|cases| cases > 500), "{said}");
}
