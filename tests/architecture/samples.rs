//! The test of the test: code that breaks each rule is caught, code that keeps to them is not.

use super::rules::{MAX, machine_paths, violations};

/// What is found in `text` if it stood in `file`, as `line: found`.
fn caught(file: &str, text: &str) -> Vec<String> {
    violations(file, text).into_iter().map(|violation| format!("{}: {}", violation.line, violation.found)).collect()
}

#[test]
fn arrows_upwards_are_caught_however_they_are_written() {
    assert_eq!(caught("src/core/plan/dag.rs", "use crate::adapters::journal::Journal;"), ["1: core::plan → adapters::journal::Journal"]);
    assert_eq!(caught("src/model/id.rs", "use super::super::core::plan::Plan;"), ["1: model → core::plan::Plan"]);
    assert_eq!(caught("src/core/plan/mod.rs", "fn f() {\n    crate::cli::run();\n}"), ["2: core::plan → cli::run"]);
    assert_eq!(
        caught("src/report/plain.rs", "use crate::{\n    model::id::RunId,\n    adapters::{journal as j, state::*},\n};"),
        ["3: report → adapters::journal", "3: report → adapters::state::*"]
    );
    assert_eq!(caught("src/core/run/x.rs", "mod inner {\n    use super::super::super::super::runtime::drive;\n}"), ["2: core::run → runtime::drive"]);
    assert_eq!(caught("src/core/run/x.rs", "#[cfg(test)]\nmod tests {\n    use crate::adapters::journal;\n}"), ["3: core::run → adapters::journal"]);
}

#[test]
fn siblings_keep_to_the_arrows_that_are_drawn() {
    assert_eq!(caught("src/core/template.rs", "use super::spec::Pipeline;"), ["1: core::template → core::spec::Pipeline"]);
    assert_eq!(caught("src/core/judge/mod.rs", "use crate::core::rollout::Rollout;"), ["1: core::judge → core::rollout::Rollout"]);
    assert_eq!(caught("src/core/findings/gate.rs", "use crate::core::plan::Plan;"), ["1: core::findings → core::plan::Plan"]);
    assert_eq!(
        caught("src/adapters/journal/sqlite.rs", "use crate::adapters::gateway::Gateway;"),
        ["1: adapters::journal → adapters::gateway::Gateway"]
    );
    assert_eq!(caught("src/adapters/provider/mod.rs", "use super::gateway::Gateway;"), ["1: adapters::provider → adapters::gateway::Gateway"]);
    assert_eq!(caught("src/adapters/sandbox/run.rs", "use crate::adapters;"), ["1: adapters::sandbox → adapters"]);
    assert_eq!(caught("src/adapters/provider/aws/mod.rs", "use super::local::Local;"), ["1: adapters::provider → adapters::provider::local::Local"]);
    assert_eq!(caught("src/adapters/sandbox/run.rs", "use crate::adapters::*;"), ["1: adapters::sandbox → adapters::*"]);
    assert_eq!(caught("src/adapters/scan/mod.rs", "use crate::core::findings::gate;"), ["1: adapters::scan → core::findings::gate"]);
    assert_eq!(caught("src/server/mod.rs", "use crate::cli::args::Global;"), ["1: server → cli::args::Global"]);
}

#[test]
fn the_arrows_that_are_drawn_may_be_used() {
    for (file, text) in [
        ("src/core/run/mod.rs", "use crate::core::plan::Plan; use crate::core::turn::Turn; use crate::model::id::RunId;"),
        ("src/core/plan/mod.rs", "pub mod graph; pub use graph::Plan; use super::spec::Pipeline; use crate::core::template;"),
        ("src/core/rollout/state.rs", "use crate::core::judge::Judge; use crate::core::turn::Turn;"),
        (
            "src/adapters/executor/sandbox/run.rs",
            "use crate::adapters::sandbox::Spec; use crate::adapters::workspace::Layer; use crate::adapters::state::State;",
        ),
        ("src/adapters/provider/local/mod.rs", "use crate::adapters::gateway::Gateway; use super::Provider;"),
        ("src/adapters/provider/mod.rs", "use self::local::Local; use crate::adapters::provider::aws::Aws;"),
        ("src/runtime/drive.rs", "use crate::{adapters::journal::Journal, core::run::Run, report::plain};"),
        ("src/cli/serve.rs", "use crate::server::serve; use super::args::Global; println!(\"{}\", 1);"),
        ("src/main.rs", "fn main() { tidegate::cli::run() }"),
    ] {
        assert_eq!(caught(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}

#[test]
fn the_pure_floors_stay_pure() {
    assert_eq!(
        caught("src/core/run/state.rs", "use std::{fs, collections::BTreeMap, time::{Duration, SystemTime}};"),
        ["1: SystemTime", "1: std::fs", "1: std::time::SystemTime"]
    );
    assert_eq!(caught("src/model/time.rs", "fn now() -> u64 { Instant::now() }"), ["1: Instant::now"]);
    assert_eq!(caught("src/report/plain.rs", "let home = std::env::var(\"HOME\");"), ["1: std::env::var"]);
    assert_eq!(caught("src/core/plan/x.rs", "async fn f() {}"), ["1: async"]);
    assert_eq!(
        caught("src/core/plan/x.rs", "/// Reads std::fs\nfn f() { g(\"std::fs and async\", 'a', b'\"'); r#\"tokio::spawn\"#; }"),
        Vec::<String>::new()
    );
    assert_eq!(caught("src/core/plan/x.rs", "#[cfg(test)]\nmod tests { fn f() { std::fs::read(\"x\"); println!(\"x\"); } }"), Vec::<String>::new());
    assert_eq!(caught("src/core/plan/x.rs", "#[cfg(not(test))]\nmod m { fn f() { std::fs::read(\"x\"); } }"), ["2: std::fs::read"]);
    assert_eq!(caught("src/core/plan/tests/random.rs", "fn f() { fastrand::u8(..); std::fs::read(\"x\"); }"), Vec::<String>::new());
    assert_eq!(caught("src/adapters/scan/walk.rs", "use std::fs;"), Vec::<String>::new());
}

#[test]
fn printing_unsafe_code_and_long_files_are_caught() {
    assert_eq!(caught("src/runtime/drive.rs", "fn f() {\n    println!(\"x\");\n}"), ["2: println!"]);
    assert_eq!(caught("src/adapters/gateway/host.rs", "fn f() { unsafe { g() } }"), ["1: unsafe"]);
    assert_eq!(caught("src/adapters/sandbox/clone.rs", "fn f() { unsafe { g() } }"), Vec::<String>::new());
    assert_eq!(caught("src/cli/run.rs", &"\n".repeat(MAX)), Vec::<String>::new());
    assert_eq!(caught("src/cli/run.rs", &"\n".repeat(MAX + 1)), ["601: 601 lines"]);
}

#[test]
fn a_violation_says_where_what_and_what_to_do() {
    let found = violations("src/core/plan/dag.rs", "\nuse crate::adapters::journal::Journal;");
    insta::assert_snapshot!(found[0], @r"
    src/core/plan/dag.rs:2: core::plan → adapters::journal::Journal
        rule: a module names only lower floors: model ← core ← report ← adapters ← runtime ← cli, server
        do:   turn the arrow round: pass the value down as plain `model` data, or return it and let the upper floor act
    ");
    assert_eq!(machine_paths("docs/x.md", &format!("a\nsee /{}/main/x", "work")).len(), 1);
    assert!(machine_paths("docs/x.md", "the step sees /workspace").is_empty());
}
