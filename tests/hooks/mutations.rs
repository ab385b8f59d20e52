//! Real payloads with each of their parts taken away, or made something else: nothing panics, and what is understood is still what it says.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidegate::adapters::trigger::github::understand;
use tidegate::model::delivery::Delivery;
use tidegate::model::id::DeliveryId;
use tidegate::model::time::Timestamp;
use tidegate::model::trigger::Wish;

use crate::octokit;

/// Events of which more is read than their name.
const READ: [&str; 12] = [
    "push",
    "pull_request",
    "issue_comment",
    "check_run",
    "check_suite",
    "release",
    "deployment",
    "merge_group",
    "repository_dispatch",
    "installation",
    "installation_repositories",
    "ping",
];

/// The places of a value, as JSON pointers, down to a depth.
fn places(value: &Value, at: &str, depth: usize, all: &mut Vec<String>) {
    if !at.is_empty() {
        all.push(at.to_owned());
    }
    if depth == 0 {
        return;
    }
    if let Value::Object(map) = value {
        for (key, value) in map.iter().filter(|(key, _)| !key.ends_with("url") || *key == "clone_url") {
            places(value, &format!("{at}/{key}"), depth - 1, all);
        }
    }
}

#[test]
fn no_part_of_a_payload_is_needed_for_it_not_to_panic() {
    let Some(octokit) = octokit::folder("mutations::no_part_of_a_payload_is_needed_for_it_not_to_panic") else { return };
    let odd = [json!(null), json!(-1), json!("\u{1b}[2J\u{202e}"), json!([[]]), json!({"id": "x"}), json!("x".repeat(2000)), json!(true)];
    let (mut understood, mut refused) = (0, 0);
    let mut seen = BTreeSet::new();
    for (event, example) in octokit::examples(&octokit).into_iter().filter(|(event, _)| READ.contains(&event.as_str())) {
        // One of each kind: more of them have the same parts.
        if !seen.insert((event.clone(), example["action"].to_string(), example["ref"].to_string())) {
            continue;
        }
        let mut all = Vec::new();
        places(&example, "", 4, &mut all);
        for (number, place) in all.iter().enumerate() {
            let mut body = example.clone();
            // Each place meets a few of them; all places together all of them.
            *body.pointer_mut(place).expect("a place") = odd[number % odd.len()].clone();
            let body = body.to_string().into_bytes();
            let delivery = Delivery { id: DeliveryId::new("d"), event: event.clone(), received: Timestamp::EPOCH, body };
            match understand(&delivery) {
                Ok(trigger) => {
                    understood += 1;
                    if let Wish::Happened(event) | Wish::Closed { event } = trigger.wish {
                        let commit = event.commit.as_str();
                        assert!(commit.is_empty() || commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{place}: {commit}");
                        let told = format!("{event:?}{:?}{:?}", trigger.actor, trigger.repository);
                        assert!(!told.contains("\\u{1b}") && !told.contains("\\u{202e}"), "{place}: {told}");
                    }
                }
                Err(error) => {
                    refused += 1;
                    let said = error.to_string();
                    assert!(said.chars().count() < 400 && !said.contains('\u{1b}'), "{place}: {said}");
                }
            }
        }
    }
    assert!(understood > 1000 && refused > 100, "{understood} understood, {refused} refused");
}

#[test]
fn a_payload_that_is_cut_anywhere_is_refused_and_not_half_understood() {
    let Some(octokit) = octokit::folder("mutations::a_payload_that_is_cut_anywhere_is_refused_and_not_half_understood") else { return };
    for (event, example) in octokit::examples(&octokit).into_iter().filter(|(event, _)| matches!(event.as_str(), "push" | "pull_request")).take(8) {
        let whole = example.to_string().into_bytes();
        for end in (0..whole.len()).step_by(97) {
            let delivery = Delivery { id: DeliveryId::new("d"), event: event.clone(), received: Timestamp::EPOCH, body: whole[..end].to_vec() };
            assert!(understand(&delivery).is_err(), "{event} of {end} bytes");
        }
    }
}
