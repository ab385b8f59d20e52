//! Holds the code to the floors and arrows of docs/architecture.md.
//!
//! Reads the sources as text: fast, no compiler needed, and it sees code behind every `cfg`. A violation is shown with its place, the rule and what to do.

#[path = "architecture/lexer.rs"]
mod lexer;
#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/samples.rs"]
mod samples;

use std::path::{Path, PathBuf};

use rules::{Violation, machine_paths, violations};

/// Files below `folder` as (path relative to the repository, text). Skips what is no text.
fn files(folder: &str, wanted: impl Fn(&Path) -> bool) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut left: Vec<PathBuf> = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() && !path.is_symlink() {
            left.extend(std::fs::read_dir(&path).expect("the repository's folders can be read").map(|entry| entry.expect("a folder's entry").path()));
        } else if wanted(&path)
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            found.push((name, text));
        }
    }
    found.sort();
    found
}

fn listed(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("\n{violation}\n")).collect()
}

#[test]
fn the_code_keeps_to_the_floors() {
    let sources = files("src", |path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(sources.iter().any(|(file, _)| file == "src/lib.rs"), "the sources were not found: {}", env!("CARGO_MANIFEST_DIR"));
    let found: Vec<Violation> = sources.iter().flat_map(|(file, text)| violations(file, text)).collect();
    assert!(found.is_empty(), "{} places break the architecture:\n{}", found.len(), listed(&found));
}

#[test]
fn nothing_names_a_folder_of_one_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).expect("the repository can be read") {
        let name = entry.expect("a folder's entry").file_name().to_string_lossy().into_owned();
        if matches!(name.as_str(), ".git" | "target") {
            continue;
        }
        for (file, text) in files(&name, |_| true) {
            found.extend(machine_paths(&file, &text));
        }
    }
    assert!(found.is_empty(), "{} places name a folder of one machine:\n{}", found.len(), listed(&found));
}
