//! Tokens → the paths that a file names, made absolute: `use crate::{model::id, adapters::{gateway as g, *}}` and `super::dag::sort(x)` alike.

use super::lexer::{Kind, Token};

/// One path as it stands in the text, from the crate's root (`core::plan::graph`) or from another crate's (`std::fs`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub line: usize,
    pub ours: bool,
    pub path: Vec<String>,
    /// Inside of `#[cfg(test)] mod … { }`.
    pub test: bool,
}

/// Tokens of a file with what they stand in.
#[derive(Debug, Clone)]
pub struct Placed<'t> {
    pub token: &'t Token,
    /// The module around it.
    pub module: Vec<String>,
    pub test: bool,
}

/// `src/core/plan/mod.rs` → `[core, plan]`.
pub fn module_of(file: &str) -> Vec<String> {
    let inner = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Follows inline modules, so that `super::` means the right thing and tests are known as such.
pub fn place<'t>(file: &str, tokens: &'t [Token]) -> Vec<Placed<'t>> {
    let mut module = module_of(file);
    // `mod tests;` in a file of its own or a folder.
    let whole = module.iter().any(|part| part == "tests");
    let mut depth = 0usize;
    let mut inline: Vec<(usize, bool)> = Vec::new();
    let mut test_next = false;
    let mut open_next: Option<String> = None;
    let mut placed = Vec::with_capacity(tokens.len());
    for (at, token) in tokens.iter().enumerate() {
        let inside_test = inline.iter().any(|(_, test)| *test);
        placed.push(Placed { token, module: module.clone(), test: whole || inside_test || test_next });
        match &token.kind {
            Kind::Word(word) if word == "cfg" && is_test_attribute(&tokens[at..]) => test_next = true,
            Kind::Word(word) if word == "mod" => open_next = tokens.get(at + 1).and_then(Token::word).map(str::to_owned),
            Kind::Sign('{') => {
                depth += 1;
                if let Some(name) = open_next.take() {
                    module.push(name);
                    inline.push((depth, test_next));
                } else if test_next {
                    // A single item for tests: a function, an impl.
                    module.push(String::new());
                    inline.push((depth, true));
                }
                test_next = false;
            }
            Kind::Sign('}') => {
                if inline.last().is_some_and(|(at_depth, _)| *at_depth == depth) {
                    inline.pop();
                    module.pop();
                }
                depth = depth.saturating_sub(1);
            }
            Kind::Sign(';') => {
                open_next = None;
                test_next = false;
            }
            _ => {}
        }
    }
    placed
}

/// `cfg(test)` and `cfg(all(test, …))`.
fn is_test_attribute(rest: &[Token]) -> bool {
    rest.iter().take_while(|token| !token.is(']')).any(|token| token.word() == Some("test"))
        && !rest.iter().take_while(|token| !token.is(']')).any(|token| token.word() == Some("not"))
}

/// Every path that starts at `crate`, `super`, `self`, `tidegate` or, where it is not in the middle of one, with any other word.
pub fn named(placed: &[Placed<'_>]) -> Vec<Named> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < placed.len() {
        let starts = placed[at].token.word().is_some()
            && placed.get(at + 1).is_some_and(|next| next.token.kind == Kind::Path)
            && !(at > 0 && placed[at - 1].token.kind == Kind::Path);
        if !starts {
            at += 1;
            continue;
        }
        let mut leaves = Vec::new();
        let module = &placed[at].module;
        at = tree(placed, at, &[], &mut leaves);
        for leaf in &mut leaves {
            absolute(leaf, module);
        }
        all.extend(leaves);
    }
    all
}

/// Reads one use-tree from `at`, answers where it ends.
fn tree(placed: &[Placed<'_>], mut at: usize, prefix: &[String], leaves: &mut Vec<Named>) -> usize {
    let mut path = prefix.to_vec();
    let start = at;
    while let Some(here) = placed.get(at) {
        match &here.token.kind {
            Kind::Word(word) => path.push(word.clone()),
            Kind::Sign('*') => path.push("*".to_owned()),
            Kind::Sign('{') => {
                at += 1;
                while placed.get(at).is_some_and(|next| !next.token.is('}')) {
                    if placed[at].token.word().is_some() || placed[at].token.is('*') || placed[at].token.is('{') {
                        at = tree(placed, at, &path, leaves).max(at + 1);
                        // What follows a leaf up to the comma (`as name`) is no path.
                        while placed.get(at).is_some_and(|next| !next.token.is(',') && !next.token.is('}')) {
                            at += 1;
                        }
                    } else {
                        at += 1;
                    }
                }
                return at + 1;
            }
            _ => break,
        }
        at += 1;
        if placed.get(at).is_some_and(|next| next.token.kind == Kind::Path) {
            at += 1;
        } else {
            break;
        }
    }
    if let Some(first) = placed.get(start) {
        leaves.push(Named { line: first.token.line, ours: false, path, test: first.test });
    }
    at
}

fn absolute(named: &mut Named, module: &[String]) {
    let module: Vec<String> = module.iter().filter(|part| !part.is_empty()).cloned().collect();
    let path = std::mem::take(&mut named.path);
    let (ours, mut path) = match path.first().map(String::as_str) {
        Some("crate" | "tidegate") => (true, path[1..].to_vec()),
        Some("self") => (true, [&module, &path[1..]].concat()),
        Some("super") => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            (true, [&module[..module.len().saturating_sub(ups)], &path[ups..]].concat())
        }
        _ => (false, path),
    };
    path.retain(|part| part != "self");
    named.ours = ours;
    named.path = path;
}
