//! What GitHub sends, as far as anybody reads it.

use serde_json::{Value, json};

use crate::town::{FORK, SHOP};

pub const NOBODY: &str = "0000000000000000000000000000000000000000";

/// What every body has besides its own.
fn body(url: &str, sender: &str, own: Value) -> Value {
    let mut body = json!({
        "repository": { "id": 1, "full_name": SHOP, "clone_url": url, "default_branch": "main", "private": false },
        "sender": person(sender),
        "installation": { "id": 1 },
    });
    for (key, value) in own.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

pub fn person(login: &str) -> Value {
    // Whoever has another name is somebody else.
    json!({ "login": login, "id": login.bytes().fold(7_u64, |sum, byte| sum * 31 + u64::from(byte)), "type": if login.ends_with("[bot]") { "Bot" } else { "User" } })
}

/// The same, done by somebody else.
pub fn by(login: &str, mut body: Value) -> Value {
    body["sender"] = person(login);
    body
}

/// The same, told to another installation of the App. Each is spoken to at a pace of its own.
pub fn through(installation: u64, mut body: Value) -> Value {
    body["installation"]["id"] = installation.into();
    body
}

pub fn push(url: &str, reference: &str, commit: &str) -> Value {
    let head = json!({ "id": commit, "message": "Sell doors", "author": { "name": "Ada" } });
    body(
        url,
        "ada",
        json!({ "ref": reference, "before": NOBODY, "after": commit, "created": false, "deleted": false, "forced": false, "head_commit": head }),
    )
}

pub fn deletion(url: &str, reference: &str, before: &str) -> Value {
    body(url, "ada", json!({ "ref": reference, "before": before, "after": NOBODY, "deleted": true, "head_commit": null }))
}

/// Pull request 7 of `eve`'s fork, into main.
pub fn pull(url: &str, action: &str, head: &str, base: &str) -> Value {
    pull_of(url, action, "eve", (head, json!({ "id": 2, "full_name": FORK })), base)
}

/// Pull request 7 of a branch of the repository itself, by `ada`.
pub fn own_pull(url: &str, action: &str, head: &str, base: &str) -> Value {
    pull_of(url, action, "ada", (head, json!({ "id": 1, "full_name": SHOP })), base)
}

fn pull_of(url: &str, action: &str, by: &str, (head, from): (&str, Value), base: &str) -> Value {
    let pull = json!({
        "number": 7, "title": "Better doors", "user": person(by), "author_association": "NONE", "draft": false, "labels": [],
        "head": { "ref": "doors", "sha": head, "repo": from },
        "base": { "ref": "main", "sha": base, "repo": { "id": 1, "full_name": SHOP } },
    });
    body(url, by, json!({ "action": action, "number": 7, "pull_request": pull }))
}

pub fn comment(url: &str, by: &str, said: &str) -> Value {
    let issue = json!({ "number": 7, "pull_request": { "url": "https://example.com" } });
    body(url, by, json!({ "action": "created", "issue": issue, "comment": { "id": 5, "body": said, "user": person(by) } }))
}

/// In another pull request than 7.
pub fn comment_in(number: u64, url: &str, by: &str, said: &str) -> Value {
    let mut body = comment(url, by, said);
    body["issue"]["number"] = number.into();
    body
}

pub fn rerequested(url: &str, by: &str, commit: &str, external: &str) -> Value {
    body(url, by, json!({ "action": "rerequested", "check_run": { "head_sha": commit, "external_id": external } }))
}

pub fn pressed(url: &str, by: &str, commit: &str, external: &str, button: &str) -> Value {
    let check = json!({ "head_sha": commit, "external_id": external });
    body(url, by, json!({ "action": "requested_action", "check_run": check, "requested_action": { "identifier": button } }))
}

pub fn commit_comment(url: &str, by: &str, commit: &str, said: &str) -> Value {
    body(url, by, json!({ "action": "created", "comment": { "id": 6, "body": said, "commit_id": commit, "user": person(by) } }))
}

/// Any other event.
pub fn event(url: &str, by: &str, own: Value) -> Value {
    body(url, by, own)
}
