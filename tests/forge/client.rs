//! The client by itself: whom it speaks as, what it makes of answers, and that it never says a token.

use std::time::Duration;

use tidegate::adapters::forge::ForgeError;
use tidegate::adapters::forge::github::{Github as Client, Manners};
use tidegate::model::check::Place;
use tidegate::model::id::CommitId;
use tidegate::model::secret::SecretSource;
use tidegate::model::settings::{Github as Forge, GithubLogin};
use tidegate::model::trust::Permission;

use crate::github::{Fault, Github};
use crate::house::{COMMIT, SHOP, settings};

fn place() -> Place {
    Place { repository: SHOP.to_owned(), installation: Some(1) }
}

fn manners() -> Manners {
    Manners { patience: Duration::from_secs(5), between: Duration::ZERO, burst: 1 }
}

fn client(github: &Github) -> Client {
    Client::open(settings(github).github.as_ref().expect("there"), manners()).expect("opens").expect("a login")
}

fn world() -> Github {
    let github = Github::start();
    github.repository(SHOP);
    github.world().pull(SHOP, 7, COMMIT);
    github
}

#[tokio::test]
async fn many_who_wait_for_a_token_wait_for_one() {
    let github = world();
    let client = client(&github);
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.pull(&place(), 7).await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.expect("no panic").expect("answered").commit, CommitId::new(COMMIT));
    }
    assert_eq!(github.count("POST", "/access_tokens"), 1);
    assert_eq!(github.count("GET", "/pulls/7"), 20);
}

#[tokio::test]
async fn a_token_is_renewed_shortly_before_it_ends() {
    let github = world();
    let client = client(&github);
    // Less than what a token must be good for yet: so each one is only good for what was asked first.
    github.world().token_life = Duration::from_secs(4 * 60);
    for _ in 0..3 {
        client.pull(&place(), 7).await.expect("answered");
    }
    assert_eq!(github.count("POST", "/access_tokens"), 3);
    github.world().token_life = Duration::from_secs(3600);
    for _ in 0..3 {
        client.pull(&place(), 7).await.expect("answered");
    }
    assert_eq!(github.count("POST", "/access_tokens"), 4);
}

#[tokio::test]
async fn a_token_that_was_taken_back_is_replaced_once() {
    let github = world();
    let client = client(&github);
    client.pull(&place(), 7).await.expect("answered");
    github.world().revoke_tokens();
    client.pull(&place(), 7).await.expect("with a new token");
    assert_eq!(github.count("POST", "/access_tokens"), 2);
    github.fail("GET", "/pulls", 2, Fault::BadCredentials);
    let error = client.pull(&place(), 7).await.expect_err("twice is no accident");
    assert!(matches!(&error, ForgeError::Refused { why } if why.contains("does not take the login")), "{error:?}");
    assert_eq!(github.count("GET", "/pulls"), 5);
}

#[tokio::test]
async fn an_event_without_an_installation_finds_its_own() {
    let github = world();
    let client = client(&github);
    let elsewhere = Place { installation: None, ..place() };
    client.pull(&elsewhere, 7).await.expect("answered");
    client.pull(&elsewhere, 7).await.expect("answered");
    assert_eq!(github.count("GET", "/installation"), 1);
    let login = client.clone_login(&elsewhere).await.expect("a login");
    assert_eq!(login.user, "x-access-token");
    assert!(login.password.reveal().starts_with(b"ghs_") && login.ends.is_some());
}

#[tokio::test]
async fn what_somebody_may_do() {
    let github = world();
    for (login, role) in [("ada", "admin"), ("grace", "maintain"), ("linus", "triage"), ("dependabot[bot]", "write"), ("eve", "our-own-role")] {
        github.world().role(SHOP, login, role);
    }
    let client = client(&github);
    let mut found = Vec::new();
    for login in ["ada", "grace", "linus", "dependabot[bot]", "eve", "nobody", "..", "../../../user", "a?b=c"] {
        found.push(client.permission(&place(), login).await.expect("answered"));
    }
    use Permission::{Admin, Maintain, None, Read, Triage, Write};
    assert_eq!(found, [Admin, Maintain, Triage, Write, Read, None, None, None, None]);
    assert!(github.story().iter().all(|line| !line.contains("..")), "{:#?}", github.story());
}

#[tokio::test]
async fn no_error_holds_a_token_or_what_was_sent() {
    let github = world();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let login = |file: &std::path::Path| Forge {
        login: Some(GithubLogin::Token(SecretSource::File(file.to_owned()))),
        api: Some(github.url.clone()),
        ..Forge::default()
    };
    std::fs::write(&file, github.token()).expect("written");
    let client = Client::open(&login(&file), manners()).expect("opens").expect("a login");
    let mut said = vec![format!("{client:?}")];
    for fault in [Fault::Answer(500), Fault::Refused, Fault::BadCredentials, Fault::Nonsense, Fault::Secondary(0)] {
        github.fail("GET", "/pulls", 1, fault);
        let error = client.pull(&place(), 7).await.expect_err("it goes wrong");
        said.extend([error.to_string(), format!("{error:?}")]);
    }
    for bad in ["with a space and\nghp_secretsecretsecret", "ghp_sécret", "ghp_secretsecretsecret\r\nx-evil: 1"] {
        std::fs::write(&file, bad).expect("written");
        let error = client.pull(&place(), 7).await.expect_err("no token");
        said.extend([error.to_string(), format!("{error:?}")]);
    }
    std::fs::write(&file, ["-----BEGIN RSA ", "PRIVATE KEY-----\nghp_secretsecretsecret\n-----END RSA ", "PRIVATE KEY-----"].concat())
        .expect("written");
    let app = Forge { login: Some(GithubLogin::App { id: 1, key: SecretSource::File(file.clone()) }), ..login(&file) };
    let client = Client::open(&app, manners()).expect("opens").expect("a login");
    let error = client.pull(&place(), 7).await.expect_err("no key");
    said.extend([error.to_string(), format!("{error:?}"), format!("{client:?}")]);
    for text in said {
        assert!(!text.contains("ghp_") && !text.contains("secretsecret") && !text.contains(github.token()), "{text}");
    }
}

#[tokio::test]
async fn an_api_below_a_path_and_names_that_are_none() {
    let github = world();
    let mut forge = settings(&github).github.expect("there");
    forge.api = Some(format!("{}/api/v3", github.url));
    let client = Client::open(&forge, manners()).expect("opens").expect("a login");
    // This one has no such path; what counts is where it was looked for.
    assert!(client.pull(&place(), 7).await.is_err());
    assert_eq!(github.story(), ["POST /api/v3/app/installations/1/access_tokens 401"]);
    for bad in ["shop", "acme/..", "acme/shop/../../user"] {
        let place = Place { repository: bad.to_owned(), installation: Some(1) };
        assert!(matches!(client.pull(&place, 7).await, Err(ForgeError::Refused { .. } | ForgeError::Retry { .. })));
    }
    assert!(github.story().iter().all(|line| line.contains("access_tokens")), "{:#?}", github.story());
}

#[tokio::test]
async fn findings_past_what_github_takes_are_refused_here() {
    let github = world();
    let client = client(&github);
    let noise: Vec<u8> = (0..12_u64 << 20).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 ^ fastrand::u8(..)).collect();
    let error = client.upload_sarif(&place(), &CommitId::new(COMMIT), "refs/heads/main", &noise).await.expect_err("too long");
    assert!(error.to_string().contains("GitHub takes at most"), "{error}");
    assert_eq!(github.count("POST", "/sarifs"), 0);
}
