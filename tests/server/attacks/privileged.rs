//! A *pwn request*: a stranger's change is run by an event that has the rights of the repository, as `pull_request_target` and `workflow_run` have elsewhere.

use serde_json::json;
use tidegate::model::outcome::RunOutcome;

use super::scene::{Prize, Scene, is};
use crate::payloads::{event, pull, push};
use crate::town::{SHOP, begun};

/// It runs what the commit brings, with the machine's network, and deploys.
const PIPELINE: &str = r#"
name: shop
on: { push: {}, pull_request: {}, deployment: {}, release: {} }
steps:
  build: { network: open, run: sh ./work.sh }
  ship: { needs: [build], environment: production, run: echo shipped }
"#;

#[test]
fn a_strangers_change_gets_no_rights_by_whatever_event_it_is_told() {
    let prize = Prize::new();
    let scene = Scene::new(&[(".tidegate/shop.yaml", PIPELINE), ("work.sh", &prize.raid())]);
    let town = &scene.town;
    let url = town.url();
    // With the rights of the repository the raid does succeed.
    let trusted = town.asked_one(&town.deliver("ours", "push", &push(&url, "refs/heads/main", &scene.base)));
    assert_eq!(town.end_of(&trusted), RunOutcome::Succeeded);
    assert!(scene.log(&trusted, "build").contains("got the prize") && begun(&town.facts(&trusted), "ship") == 1);
    assert_eq!(prize.taken(), 1);

    let head = scene.head(&[("work.sh", &format!("echo eve was here\n{}", prize.raid()))]);
    let opened = pull(&url, "opened", &head, &scene.base);
    for (name, body) in [
        ("pull_request_target", opened.clone()),
        ("pull_request_review", opened.clone()),
        ("workflow_run", event(&url, "eve", json!({ "action": "completed", "workflow_run": { "head_sha": head, "event": "pull_request" } }))),
        ("check_suite", event(&url, "eve", json!({ "action": "requested", "check_suite": { "head_sha": head } }))),
        ("status", event(&url, "eve", json!({ "sha": head, "state": "success" }))),
    ] {
        let handled = &town.deliver(&format!("by-{name}"), name, &body)["handled"];
        is(handled, "ignored", "");
    }
    // GitHub shows a fork's commits in the repository: that makes them none of its own.
    is(&town.deliver("ref", "push", &push(&url, "refs/pull/7/head", &head))["handled"], "refused", "no branch and no tag");
    let deployment = json!({ "action": "created", "deployment": { "sha": head, "ref": head, "environment": "production" } });
    let deployed = town.asked_one(&town.deliver("deployment", "deployment", &event(&url, "eve", deployment)));
    town.check(deployed.as_str(), "action_required");
    // A label says nothing of what is below it.
    let labelled = &town.deliver("label", "pull_request", &pull(&url, "labeled", &head, &scene.base))["handled"];
    is(labelled, "refused", "triage");
    let run = scene.opened("opened", &head);
    town.check(run.as_str(), "action_required");
    assert_eq!((town.facts(&run), town.facts(&deployed)), (Vec::new(), Vec::new()));

    // And approved it runs with nothing to take.
    is(&scene.say("approve", "ada", &format!("/tidegate approve {head}")), "obeyed", run.as_str());
    assert_eq!(town.end_of(&run), RunOutcome::Succeeded);
    let log = scene.log(&run, "build");
    assert!(log.contains("eve was here") && log.contains("got nothing"), "{log}");
    assert_eq!((scene.is_trusted(&run), begun(&town.facts(&run), "ship"), prize.taken()), (false, 0, 0));
    assert_eq!(town.github.deployments(SHOP).len(), 0);
}
