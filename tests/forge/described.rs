//! Every request that can be made, held against GitHub's own description of its API by prism, which answers with GitHub's own examples.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tidegate::adapters::forge::github::{Github as Client, Manners};
use tidegate::model::check::*;
use tidegate::model::id::{CommitId, NodeId, RunId};
use tidegate::model::secret::SecretSource;
use tidegate::model::settings::{Github as Forge, GithubLogin};

use crate::github::Github;
use crate::house::{COMMIT, SHOP, now};

/// Ends with the test.
struct Prism {
    child: Child,
    url: String,
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None`: it is not here, and that is written down.
async fn prism(test: &str) -> Option<Prism> {
    let Some(folder) = std::env::var_os("TIDEGATE_TEST_GITHUB_API").map(std::path::PathBuf::from) else {
        let said = format!("{test}\tGitHub's description of its API is not installed: ./test installs it, with node and npm\n");
        if let Some(skips) = std::env::var_os("TIDEGATE_TEST_SKIPS") {
            use std::io::Write as _;
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(skips).expect("the list of skips");
            file.write_all(said.as_bytes()).expect("written");
        }
        return None;
    };
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("it").port();
    let child = Command::new("node")
        .arg(folder.join("node_modules/@stoplight/prism-cli/dist/index.js"))
        .args(["mock", "-h", "127.0.0.1", "-p", &port.to_string()])
        .arg(folder.join("github-api.json"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("node");
    let mut prism = Prism { child, url: format!("http://127.0.0.1:{port}") };
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(prism.child.try_wait().expect("its state").is_none(), "prism has ended before it listened");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Some(prism)
}

fn client(url: &str, login: GithubLogin) -> Client {
    let forge = Forge { login: Some(login), api: Some(url.to_owned()), ..Forge::default() };
    let manners = Manners { patience: Duration::from_secs(60), between: Duration::ZERO, burst: 1 };
    Client::open(&forge, manners).expect("opens").expect("a login")
}

fn check(state: CheckState) -> Check {
    let annotation =
        |level| Annotation { path: "src/door.rs".to_owned(), line: 3, level, title: "rule".to_owned(), message: "it squeaks".to_owned() };
    Check {
        external: External { run: RunId::new("r1"), node: Some(NodeId::new("lint[a=b]")) },
        name: "tidegate / test / lint".to_owned(),
        state,
        started: Some(now()),
        ended: Some(now()),
        title: "Failed".to_owned(),
        summary: "s".repeat(70_000),
        text: "ü".repeat(70_000),
        annotations: [Level::Notice, Level::Warning, Level::Failure].into_iter().cycle().take(120).map(annotation).collect(),
        actions: Action::ALL.into(),
        details: Some("https://ci.example.com/runs/r1".to_owned()),
    }
}

const STATES: [CheckState; 8] = [
    CheckState::Queued,
    CheckState::Running,
    CheckState::Done(Conclusion::Success),
    CheckState::Done(Conclusion::Failure),
    CheckState::Done(Conclusion::Neutral),
    CheckState::Done(Conclusion::Cancelled),
    CheckState::Done(Conclusion::TimedOut),
    CheckState::Done(Conclusion::ActionRequired),
];

#[tokio::test]
async fn every_request_is_as_github_describes_it() {
    let Some(prism) = prism("described::every_request_is_as_github_describes_it").await else { return };
    // What is wrong is found: else all of this would say nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bad = serde_json::json!({ "name": "a", "head_sha": "b", "status": "completed" });
    let address = format!("{}/repos/acme/shop/check-runs", prism.url);
    let answer = reqwest::Client::new().post(address).bearer_auth("t").json(&bad).send().await.expect("answered");
    assert_eq!(answer.status(), 422);

    let keys = Github::start();
    let app = client(&prism.url, GithubLogin::App { id: keys.app(), key: SecretSource::File(keys.key_file()) });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), keys.token()).expect("written");
    let person = client(&prism.url, GithubLogin::Token(SecretSource::File(folder.path().join("token"))));
    let (place, commit) = (Place { repository: SHOP.to_owned(), installation: Some(1) }, CommitId::new(COMMIT));

    app.clone_login(&Place { installation: None, ..place.clone() }).await.expect("installation and token");
    for state in STATES {
        let check = check(state);
        app.create_check(&place, &commit, &check).await.expect("made");
        for sent in [0, 50, 100, 120] {
            assert_eq!(app.update_check(&place, 4, &check, sent).await.expect("changed"), (sent + 50).min(120));
        }
        let details = None;
        let status = Status { context: "tidegate / test".to_owned(), state, description: "ü".repeat(200), details };
        person.set_status(&place, &commit, &status).await.expect("said");
    }
    app.check(&place, 4).await.expect("there");
    app.find_check(&place, &commit, &check(CheckState::Queued)).await.expect("looked for");
    let words = [DeploymentWord::Queued, DeploymentWord::InProgress, DeploymentWord::Success, DeploymentWord::Failure, DeploymentWord::Error];
    for word in words {
        let deployment = Deployment {
            external: External { run: RunId::new("r1"), node: Some(NodeId::new("deploy")) },
            environment: "checkout".to_owned(),
            production: false,
            description: "d".repeat(200),
            state: DeploymentState { word, description: "s".repeat(200) },
            details: Some("https://ci.example.com/runs/r1".to_owned()),
        };
        app.create_deployment(&place, &commit, &deployment).await.expect("made");
        app.find_deployment(&place, &commit, &deployment).await.expect("looked for");
        app.set_deployment(&place, 1, &deployment.state, deployment.details.as_deref()).await.expect("said");
    }
    app.create_comment(&place, 7, "hello").await.expect("made");
    app.edit_comment(&place, 1, "hello again").await.expect("changed");
    app.find_comment(&place, 7).await.expect("looked for");
    person.find_comment(&place, 7).await.expect("looked for");
    for reaction in [Reaction::Done, Reaction::Refused, Reaction::Unclear] {
        app.react(&place, false, 1, reaction).await.expect("made");
        app.react(&place, true, 1, reaction).await.expect("made");
    }
    app.permission(&place, "ada").await.expect("answered");
    assert!(app.pull(&place, 7).await.expect("answered").open);
    app.upload_sarif(&place, &commit, "refs/heads/main", b"{}").await.expect("taken");
}
