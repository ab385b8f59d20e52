//! The small GitHub itself: that it is as strict as the real one where stories rely on it.

use serde_json::json;

use crate::github::{Fault, Github};

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

#[tokio::test]
async fn it_remembers_what_it_was_told_and_refuses_what_github_refuses() {
    let github = Github::start();
    github.repository("acme/shop");
    let post = |path: &str, body: serde_json::Value| client().post(format!("{}{path}", github.url)).bearer_auth(github.token()).json(&body).send();
    let session = github.session();
    let check = |body: serde_json::Value| {
        let address = format!("{}/repos/acme/shop/check-runs", github.url);
        client().post(address).bearer_auth(&session).json(&body).send()
    };
    let made = check(json!({ "name": "a", "head_sha": "b", "status": "completed", "conclusion": "success" })).await.unwrap();
    assert_eq!(made.status(), 201);
    assert_eq!(github.check("acme/shop", "a").conclusion.as_deref(), Some("success"));
    assert_eq!(check(json!({ "name": "a", "head_sha": "b", "status": "completed" })).await.unwrap().status(), 422);
    let with_a_token = post("/repos/acme/shop/check-runs", json!({ "name": "a", "head_sha": "b" })).await.unwrap();
    assert_eq!(with_a_token.status(), 403, "only Apps make checks");
    let long = post("/repos/acme/shop/statuses/b", json!({ "state": "success", "description": "x".repeat(141) })).await.unwrap();
    assert_eq!(long.status(), 422);
    assert_eq!(post("/repos/acme/other/check-runs", json!({})).await.unwrap().status(), 404);
    github.fail("POST", "/statuses/", 1, Fault::AfterDoing);
    assert!(post("/repos/acme/shop/statuses/b", json!({ "state": "success" })).await.is_err());
    assert_eq!(github.statuses("acme/shop").len(), 1);
    let nobody = client().get(format!("{}/repos/acme/shop/pulls/1", github.url)).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    assert_eq!(github.story().last().map(String::as_str), Some("GET /repos/acme/shop/pulls/1 401"));
}
