//! Two commits whose names begin alike: whoever can choose their commits finds such a pair in a moment.

use std::collections::HashMap;

use git2::{ObjectType, Oid};

use crate::town::Town;

/// What a commit has to be named with at least.
pub const SHORT: usize = 7;

/// On what is checked out, with its files. Nothing leads to them yet.
pub fn alike(town: &Town) -> (String, String) {
    let asked = |name: &str| town.world.git(&["rev-parse", name]).trim().to_owned();
    let (tree, parent) = (asked("HEAD^{tree}"), asked("HEAD"));
    let who = "Eve <eve@example.com> 1700000000 +0000";
    let commit = |number: usize| format!("tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nSell door {number}\n");
    let mut known: HashMap<String, usize> = HashMap::new();
    // One in 2^28 is like another one: of some 20,000 two are.
    let found = (0..).find_map(|number| {
        let id = Oid::hash_object(ObjectType::Commit, commit(number).as_bytes()).expect("a digest").to_string();
        known.insert(id[..SHORT].to_owned(), number).map(|other| (other, number))
    });
    let (one, other) = found.expect("a pair");
    let write = |number: usize| {
        let path = town.world.path("commit");
        std::fs::write(&path, commit(number)).expect("written");
        town.world.git(&["hash-object", "-t", "commit", "-w", path.to_str().expect("UTF-8")]).trim().to_owned()
    };
    let pair = (write(one), write(other));
    assert!(pair.0 != pair.1 && pair.0[..SHORT] == pair.1[..SHORT], "{pair:?}");
    pair
}

/// Pull request 7 is at this commit, as GitHub has it.
pub fn point(town: &Town, head: &str) {
    town.world.git(&["push", "--quiet", "--force", "origin", &format!("{head}:refs/pull/7/head")]);
    town.github.world().pull(crate::town::SHOP, 7, head);
}
