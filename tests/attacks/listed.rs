//! docs/security.md lists the attacks: what it names is a test here (on services: in tests/images and tests/conformance; on webhooks: in tests/hooks;
//! on the server: in tests/server; on the API: in tests/api), and there are as many as it takes.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../docs/security.md");
const SOURCES: [(&str, &str); 26] = [
    ("attacks", include_str!("../api/attacks.rs")),
    ("beside", include_str!("beside.rs")),
    ("bombs", include_str!("bombs.rs")),
    ("calls", include_str!("calls.rs")),
    ("described", include_str!("../api/described.rs")),
    ("egress", concat!(include_str!("egress/mod.rs"), include_str!("egress/lives.rs"))),
    ("endless", include_str!("../images/endless.rs")),
    ("executor", include_str!("../conformance/executor.rs")),
    (
        "hooks",
        concat!(
            include_str!("../hooks/examples.rs"),
            include_str!("../hooks/full.rs"),
            include_str!("../hooks/kill.rs"),
            include_str!("../hooks/mutations.rs"),
            include_str!("../hooks/overload.rs"),
            include_str!("../hooks/refusals.rs"),
            include_str!("../hooks/twice.rs")
        ),
    ),
    ("host", include_str!("host.rs")),
    ("kernel", include_str!("kernel.rs")),
    ("leftovers", include_str!("leftovers.rs")),
    ("live", include_str!("../api/live.rs")),
    ("mounts", include_str!("mounts.rs")),
    ("observed", include_str!("../api/observed.rs")),
    ("others", include_str!("others.rs")),
    ("outputs", include_str!("outputs.rs")),
    ("people", include_str!("../api/people.rs")),
    ("proc", include_str!("proc.rs")),
    ("remote", include_str!("../api/remote.rs")),
    ("runs", include_str!("../action/runs.rs")),
    ("scopes", include_str!("../api/scopes.rs")),
    (
        "server",
        concat!(
            include_str!("../server/attacks/artifacts.rs"),
            include_str!("../server/attacks/comments.rs"),
            include_str!("../server/attacks/findings.rs"),
            include_str!("../server/attacks/moved.rs"),
            include_str!("../server/attacks/poisoned.rs"),
            include_str!("../server/attacks/privileged.rs"),
            include_str!("../server/attacks/race.rs"),
            include_str!("../server/environments.rs"),
            include_str!("../server/forks.rs")
        ),
    ),
    (
        "services",
        concat!(
            include_str!("../images/services.rs"),
            include_str!("../images/services/ends.rs"),
            include_str!("../conformance/services/apart.rs"),
            include_str!("../conformance/services/ends.rs")
        ),
    ),
    ("survivors", include_str!("survivors.rs")),
    ("walls", include_str!("walls.rs")),
];

#[test]
fn every_attack_that_is_listed_is_a_test_and_there_are_many() {
    let named: BTreeSet<(&str, &str)> = PAGE
        .lines()
        .filter(|line| line.starts_with("| "))
        .filter_map(|line| line.split('|').nth(2)?.trim().strip_prefix('`')?.strip_suffix('`'))
        // Some need two tests to be told.
        .flat_map(|tests| tests.split("`, `").filter_map(|test| test.split_once("::")))
        .collect();
    assert!(named.len() >= 100, "{}", named.len());
    for (module, name) in named {
        let (_, source) = SOURCES.iter().find(|(known, _)| *known == module).unwrap_or_else(|| panic!("no module {module}"));
        let is_there = source.contains(&format!("fn {name}(")) || source.contains(&format!("    {name}: ["));
        assert!(is_there, "{module}::{name} is listed, and is no test");
    }
}
