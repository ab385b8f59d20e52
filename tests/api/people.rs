//! How people log in, against a small GitHub: its pages for programs that ask who somebody is.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use base64::Engine as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate::model::secret::SecretSource;
use tidegate::model::settings::{Github, GithubOauth, Server};
use tidegate::server::api::login::Oauth;

use crate::bench::{Answer, Bench, With};

/// What GitHub knows: codes with their challenges, and who they are.
#[derive(Default)]
struct Hub {
    codes: Mutex<HashMap<String, (String, String)>>,
}

/// A person's rights are in the name: `REPOSITORY` is `acme/PERMISSION`.
fn github() -> (Arc<Hub>, SocketAddr) {
    let hub: Arc<Hub> = Arc::default();
    let router = Router::new()
        .route("/login/oauth/access_token", post(token))
        .route("/api/v3/user", get(user))
        .route("/api/v3/repos/{owner}/{name}", get(repository))
        .with_state(hub.clone());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("set");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener).expect("taken"), router).await })
    });
    (hub, address)
}

async fn token(State(hub): State<Arc<Hub>>, body: String) -> axum::Json<serde_json::Value> {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let known = hub.codes.lock().expect("nobody panicked").remove(&form["code"]);
    let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    match known {
        Some((expected, login)) if expected == challenge && form["client_secret"] == "oauth-s3cr3t" => {
            axum::Json(json!({ "access_token": format!("gho_{login}"), "token_type": "bearer" }))
        }
        _ => axum::Json(json!({ "error": "bad_verification_code" })),
    }
}

fn login(headers: &HeaderMap) -> Option<String> {
    headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer gho_").map(str::to_owned)
}

async fn user(headers: HeaderMap) -> Result<axum::Json<serde_json::Value>, StatusCode> {
    let login = login(&headers).ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(axum::Json(json!({ "login": login, "id": 7 })))
}

async fn repository(Path((owner, name)): Path<(String, String)>, headers: HeaderMap) -> Result<axum::Json<serde_json::Value>, StatusCode> {
    login(&headers).ok_or(StatusCode::UNAUTHORIZED)?;
    if owner != "acme" {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok(axum::Json(json!({ "permissions": { "admin": name == "admin", "push": name == "write", "pull": true } })))
}

pub struct Stage {
    pub bench: Bench,
    hub: Arc<Hub>,
    _secret: tempfile::NamedTempFile,
}

/// A server that people log in at.
pub fn stage() -> Stage {
    let (hub, address) = github();
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), "oauth-s3cr3t\n").expect("written");
    let oauth = GithubOauth { client: "Iv1.abc".to_owned(), secret: SecretSource::File(secret.path().to_owned()) };
    let github = Github { api: Some(format!("http://{address}/api/v3")), oauth: Some(oauth), ..Github::default() };
    let oauth = Oauth::new(&github).expect("a client");
    let reached = Server { url: Some("http://127.0.0.1:7171".to_owned()), admins: vec!["Root".to_owned()], ..Server::default() };
    Stage { bench: Bench::with(With { reached, oauth }), hub, _secret: secret }
}

fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let all = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("text"));
    all.filter_map(|text| text.split(';').next()?.strip_prefix(&format!("{name}="))).next_back().map(str::to_owned)
}

impl Stage {
    /// The browser is sent to GitHub, and the person says yes there. Answers the state, the cookie, and the code.
    fn at_github(&self, path: &str, login: &str) -> (String, String, String) {
        let sent = self.bench.send(self.bench.request("GET", path));
        assert_eq!(sent.status, 303, "{}", sent.text());
        let target = url::Url::parse(sent.header("location")).expect("an address");
        assert_eq!(target.path(), "/login/oauth/authorize");
        let query: HashMap<String, String> = target.query_pairs().into_owned().collect();
        assert_eq!((query["client_id"].as_str(), query["code_challenge_method"].as_str()), ("Iv1.abc", "S256"));
        assert_eq!(query["redirect_uri"], "http://127.0.0.1:7171/login/callback");
        assert!(!query.contains_key("scope"));
        let code = format!("code-{}", self.hub.codes.lock().expect("nobody panicked").len());
        self.hub.codes.lock().expect("nobody panicked").insert(code.clone(), (query["code_challenge"].clone(), login.to_owned()));
        (query["state"].clone(), cookie(&sent, "tidegate_login").expect("a cookie"), code)
    }

    fn back(&self, state: &str, cookies: &str, code: &str) -> Answer {
        self.bench.send(self.bench.request("GET", &format!("/login/callback?code={code}&state={state}")).header("cookie", cookies))
    }

    /// A session of this person.
    fn session(&self, login: &str) -> String {
        let (state, began, code) = self.at_github("/login", login);
        let back = self.back(&state, &format!("tidegate_login={began}"), &code);
        assert_eq!(back.status, 303, "{}", back.text());
        let line = back
            .headers
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().expect("text"))
            .find(|text| text.starts_with("tidegate="))
            .expect("a session");
        assert!(line.contains("; HttpOnly") && line.contains("; SameSite=Lax") && line.contains("; Path=/"), "{line}");
        cookie(&back, "tidegate").expect("a session")
    }

    fn get(&self, path: &str, session: &str) -> Answer {
        self.bench.send(self.bench.request("GET", path).header("cookie", format!("tidegate={session}")))
    }
}

#[test]
fn people_may_here_what_they_may_at_the_forge() {
    let stage = stage();
    let ada = stage.session("ada");
    assert_eq!(stage.get("/api/v1/whoami", &ada).json(), json!({ "name": "@ada", "scopes": [] }));
    // All of it is for admins; of one repository, for whoever may see that.
    stage.get("/api/v1/runs", &ada).problem(403);
    stage.get("/api/v1/runs?repository=other/secret", &ada).problem(403);
    assert_eq!(stage.get("/api/v1/runs?repository=acme/read", &ada).status, 200);
    // The story's runs are of a repository that is not at the forge.
    stage.get("/api/v1/runs/aa01", &ada).problem(403);
    stage.get("/api/v1/runs/aa01/logs/test/1", &ada).problem(403);
    stage.get("/api/v1/deliveries", &ada).problem(403);
    for repository in ["../user", "acme/read/../../user", "acme", "acme/..", ""] {
        stage.get(&format!("/api/v1/runs?repository={repository}"), &ada).problem(403);
    }
    let start = |repository: &str| {
        let request = stage.bench.request("POST", "/api/v1/runs").header("cookie", format!("tidegate={ada}")).header("tidegate-csrf", "1");
        stage.bench.send(request.json(&json!({ "repository": repository, "pipeline": "x.yaml" })))
    };
    start("acme/read").problem(403);
    start("other/secret").problem(403);
    assert_eq!(start("acme/write").status, 202);
    let root = stage.session("root");
    assert_eq!(stage.get("/api/v1/whoami", &root).json()["scopes"], json!(["admin"]));
    assert_eq!(stage.get("/api/v1/runs/aa01/logs/test/1", &root).status, 200);
    assert_eq!(stage.get("/api/v1/deliveries", &root).status, 200);
}

#[test]
fn another_site_can_not_have_a_session_do_anything() {
    let stage = stage();
    let root = stage.session("root");
    let post = |headers: &[(&str, &str)]| {
        let mut request = stage.bench.request("POST", "/api/v1/runs/aa01/rerun").header("cookie", format!("tidegate={root}")).json(&json!({}));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        stage.bench.send(request)
    };
    post(&[]).problem(403);
    post(&[("origin", "http://127.0.0.1:7171")]).problem(403);
    post(&[("tidegate-csrf", "1"), ("origin", "https://evil.example")]).problem(403);
    post(&[("tidegate-csrf", "1"), ("origin", "null")]).problem(403);
    post(&[("tidegate-csrf", "1"), ("origin", "http://127.0.0.1:7171.evil.example")]).problem(403);
    assert_eq!(stage.bench.commands(), []);
    assert_eq!(post(&[("tidegate-csrf", "1"), ("origin", "http://127.0.0.1:7171")]).status, 202);
    // No other site is ever told that it may send that header.
    let asked = stage
        .bench
        .request("OPTIONS", "/api/v1/runs/aa01/rerun")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST");
    let answer = stage.bench.send(asked);
    assert!(answer.status >= 400 && answer.header("access-control-allow-origin").is_empty());
}

#[test]
fn a_log_in_is_ended_once_by_the_browser_that_began_it() {
    let stage = stage();
    let (state, began, code) = stage.at_github("/login", "ada");
    // Somebody is sent an address with the state and code of another one.
    stage.back(&state, "", &code).problem(403);
    stage.back(&state, "tidegate_login=other", &code).problem(403);
    let (_, mine, _) = stage.at_github("/login", "eve");
    stage.back(&state, &format!("tidegate_login={mine}"), &code).problem(403);
    let cookies = format!("tidegate_login={began}");
    stage.back("made-up", "tidegate_login=made-up", &code).problem(403);
    assert_eq!(stage.back(&state, &cookies, &code).status, 303);
    stage.back(&state, &cookies, &code).problem(403);
    // A code that was not given for this verifier.
    let (state, began, _) = stage.at_github("/login", "ada");
    let (_, _, stolen) = stage.at_github("/login", "root");
    stage.back(&state, &format!("tidegate_login={began}"), &stolen).problem(403);
}

/// What comes back from GitHub comes from a browser, so from anybody. A fault would be one that somebody can cause as often as they like.
#[test]
fn nothing_that_comes_back_from_a_log_in_is_a_fault() {
    let stage = stage();
    let (_, _, good) = stage.at_github("/login", "ada");
    let long = "x".repeat(300);
    let words = ["", "%00", "%ff%fe", "%0d%0aSet-Cookie:x=y", "../../user", "%F0%9F%9A%AA", "a%26client_secret%3Db", "'%20OR%20''='", long.as_str()];
    for code in words {
        // Begun rightly, with a code that GitHub has not given.
        let (state, began, _) = stage.at_github("/login", "ada");
        let back = stage.back(&state, &format!("tidegate_login={began}"), code);
        back.problem(403);
        assert_eq!(cookie(&back, "tidegate"), None);
        // And a state that nobody has begun, in the cookie as well or not.
        stage.back(code, "", &good).problem(403);
        stage.back(code, &format!("tidegate_login={}", code.replace('%', "")), &good).problem(403);
    }
    let ask = |path: &str| stage.bench.send(stage.bench.request("GET", path));
    for wrong in ["code=x", "", "state=a&state=b", &format!("state={}", "x".repeat(400)), &format!("state=a&code={}", "x".repeat(400))] {
        ask(&format!("/login/callback?{wrong}")).problem(400);
    }
    // GitHub says no, or says things that it does not say.
    for more in ["error=access_denied", "error=%00", "error=%3Cscript%3E", "error=x&unknown=1", "iss=https://github.com"] {
        let (state, began, _) = stage.at_github("/login", "ada");
        let request = stage.bench.request("GET", &format!("/login/callback?state={state}&{more}"));
        stage.bench.send(request.header("cookie", format!("tidegate_login={began}"))).problem(403);
    }
    for wrong in [format!("to={}", "x".repeat(400)), "to=a&to=b".to_owned(), "unknown=1".to_owned()] {
        ask(&format!("/login?{wrong}")).problem(400);
    }
    // After all that, somebody who may still can.
    assert!(!stage.session("ada").is_empty());
}

#[test]
fn a_session_that_was_there_before_is_worth_nothing_after() {
    let stage = stage();
    let old = stage.session("ada");
    let (state, began, code) = stage.at_github("/login", "root");
    let back = stage.back(&state, &format!("tidegate_login={began}; tidegate={old}"), &code);
    let new = cookie(&back, "tidegate").expect("a session");
    assert_ne!(new, old);
    assert_eq!(stage.get("/api/v1/whoami", &old).status, 401);
    assert_eq!(stage.get("/api/v1/whoami", &new).json()["name"], "@root");
    // What somebody else has put there is no session.
    let (state, began, code) = stage.at_github("/login", "root");
    let back = stage.back(&state, &format!("tidegate_login={began}; tidegate=fixed-by-eve"), &code);
    assert_ne!(cookie(&back, "tidegate").as_deref(), Some("fixed-by-eve"));
    let out = stage.bench.send(stage.bench.request("POST", "/logout").header("cookie", format!("tidegate={new}")).header("tidegate-csrf", "1"));
    assert_eq!(out.status, 204);
    assert_eq!(stage.get("/api/v1/whoami", &new).status, 401);
}

#[test]
fn nobody_is_sent_to_another_site_after_logging_in() {
    let stage = stage();
    for (to, expected) in [
        ("/runs/aa01", "/runs/aa01"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/%5Cevil.example", "/"),
        ("/%0d%0aSet-Cookie:x", "/"),
    ] {
        let (state, began, code) = stage.at_github(&format!("/login?to={to}"), "ada");
        let back = stage.back(&state, &format!("tidegate_login={began}"), &code);
        assert_eq!((back.status, back.header("location")), (303, expected), "{to}");
    }
}
