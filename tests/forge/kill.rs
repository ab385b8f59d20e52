//! Killed at random moments while it reports: nothing is lost, and nothing is there twice.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tidegate::model::id::RunId;
use tidegate::model::outcome::{Outcome, RunOutcome};

use crate::deploys;
use crate::github::Github;
use crate::house::*;

const STATE: &str = "TIDEGATE_TEST_REPORTS_STATE";
const API: &str = "TIDEGATE_TEST_REPORTS_API";
const KEY: &str = "TIDEGATE_TEST_REPORTS_KEY";

/// Not a test by itself: the process that is killed.
#[tokio::test]
async fn reporter() {
    let (Some(state), Some(api), Some(key)) = (std::env::var_os(STATE), std::env::var(API).ok(), std::env::var_os(KEY)) else { return };
    let house = House::at(PathBuf::from(state));
    let login = tidegate::model::settings::GithubLogin::App { id: 4711, key: tidegate::model::secret::SecretSource::File(key.into()) };
    let forge = tidegate::model::settings::Github { login: Some(login), api: Some(api), ..Default::default() };
    let settings = tidegate::model::settings::Settings { github: Some(forge), ..Default::default() };
    house.reports(&settings, pace()).await.idle().await;
}

fn reporter_for(house: &House, github: &Github) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "kill::reporter", "--test-threads", "1"])
        .env(STATE, house.state.root())
        .env(API, &github.url)
        .env(KEY, github.key_file())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// After so many more requests, and a moment.
async fn kill_after(child: &mut Child, github: &Github, requests: usize) -> bool {
    let wanted = github.requests().len() + requests;
    while github.requests().len() < wanted {
        if child.try_wait().expect("its state").is_some() {
            return false;
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    tokio::time::sleep(Duration::from_micros(fastrand::u64(0..4_000))).await;
    child.kill().expect("killed");
    child.wait().expect("gone");
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_everything_is_said_once() {
    let (github, house) = (Github::start(), House::new());
    github.repository(SHOP);
    let (mut kills, mut round) = (0, 0);
    while kills < 64 {
        round += 1;
        let (steps, deploy) = (format!("s{round}"), format!("d{round}"));
        // Half of them are at work when it begins, and over when it goes on.
        house.append(&steps, vec![started(&steps, event(), &["lint", "build"]), begins("lint")]).await;
        deploys::begin(&house, &deploy).await;
        for half in 0..2 {
            if half == 1 {
                let mut facts = Vec::from(ends("lint", Outcome::Succeeded));
                facts.push(begins("build"));
                facts.extend(ends("build", failed("exit code 1")));
                facts.push(over(RunOutcome::Failed));
                house.append(&steps, facts).await;
                deploys::end(&house, &deploy).await;
            }
            for _ in 0..3 {
                let mut child = reporter_for(&house, &github);
                kills += usize::from(kill_after(&mut child, &github, fastrand::usize(0..8)).await);
            }
        }
        let mut last = reporter_for(&house, &github);
        while last.try_wait().expect("its state").is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        verify(&github, &steps, &deploy);
    }
    println!("{kills} kills in {round} rounds, {} requests", github.requests().len());
    let comments = github.comments(SHOP, 7);
    assert_eq!(comments.len(), 1, "{}", github.story().join("\n"));
    let store = tidegate::adapters::forge::reports::Store::open(&house.state.root().join("reports.db")).expect("opens");
    assert!(store.is_finished(&RunId::new(format!("s{round}"))).await.expect("read"));
}

#[track_caller]
fn verify(github: &Github, steps: &str, deploy: &str) {
    let expected = [
        (steps.to_owned(), "failure"),
        (format!("{steps}/lint"), "success"),
        (format!("{steps}/build"), "failure"),
        (deploy.to_owned(), "success"),
        (format!("{deploy}/deploy"), "success"),
    ];
    for (external, conclusion) in expected {
        let found: Vec<_> = github.checks(SHOP).into_iter().filter(|check| check.external == external).collect();
        assert_eq!(found.len(), 1, "{external}: {found:#?}\n{}", github.story().join("\n"));
        assert_eq!(found[0].conclusion.as_deref(), Some(conclusion), "{external}\n{}", github.story().join("\n"));
    }
    let payload = format!("{deploy}/deploy");
    let found: Vec<_> = github.deployments(SHOP).into_iter().filter(|it| it.payload["tidegate"] == payload.as_str()).collect();
    assert_eq!(found.len(), 1, "{deploy}: {found:#?}");
    assert_eq!(found[0].statuses.last().map(|(state, _)| state.as_str()), Some("success"));
    let success = found[0].statuses.iter().filter(|(state, _)| state == "success").count();
    assert_eq!(success, 1, "{found:#?}");
}
