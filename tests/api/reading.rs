//! What is answered to whoever looks, and to whoever wants something done.

use serde_json::{Value, json};
use tidegate::model::access::Scope;
use tidegate::model::id::RunId;
use tidegate::server::api::control::{Again, Command};

use crate::bench::Bench;

#[test]
fn runs_come_in_pages_that_leave_nothing_out_and_say_nothing_twice() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    let (mut seen, mut path) = (Vec::new(), "/api/v1/runs?limit=2".to_owned());
    loop {
        let page = bench.get(&path, &token).json();
        seen.extend(page["runs"].as_array().expect("runs").iter().map(|run| (run["run"].clone(), run["outcome"].clone())));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/runs?limit=2&cursor={next}");
    }
    assert_eq!(json!(seen), json!([["bb03", "running"], ["aa02", "interrupted"], ["aa01", "failed"]]));
    let of = |query: &str| bench.get(&format!("/api/v1/runs?{query}"), &token).json()["runs"].as_array().expect("runs").len();
    assert_eq!(["outcome=failed", "repository=shop", "repository=other", "branch=main", "pipeline=x", "commit=0123456"].map(of), [1, 3, 0, 3, 0, 3]);
}

#[test]
fn one_run_is_found_by_its_id_its_beginning_or_as_the_latest() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    let get = |path: &str| bench.get(path, &token);
    let shown = get("/api/v1/runs/aa01").json();
    assert_eq!((&shown["run"], &shown["outcome"], &shown["steps"][1]["state"]), (&json!("aa01"), &json!("failed"), &json!("failed")));
    assert_eq!(get("/api/v1/runs/latest").json()["run"], "bb03");
    assert_eq!(get("/api/v1/runs/b").json()["run"], "bb03");
    assert!(get("/api/v1/runs/aa").problem(409).contains("2 runs begin with"));
    assert!(get("/api/v1/runs/zz").problem(404).contains("there is no run"));
    assert_eq!(get("/api/v1/runs/aa02").json()["interrupted"], true);
    let facts = get("/api/v1/runs/aa01/facts?after=1&limit=2").json();
    assert_eq!(
        facts["facts"].as_array().map(|facts| facts.iter().map(|fact| fact["number"].clone()).collect::<Vec<Value>>()),
        Some(vec![json!(2), json!(3)])
    );
    assert_eq!(get("/api/v1/runs/aa01/usage").json()["run"], "aa01");
    assert_eq!(get("/api/v1/usage").json()["prices"]["currency"], "USD");
    assert_eq!(get("/api/v1/requests").json(), json!({ "requests": [] }));
    assert_eq!(get("/api/v1/rollouts").json(), json!({ "rollouts": [] }));
}

#[test]
fn a_log_is_answered_byte_by_byte_and_in_ranges() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    let whole = b"test says\n\x1b]0;owned\x07hello\n";
    let path = "/api/v1/runs/aa01/logs/test/1";
    let all = bench.get(path, &token);
    assert_eq!((all.status, all.body.as_slice(), all.header("content-type")), (200, &whole[..], "text/plain; charset=utf-8"));
    let ranged = |range: &str| bench.send(bench.request("GET", path).bearer_auth(&token).header("range", range));
    let some = ranged("bytes=5-8");
    assert_eq!((some.status, some.text().as_str(), some.header("content-range")), (206, "says", "bytes 5-8/26"));
    assert_eq!(ranged("bytes=-6").text(), "hello\n");
    ranged("bytes=500-").problem(416);
    assert_eq!(bench.get(&format!("{path}?offset=20"), &token).text(), "hello\n");
    assert_eq!(bench.get(&format!("{path}?service=db"), &token).body, b"");
    bench.get("/api/v1/runs/aa01/logs/test/2", &token).problem(404);
    bench.get("/api/v1/runs/aa01/logs/deploy/1", &token).problem(404);
    bench.get("/api/v1/runs/aa01/logs/test/one", &token).problem(400);
}

#[test]
fn deliveries_are_listed_shown_and_replayed() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Admin]);
    let page = bench.get("/api/v1/deliveries?limit=4", &token).json();
    let next = page["next"].as_u64().expect("there are more");
    let rest = bench.get(&format!("/api/v1/deliveries?limit=4&cursor={next}"), &token).json();
    assert_eq!((page["deliveries"].as_array().map(Vec::len), rest["deliveries"].as_array().map(Vec::len)), (Some(4), Some(1)));
    let id = "72d3162e-cc78-11e3-81ab-000000000002";
    let shown = bench.get(&format!("/api/v1/deliveries/{id}"), &token).json();
    assert_eq!((&shown["body"]["ref"], &shown["handled"]["handled"]), (&json!("refs/heads/main"), &json!("ignored")));
    assert_eq!(bench.send(bench.request("POST", &format!("/api/v1/deliveries/{id}/replay")).bearer_auth(&token)).status, 202);
    assert_eq!(bench.get("/api/v1/deliveries?waiting=true", &token).json()["deliveries"].as_array().map(Vec::len), Some(2));
    bench.get("/api/v1/deliveries/72d3162e", &token).problem(409);
    bench.get("/api/v1/deliveries/none", &token).problem(404);
}

#[test]
fn what_only_the_servers_loop_can_do_gets_there_as_it_was_meant() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Run, Scope::Approve]);
    let start = json!({ "repository": "acme/shop", "pipeline": ".tidegate/deploy.yaml", "ref": "main", "params": { "to": "x; rm -rf /" } });
    let answer = bench.post("/api/v1/runs", &token, &start);
    assert_eq!((answer.status, &answer.json()["runs"]), (202, &json!(["new1"])));
    for what in [json!({}), json!({ "what": "failed" }), json!({ "what": { "step": "test" } })] {
        assert_eq!(bench.post("/api/v1/runs/aa01/rerun", &token, &what).status, 202);
    }
    bench.post("/api/v1/runs/aa01/approve", &token, &json!({ "commit": "0123456789012345678901234567890123456789" })).problem(409);
    bench.post("/api/v1/runs/aa01/approve", &token, &json!({ "commit": "0123" })).problem(400);
    bench.post("/api/v1/runs/zz/cancel", &token, &json!({})).problem(404);
    let by = || "token t0".to_owned();
    let again = |what| Command::Rerun { run: RunId::new("aa01"), what, by: by() };
    let started = Command::Start {
        repository: "acme/shop".to_owned(),
        pipeline: ".tidegate/deploy.yaml".to_owned(),
        reference: "main".to_owned(),
        params: [("to".to_owned(), "x; rm -rf /".to_owned())].into(),
        by: by(),
    };
    assert_eq!(bench.commands(), [started, again(Again::All), again(Again::Failed), again(Again::Step("test".to_owned()))]);
}

#[test]
fn a_run_is_cancelled_by_a_letter_to_whoever_drives_it() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Run]);
    // Whoever drives bb03 reads its letters, in another process as likely as in this one.
    let letters = bench.letters.clone();
    let driver = std::thread::spawn(move || {
        let run = RunId::new("bb03");
        loop {
            if let Some(reason) = letters.cancelled(&run) {
                return reason;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    let answer = bench.post("/api/v1/runs/bb03/cancel", &token, &json!({}));
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(driver.join().expect("it read"), "token t0 cancelled it");
    assert!(bench.post("/api/v1/runs/aa01/cancel", &token, &json!({})).problem(409).contains("has ended already (failed)"));
    assert!(bench.post("/api/v1/runs/aa02/cancel", &token, &json!({})).problem(409).contains("nobody drives"));
    assert_eq!(bench.commands(), []);
}
