//! Everything that can go wrong between us and GitHub: said late, said once, and what was said last is true.

use std::time::Duration;

use tidegate::model::id::RunId;

use crate::deploys;
use crate::github::{Fault, Github};
use crate::house::*;

/// Every place where something can go wrong.
const PLACES: [(&str, &str); 8] = [
    ("POST", "/access_tokens"),
    ("POST", "/check-runs"),
    ("PATCH", "/check-runs"),
    ("POST", "/deployments"),
    ("POST", "/statuses"),
    ("GET", "/statuses"),
    ("POST", "/comments"),
    ("PATCH", "/comments"),
];

/// A deploy from its beginning to its end, with something going wrong twice in one place.
async fn story(method: &str, path: &str, fault: Fault) {
    let (github, house) = (Github::start(), House::new());
    github.repository(SHOP);
    let mut pace = pace();
    if fault == Fault::Silence {
        pace.manners.patience = Duration::from_millis(700);
    }
    let about = format!("{fault:?} at {method} {path}");
    let reports = house.reports(&settings(&github), pace).await;
    deploys::begin(&house, "r1").await;
    github.fail(method, path, 2, fault);
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    deploys::end(&house, "r1").await;
    github.fail(method, path, 2, fault);
    reports.wake(&RunId::new("r1"));
    reports.idle().await;

    let story = github.story().join("\n");
    let names: Vec<String> = github.checks(SHOP).into_iter().map(|check| check.name).collect();
    assert_eq!(names, ["tidegate / test", "tidegate / test / deploy"], "{about}\n{story}");
    for name in names {
        let check = github.check(SHOP, &name);
        assert_eq!(check.history, ["in_progress", "success"], "{about}, {name}\n{story}");
    }
    let deployments = github.deployments(SHOP);
    assert_eq!(deployments.len(), 1, "{about}\n{story}");
    assert_eq!((deployments[0].environment.as_str(), deployments[0].sha.as_str()), ("checkout", COMMIT));
    let states: Vec<&str> = deployments[0].statuses.iter().map(|(state, _)| state.as_str()).collect();
    assert_eq!(states, ["in_progress", "success"], "{about}\n{story}");
    let comments = github.comments(SHOP, 7);
    assert_eq!(comments.len(), 1, "{about}\n{story}");
    assert!(comments[0].body.contains("succeeded in"), "{about}\n{}", comments[0].body);
}

async fn everywhere(fault: Fault) {
    for (method, path) in PLACES {
        story(method, path, fault).await;
    }
}

#[tokio::test]
async fn an_internal_error() {
    everywhere(Fault::Answer(500)).await;
}

#[tokio::test]
async fn a_bad_gateway() {
    everywhere(Fault::Answer(502)).await;
}

#[tokio::test]
async fn it_was_done_and_the_connection_broke() {
    everywhere(Fault::AfterDoing).await;
}

#[tokio::test]
async fn it_was_done_and_nobody_answers() {
    everywhere(Fault::Silence).await;
}

#[tokio::test]
async fn it_was_not_done_and_the_connection_broke() {
    everywhere(Fault::Refused).await;
}

#[tokio::test]
async fn an_answer_that_is_none() {
    everywhere(Fault::Nonsense).await;
}

#[tokio::test]
async fn the_secondary_limit() {
    for (method, path) in PLACES {
        story(method, path, Fault::Secondary(0)).await;
    }
    story("POST", "/check-runs", Fault::Secondary(1)).await;
}

#[tokio::test]
async fn too_many_requests() {
    everywhere(Fault::TooMany(0)).await;
}

#[tokio::test]
async fn the_hourly_limit() {
    story("POST", "/check-runs", Fault::Exhausted(1)).await;
}

#[tokio::test]
async fn while_github_wants_to_hear_nothing_nobody_asks() {
    let (github, house) = (Github::start(), House::new());
    github.repository(SHOP);
    let reports = house.reports(&settings(&github), pace()).await;
    github.fail("POST", "/check-runs", 1, Fault::Secondary(600));
    for run in ["r1", "r2", "r3"] {
        house.append(run, vec![started(run, event(), &["lint"]), begins("lint")]).await;
        reports.wake(&RunId::new(run));
    }
    let limited = || github.story().iter().any(|line| line.ends_with("/check-runs 403"));
    while !limited() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Every run has tried by now, or finds the door closed.
    let asked = github.requests().len();
    for _ in 0..20 {
        reports.wake(&RunId::new("r1"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let more: Vec<String> = github.story().split_off(asked);
    assert!(more.iter().all(|line| !line.contains("/check-runs")) && more.len() <= 2, "{more:#?}");
}

#[tokio::test]
async fn what_is_refused_is_said_and_not_tried_again() {
    let (github, house) = (Github::start(), House::new());
    // The App is not installed there.
    let reports = house.reports(&settings(&github), pace()).await;
    house.append("r1", vec![started("r1", event(), &["lint"]), begins("lint")]).await;
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    let notes = house.notes();
    assert!(notes.iter().any(|note| note.contains("check r1 is not reported") && note.contains("is it installed there?")), "{notes:#?}");
    let asked = github.requests().len();
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    assert_eq!(github.requests().len(), asked);
}

#[tokio::test]
async fn an_installation_that_was_taken_away_ends_the_matter() {
    let (github, house) = (Github::start(), House::new());
    github.repository(SHOP);
    let reports = house.reports(&settings(&github), pace()).await;
    deploys::begin(&house, "r1").await;
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    github.world().installations.clear();
    deploys::end(&house, "r1").await;
    reports.wake(&RunId::new("r1"));
    reports.idle().await;
    let notes = house.notes();
    assert!(notes.iter().any(|note| note.contains("404") || note.contains("401")), "{notes:#?}");
}
