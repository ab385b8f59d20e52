//! Runtime clients that others wrote, with handlers that know nothing of us.

use std::path::{Path, PathBuf};

use serde_json::json;
use tidegate::adapters::provider::Provider as _;
use tidegate::model::traffic::{Destination, TrafficSplit};

use crate::packages::{fixture, function, zip_of};
use crate::stage::Stage;

/// What every client must show, whoever wrote it.
async fn serves(files: &[(String, Vec<u8>, bool)], error: &str) {
    let stage = Stage::new().await;
    let files: Vec<(&str, &[u8], bool)> =
        files.iter().map(|(name, contents, executable)| (name.as_str(), contents.as_slice(), *executable)).collect();
    let (zip, digest) = zip_of(stage.folder.path(), &files);
    let release = stage.local.publish(&function("client"), &zip, &digest).await.unwrap();
    stage.shift("client", &TrafficSplit::all(Destination::Release(release.id.clone()))).await;
    for _ in 0..3 {
        let answer = stage.get("/client/orders/7").await;
        assert_eq!(answer.status, 200, "{answer:?}\n{}", stage.logs("client"));
        let mut said = answer.json();
        assert_eq!(said["id"].take(), answer.header("x-tidegate-request-id"));
        let expected = json!({
            "id": null,
            "arn": "arn:aws:lambda:local:000000000000:function:client:1",
            "name": "client",
            "memory": "256",
            "log_group": "/aws/lambda/client",
            "in_time": true,
            "path": "/orders/7",
        });
        assert_eq!(said, expected);
        let failed = stage.get("/client/fail").await;
        assert_eq!((failed.status.as_u16(), failed.header("x-tidegate-function-error")), (502, error), "{}", stage.logs("client"));
    }
    let totals = stage.totals("client", &release);
    assert_eq!((totals.requests, totals.errors, totals.cold, totals.init_failures), (6, 3, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn awslambdaric_from_pypi() {
    let Some(packages) = std::env::var_os("TIDEGATE_TEST_AWSLAMBDARIC").map(PathBuf::from) else {
        panic!("TIDEGATE_TEST_AWSLAMBDARIC is not set: run ./test, or `/usr/bin/python3 -m pip install --target DIR awslambdaric` and set it to DIR");
    };
    let mut files = Vec::new();
    for (name, executable) in [("bootstrap", true), ("app.py", false)] {
        files.push((name.to_owned(), std::fs::read(fixture("awslambdaric").join(name)).unwrap(), executable));
    }
    gather(&packages, &packages, &mut files);
    serves(&files, "Unhandled").await;
}

fn gather(root: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>, bool)>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(root, &path, files);
        } else {
            files.push((path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap(), false));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lambda_runtime_from_crates_io() {
    let test = std::env::current_exe().unwrap();
    let handler = test.ancestors().nth(2).unwrap().join("examples/lambda_handler");
    let Ok(binary) = std::fs::read(&handler) else {
        panic!("{} is not there: run ./test, or `cargo build --example lambda_handler` first", handler.display());
    };
    serves(&[("bootstrap".to_owned(), binary, true)], "unhandled").await;
}
