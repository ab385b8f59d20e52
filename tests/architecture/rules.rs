//! What may name what, and what may stand where. The rules in words are in docs/architecture.md.

use std::fmt;

use super::lexer::{Kind, tokens};
use super::paths::{Named, Placed, module_of, named, place};

/// Something that the house does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub file: String,
    pub line: usize,
    /// What was found: an arrow (`core::plan → adapters::state`), a name, a number.
    pub found: String,
    pub rule: &'static str,
    pub remedy: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, found, rule, remedy } = self;
        write!(f, "{file}:{line}: {found}\n    rule: {rule}\n    do:   {remedy}")
    }
}

pub const MAX: usize = 600;

/// From the ground up. `main.rs` and `lib.rs` stand above all.
const FLOORS: [&[&str]; 6] = [&["model"], &["core"], &["report"], &["adapters"], &["runtime"], &["cli", "server"]];

/// Siblings on one floor that may name each other in this direction. A chain may be followed to its end, so `run → template` is one as well.
/// Names match from the left: `provider::local` is its folder only.
const ARROWS: [(&str, &str); 26] = [
    ("core::run", "core::plan"),
    ("core::run", "core::spec"),
    ("core::run", "core::template"),
    ("core::plan", "core::spec"),
    ("core::plan", "core::template"),
    ("core::spec", "core::template"),
    ("core::check", "core::spec"),
    ("core::check", "core::template"),
    ("core::rollout", "core::judge"),
    // What every machine answers with.
    ("core", "core::turn"),
    ("adapters::executor", "adapters::egress"),
    ("adapters::executor", "adapters::sandbox"),
    ("adapters::executor", "adapters::workspace"),
    ("adapters::executor", "adapters::image"),
    ("adapters::image", "adapters::workspace"),
    ("adapters::gateway", "adapters::sandbox"),
    ("adapters::provider::local", "adapters::gateway"),
    // Knows how a SQLite file is opened, and nothing of what is in it.
    ("adapters", "adapters::database"),
    // Knows where the state folder is, and nothing else.
    ("adapters", "adapters::state"),
    // Knows where a secret is read from, and nothing else.
    ("adapters", "adapters::secrets"),
    // Whose word lets a node into its environment.
    ("core::run", "core::trust"),
    ("core::trust", "core::plan"),
    ("core::trust", "core::spec"),
    ("core::trust", "core::template"),
    ("cli", "server"),
    ("cli", "cli"),
];

/// What the pure floors never name: the outside, the clock, chance, and everything that waits.
const IMPURE: [&str; 20] = [
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "tokio",
    "rusqlite",
    "git2",
    "hyper",
    "hyper_util",
    "axum",
    "fastrand",
    "tempfile",
    "libc",
    "rustix",
    "indicatif",
    "clap",
    "jiff::Timestamp::now",
];

/// Names of folders below `adapters::provider`, `adapters::executor` and the like.
const IMPLEMENTATIONS: [&str; 8] = ["local", "aws", "gcp", "azure", "sandbox", "container", "sqlite", "postgres"];

/// Where unsafe code may stand: the sandbox, and the one call that tells libgit2 of our transport.
const UNSAFE: [&[&str]; 2] = [&["adapters", "sandbox"], &["adapters", "source", "mirror", "http"]];

const PURE: [&str; 3] = ["model", "core", "report"];

/// Everything wrong with one source file.
pub fn violations(file: &str, text: &str) -> Vec<Violation> {
    let tokens = tokens(text);
    let placed = place(file, &tokens);
    let paths = named(&placed);
    let module = module_of(file);
    let mut found = Vec::new();
    let mut say = |line: usize, what: String, rule, remedy| found.push(Violation { file: file.to_owned(), line, found: what, rule, remedy });

    let lines = text.lines().count();
    if lines > MAX {
        say(
            lines,
            format!("{lines} lines"),
            "no source file is longer than 600 lines",
            "split it by idea: one check, one setting, one subcommand a file",
        );
    }
    for path in paths.iter().filter(|path| path.ours) {
        if let Some((arrow, rule, remedy)) = bad_arrow(&module, path) {
            say(path.line, arrow, rule, remedy);
        }
    }
    if PURE.contains(&module.first().map_or("", String::as_str)) {
        for (line, what) in impure(&placed, &paths) {
            say(
                line,
                what,
                "model, core and report know nothing of files, processes, networks, clocks, chance or async",
                "take it as an argument, or return an effect that `runtime` performs through an adapter",
            );
        }
    }
    for (line, what) in prints(&module, &placed) {
        say(line, what, "only the command line prints", "return the text and let src/cli print it, or write a line to the log with `tracing`");
    }
    for here in placed.iter().filter(|here| here.token.word() == Some("unsafe")) {
        if !UNSAFE.iter().any(|allowed| module.iter().map(String::as_str).take(allowed.len()).eq(allowed.iter().copied())) {
            say(
                here.token.line,
                "unsafe".to_owned(),
                "unsafe code stands in src/adapters/sandbox, and where libgit2 is given a transport",
                "use rustix's safe call, or put the mechanism into the sandbox behind a safe function",
            );
        }
    }
    found
}

fn floor(module: &[String]) -> Option<usize> {
    let first = module.first()?;
    FLOORS.iter().position(|units| units.contains(&first.as_str()))
}

/// A module of a floor, where the floor has several: `core::plan`, `adapters::provider`.
fn unit(module: &[String]) -> String {
    let depth = if matches!(module.first().map(String::as_str), Some("core" | "adapters")) { 2 } else { 1 };
    module.iter().take(depth).cloned().collect::<Vec<_>>().join("::")
}

/// Two implementations of one seam: neither knows of the other.
fn rivals(from: &[String], to: &[String]) -> bool {
    matches!((from, to), ([_, seam, one, ..], [_, same, other, ..])
        if seam == same && one != other && IMPLEMENTATIONS.contains(&one.as_str()) && IMPLEMENTATIONS.contains(&other.as_str()))
}

fn bad_arrow(from: &[String], to: &Named) -> Option<(String, &'static str, &'static str)> {
    let here = floor(from)?;
    let there = floor(&to.path)?;
    let arrow = || format!("{} → {}", unit(from), to.path.join("::"));
    if there > here {
        return Some((
            arrow(),
            "a module names only lower floors: model ← core ← report ← adapters ← runtime ← cli, server",
            "turn the arrow round: pass the value down as plain `model` data, or return it and let the upper floor act",
        ));
    }
    if from[0] == "adapters" && matches!(to.path[0].as_str(), "core" | "report") {
        return Some((
            arrow(),
            "adapters name model, and nothing of core or report",
            "move the shared word to `model`, or let `runtime` (which sees both) translate",
        ));
    }
    if rivals(from, &to.path) {
        return Some((
            arrow(),
            "implementations of one seam do not name each other",
            "move what both need beside the trait, into the seam's own folder",
        ));
    }
    if there < here || unit(from) == unit(&to.path) || allowed(from, &to.path) {
        return None;
    }
    let whole_floor = matches!(from[0].as_str(), "core" | "adapters") && matches!(to.path.get(1).map(String::as_str), None | Some("*"));
    if whole_floor {
        return Some((arrow(), "siblings are named one by one", "name the module whose thing it is instead of its whole floor"));
    }
    Some((
        arrow(),
        "siblings name each other only along the arrows drawn in docs/architecture.md",
        "move what both need to `model` (data) or below; or, if the arrow is right, draw it in docs/architecture.md and in ARROWS here",
    ))
}

fn allowed(from: &[String], to: &[String]) -> bool {
    // Plain data and plain renderings may name each other; so may the parts of the one loop.
    if from[0] == to[0] && matches!(from[0].as_str(), "model" | "report" | "runtime" | "server") {
        return true;
    }
    // `mod.rs` of a folder ties together what is in it.
    if to.starts_with(from) || from.starts_with(to) && to.len() > 1 {
        return true;
    }
    let (from, to) = (from.join("::"), to.join("::"));
    ARROWS.iter().any(|(a, b)| within(&from, a) && within(&to, b))
}

fn within(path: &str, unit: &str) -> bool {
    path == unit || path.strip_prefix(unit).is_some_and(|rest| rest.starts_with("::"))
}

fn impure(placed: &[Placed<'_>], paths: &[Named]) -> Vec<(usize, String)> {
    let named = paths.iter().filter(|path| !path.ours && !path.test).filter_map(|path| {
        let text = path.path.join("::");
        IMPURE.iter().any(|banned| within(&text, banned)).then_some((path.line, text))
    });
    let words = placed.iter().filter(|here| !here.test).filter_map(|here| {
        here.token.word().filter(|word| matches!(*word, "async" | "await" | "SystemTime")).map(|word| (here.token.line, word.to_owned()))
    });
    let now = placed.windows(3).filter(|three| {
        !three[0].test && three[0].token.word() == Some("Instant") && three[1].token.kind == Kind::Path && three[2].token.word() == Some("now")
    });
    let mut all: Vec<_> = named.chain(words).chain(now.map(|three| (three[0].token.line, "Instant::now".to_owned()))).collect();
    all.sort();
    all.dedup();
    all
}

fn prints(module: &[String], placed: &[Placed<'_>]) -> Vec<(usize, String)> {
    if module.is_empty() || module[0] == "cli" {
        return Vec::new();
    }
    placed
        .windows(2)
        .filter(|two| !two[0].test && two[1].token.is('!'))
        .filter_map(|two| Some((two[0].token.line, two[0].token.word()?)))
        .filter(|(_, word)| matches!(*word, "println" | "eprintln" | "print" | "eprint" | "dbg"))
        .map(|(line, word)| (line, format!("{word}!")))
        .collect()
}

/// Folders that only one machine has, and words that mean nothing outside of it. Put together here, so that this file holds none of them.
pub fn machine_paths(file: &str, text: &str) -> Vec<Violation> {
    let banned: Vec<String> = ["wt", "main", "shared", "target"]
        .iter()
        .map(|folder| format!("/{}/{folder}", "work"))
        .chain([format!("{}/design", "shared"), format!("/{}/.", "root")])
        .collect();
    text.lines()
        .enumerate()
        .filter_map(|(number, line)| banned.iter().find(|path| line.contains(path.as_str())).map(|path| (number + 1, path.clone())))
        .map(|(line, found)| Violation {
            file: file.to_owned(),
            line,
            found,
            rule: "nothing in the repository names a folder of one machine",
            remedy: "use a relative path, an environment variable or a temporary folder",
        })
        .collect()
}
