//! A function behind the gateway: events and answers, reuse, limits, counts, and what stays when the host ends.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tidegate::adapters::provider::Provider as _;
use tidegate::adapters::provider::local::Local;
use tidegate::adapters::sandbox::Isolation;
use tidegate::model::traffic::{Destination, TrafficSplit, Weight};

use crate::packages::{function, options, with_env, zip_fixture};
use crate::stage::{Answer, Client, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_python_bootstrap_answers_through_the_gateway() {
    let stage = Stage::new().await;
    let release = stage.serve(&with_env(function("hello"), "GREETING", "the fixture"), "hello-python").await;
    let answer = stage.get("/hello/some/path?x=1").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "hello from the fixture\n"));
    assert_eq!(answer.header("content-type"), "text/plain");
    assert_eq!(answer.header("set-cookie"), "seen=1");
    assert_eq!(answer.header("x-tidegate-release"), format!("{} v1", release.id.short()));

    let by_host = Request::get(format!("http://{}/echo?a=1&a=2", stage.local.address()))
        .header("host", "hello.localhost")
        .header("cookie", "c=1")
        .body(Full::default());
    let event = stage.client.send(by_host.unwrap()).await.json();
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["rawPath"], "/echo");
    assert_eq!(event["queryStringParameters"]["a"], "1,2");
    assert_eq!(event["cookies"][0], "c=1");
    assert_eq!(event["requestContext"]["http"]["method"], "GET");

    let posted = stage.client.post("/hello/echo", "application/octet-stream", Bytes::from_static(b"\x00\x01")).await.json();
    assert_eq!((posted["body"].as_str(), posted["isBase64Encoded"].as_bool()), (Some("AAE="), Some(true)));

    let env = stage.get("/hello/env").await.json();
    assert_eq!(env["env"]["_HANDLER"], "app.handler");
    assert_eq!(env["env"]["AWS_LAMBDA_FUNCTION_NAME"], "hello");
    assert_eq!(env["env"]["LAMBDA_TASK_ROOT"], "/var/task");
    assert_eq!(env["cwd"], "/var/task");
    assert_eq!(stage.totals("hello", &release).requests, 4);
    assert_eq!(stage.totals("hello", &release).cold, 1, "one after the other, they share an instance");

    let index = stage.get("/").await.json();
    assert_eq!(index["functions"][0]["function"], "hello");
    assert_eq!(stage.get("/nothing/here").await.status, 404);
    stage.local.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_the_functions_own_and_tell_nothing_of_its_inside() {
    let stage = Stage::new().await;
    let release = stage.serve(&function("hello"), "hello-python").await;
    let failed = stage.get("/hello/fail").await;
    assert_eq!((failed.status.as_u16(), failed.header("x-tidegate-function-error")), (502, "Function.ValueError"));
    assert_eq!(failed.body, "{\"message\":\"Internal Server Error\"}\n");
    assert!(stage.logs("hello").contains("secret-inner-detail"), "the log has it");
    assert_eq!(stage.get("/hello/status/503").await.status, 503);
    assert_eq!(stage.get("/hello/status/404").await.status, 404);
    let totals = stage.totals("hello", &release);
    assert_eq!((totals.requests, totals.errors), (3, 2), "a 404 is an answer, a 503 is an error");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_have_none() {
    let stage = Stage::new().await;
    stage.serve(&function("hello"), "hello-python").await;
    for status in [204, 304] {
        let answer = stage.get(&format!("/hello/status/{status}")).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (status, ""));
        assert_eq!(stage.get("/hello/status/200").await.body, "as you like", "the connection is good for the next request");
    }
    let head = Request::head(format!("http://{}/hello/status/200", stage.local.address())).body(Full::default());
    let answer = stage.client.send(head.unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_isolation_serves_the_same_function() {
    let mut options = options();
    options.isolation = Isolation::None;
    let stage = Stage::with(options).await;
    let mut function = function("bare");
    function.concurrency = 3;
    let release = stage.serve(&function, "hello-python").await;
    assert_eq!(stage.local.prewarm(&release, 3).await.unwrap().len(), 3, "each has a Runtime API of its own");
    let said = stage.get("/bare/env").await.json();
    assert_eq!(said["cwd"], said["env"]["LAMBDA_TASK_ROOT"]);
    assert_eq!(said["env"]["HOME"], serde_json::Value::Null, "its environment is still its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_and_the_next_request_is_served() {
    let stage = Stage::new().await;
    stage.serve(&function("hello"), "hello-python").await;
    let refused = stage.client.post("/hello/", "text/plain", vec![b'x'; (6 << 20) + 1]).await;
    assert_eq!(refused.status, 413);
    let taken = stage.client.post("/hello/", "application/octet-stream", vec![b'x'; 6 << 20]).await;
    assert_eq!(taken.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_reused_limited_and_end_when_nobody_asks() {
    let mut options = options();
    options.idle = Duration::from_millis(300);
    let stage = Stage::with(options).await;
    let mut function = function("busy");
    function.concurrency = 2;
    function.timeout = Duration::from_secs(2);
    let release = stage.serve(&function, "hostile").await;
    let cold_starts = stage.local.prewarm(&release, 5).await.unwrap();
    assert_eq!(cold_starts.len(), 2, "no more than the function may have");
    assert!(cold_starts.iter().all(|micros| *micros > 0));
    assert_eq!(stage.local.prewarm(&release, 2).await.unwrap(), cold_starts, "asked again, they are there");

    // Three at once that never end, where two may run: one of them, whichever it is, is told to come back.
    let three = [(); 3].map(|()| tokio::spawn(get(&stage.client, "/busy/never")));
    let mut answers = Vec::new();
    for one in three {
        answers.push(one.await.unwrap());
    }
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [429, 504, 504]);
    assert_eq!(answers[0].header("retry-after"), "1");
    let gateway = stage.local.gateway().unwrap();
    assert_eq!(stage.get("/busy/ok").await.status, 200, "what hung was killed, and there is room again");
    let totals = stage.totals("busy", &release);
    assert_eq!(totals.errors, 2);
    assert!(totals.throttled >= 1, "throttled requests are counted, but not as the function's");
    while gateway.instances("busy", &release.id) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stage.get("/busy/ok").await.status, 200, "from zero again");
}

/// Owns what it needs, so that it can run beside others.
fn get(client: &Client, path: &'static str) -> impl Future<Output = Answer> + use<> {
    let client = client.clone();
    async move { client.get(path).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_is_split_by_weight_and_counted_exactly() {
    const REQUESTS: u64 = 10_000;
    let stage = Stage::new().await;
    let old = stage.serve(&with_env(function("split"), "GREETING", "old"), "hello-python").await;
    let new = stage.publish(&with_env(function("split"), "GREETING", "new"), "hello-python").await;
    assert_eq!((old.version, new.version), (1, 2), "a change of the configuration is a new release");
    let (from, to) = (Destination::Release(old.id.clone()), Destination::Release(new.id.clone()));
    stage.local.prewarm(&new, 4).await.unwrap();
    stage.shift("split", &TrafficSplit::between(from.clone(), to.clone(), Weight::from_basis_points(2500).unwrap())).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let client = stage.client.clone();
        clients.spawn(async move {
            let mut seen = [0_u64; 2];
            for _ in 0..REQUESTS / 4 {
                let answer = client.get("/split/").await;
                assert_eq!(answer.status, 200);
                seen[usize::from(answer.body == "hello from new\n")] += 1;
            }
            seen
        });
    }
    let seen = clients.join_all().await.into_iter().reduce(|a, b| [a[0] + b[0], a[1] + b[1]]).unwrap();
    let batch = stage.local.observe("split", &from, &to, Some(Duration::ZERO)).await.unwrap();
    assert_eq!([batch.stable.requests, batch.canary.requests], seen, "the counts are what the clients saw");
    assert_eq!(seen[0] + seen[1], REQUESTS);
    assert_eq!((batch.stable.errors, batch.canary.errors), (0, 0));
    assert_eq!(batch.canary.slow, batch.canary.warm, "every request takes longer than nothing");
    assert_eq!(batch.canary.warm, batch.canary.requests, "there were enough warm instances");
    // Six standard deviations: one false alarm in 500 million runs.
    let deviation = (REQUESTS as f64 * 0.25 * 0.75).sqrt();
    assert!((seen[1] as f64 - REQUESTS as f64 * 0.25).abs() < 6.0 * deviation, "{seen:?}");
    assert_eq!(stage.local.observe("split", &from, &to, None).await.unwrap(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_nobody_takes_is_answered_503() {
    let stage = Stage::new().await;
    let release = stage.publish(&function("fresh"), "hello-python").await;
    let vacant = stage.get("/fresh/").await;
    assert_eq!((vacant.status.as_u16(), vacant.header("retry-after")), (503, "5"));
    assert!(vacant.body.contains("no release takes this share of the traffic yet"), "{}", vacant.body);
    let to = Destination::Release(release.id.clone());
    stage.local.probe("fresh", "/echo", Some(&to)).await.unwrap();
    assert_eq!(stage.totals("fresh", &release).requests, 1, "a pinned probe reaches it before its traffic does");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_joins_the_host_and_the_state_outlives_both() {
    let stage = Stage::new().await;
    let other = Local::connect(stage.folder.path(), &options()).await.unwrap();
    assert_eq!(other.hosted_elsewhere().map(|health| health.gateway), Some(stage.local.address()));
    let (zip, digest) = zip_fixture(stage.folder.path(), "hello-python");
    let release = other.publish(&function("hello"), &zip, &digest).await.unwrap();
    assert_eq!(other.prewarm(&release, 1).await.unwrap().len(), 1);
    let to = Destination::Release(release.id.clone());
    let revision = other.shift("hello", &TrafficSplit::all(to.clone()), 0).await.unwrap();
    other.probe("hello", "/", None).await.unwrap();
    let batch = other.observe("hello", &Destination::Vacant, &to, None).await.unwrap();
    assert_eq!((batch.canary.requests, batch.canary.errors), (1, 0));
    assert_eq!(other.functions().await.unwrap()[0].releases, std::slice::from_ref(&release));

    stage.local.close().await;
    let gone = other.traffic("hello").await.unwrap_err();
    assert!(gone.to_string().contains("does not answer"), "{gone}");
    let again = Local::connect(stage.folder.path(), &options()).await.unwrap();
    assert!(again.hosted_elsewhere().is_none(), "who comes next hosts");
    assert_eq!(again.traffic("hello").await.unwrap().revision, revision);
    assert_eq!(Client::new(again.address()).get("/hello/").await.body, "hello from python\n");
}
