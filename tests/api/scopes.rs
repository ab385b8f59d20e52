//! Each route × each scope.

use serde_json::json;
use tidegate::model::access::Scope;
use tidegate::server::api::routes::{Needs, ROUTES};

use crate::bench::Bench;

/// A path that has everything that it is about.
fn filled(path: &str) -> String {
    path.replace("{run}", "aa01")
        .replace("{node}", "test")
        .replace("{attempt}", "1")
        .replace("{rollout}", "none")
        .replace("{delivery}", "72d3162e-cc78-11e3-81ab-000000000001")
}

/// What a handler asks for, so that it is the guard that says no and not the body.
fn body(path: &str) -> serde_json::Value {
    match path {
        "/api/v1/runs" => json!({ "repository": "shop", "pipeline": "shop.yaml" }),
        "/api/v1/runs/{run}/approve" | "/api/v1/runs/{run}/reject" => json!({ "commit": "0123456789012345678901234567890123456789" }),
        _ => json!({}),
    }
}

#[test]
fn a_route_lets_in_who_has_its_scope_and_nobody_else() {
    let bench = Bench::new();
    let tokens: Vec<(Scope, String)> = Scope::ALL.into_iter().map(|scope| (scope, bench.token(&[scope]))).collect();
    let mut asked = 0;
    for (method, path, needs, _) in &ROUTES {
        let Needs::Scope(wanted) = needs else { continue };
        let send = |token: Option<&str>| {
            let request = bench.request(method.as_str(), &filled(path));
            let request = if method.as_str() == "POST" { request.json(&body(path)) } else { request };
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            // A stream has no end: its head is enough.
            if path.ends_with("/events") {
                let status = bench.runtime.block_on(async { request.send().await.expect("an answer").status().as_u16() });
                return status;
            }
            bench.send(request).status
        };
        for (scope, token) in &tokens {
            let may = scope == wanted || *scope == Scope::Admin || *wanted == Scope::Read;
            let status = send(Some(token));
            assert_eq!(status != 403 && status != 401, may, "{method} {path} with {scope}: {status}");
            asked += 1;
        }
        assert_eq!(send(None), 401, "{method} {path} without a token");
        assert_eq!(send(Some("tgp_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")) / 100, 4, "{method} {path} with a wrong token");
    }
    assert!(asked > 100, "{asked}");
}

#[test]
fn every_route_that_is_described_is_in_the_table_and_the_other_way_round() {
    let described = serde_json::to_value(tidegate::server::api::description()).expect("a description");
    let mut found: Vec<(String, String)> = Vec::new();
    for (path, item) in described["paths"].as_object().expect("paths") {
        found.extend(item.as_object().expect("methods").keys().map(|method| (path.clone(), method.to_uppercase())));
    }
    found.sort();
    let mut table: Vec<(String, String)> = ROUTES.iter().map(|(method, path, ..)| ((*path).to_owned(), method.to_string())).collect();
    table.sort();
    assert_eq!(found, table);
    for (method, path, needs, _) in &ROUTES {
        let security = &described["paths"][*path][method.as_str().to_lowercase()]["security"];
        let expected = if let Needs::Scope(scope) = needs { json!([{ "token": [scope.word()] }, { "session": [scope.word()] }]) } else { json!([]) };
        assert_eq!(*security, expected, "{method} {path}");
    }
}

#[test]
fn a_token_that_is_revoked_or_over_opens_nothing_and_too_many_wrong_ones_wait() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    assert_eq!(bench.get("/api/v1/whoami", &token).json(), json!({ "name": "token t0", "scopes": ["read"] }));
    for n in 0..20 {
        bench.get("/api/v1/whoami", &format!("tgp_{n:043}")).problem(401);
    }
    let limited = bench.get("/api/v1/whoami", &format!("tgp_{:043}", 21));
    limited.problem(429);
    assert!(limited.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
    // Who is right is not held up by who is wrong.
    assert_eq!(bench.get("/api/v1/whoami", &token).status, 200);
    bench.access.revoke_token("t0").expect("revoked");
    assert_eq!(bench.get("/api/v1/whoami", &token).status / 100, 4);
}
