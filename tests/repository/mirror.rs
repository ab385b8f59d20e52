//! Mirrors, filled from real git over HTTP.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tidegate::adapters::source::Revision;
use tidegate::adapters::source::mirror::{MirrorError, Mirrors, Wanted};
use tidegate::adapters::state::StateFolder;
use tidegate::model::id::CommitId;
use tidegate::model::secret::Secret;

use crate::git_http::GitHttp;

pub struct Scene {
    pub place: TempDir,
    pub mirrors: Mirrors,
    pub git: GitHttp,
}

pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .output()
        .expect("git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Scene {
    pub async fn new() -> Self {
        let place = tempfile::tempdir().expect("a folder");
        let work = place.path().join("work");
        std::fs::create_dir_all(place.path().join("served/acme")).expect("made");
        std::fs::create_dir(&work).expect("made");
        git(&work, &["init", "-q"]);
        git(place.path(), &["init", "-q", "--bare", "served/acme/shop.git"]);
        git(&work, &["remote", "add", "origin", place.path().join("served/acme/shop.git").to_str().expect("UTF-8")]);
        let state = StateFolder::open(place.path().join("state")).expect("a state folder");
        let git = GitHttp::serve(&place.path().join("served")).await;
        Self { mirrors: Mirrors::open(&state).expect("mirrors"), git, place }
    }

    pub fn commit(&self, text: &str, push: &str) -> CommitId {
        let work = self.place.path().join("work");
        std::fs::write(work.join("door.txt"), text).expect("written");
        git(&work, &["add", "."]);
        git(&work, &["commit", "-qm", text]);
        git(&work, &["push", "-q", "--force", "origin", &format!("HEAD:{push}")]);
        CommitId::new(git(&work, &["rev-parse", "HEAD"]))
    }

    pub async fn fetch(&self, wanted: Wanted, token: Option<&str>) -> Result<CommitId, MirrorError> {
        let (mirrors, url, token) = (self.mirrors.clone(), self.git.url("acme/shop"), token.map(Secret::new));
        tokio::task::spawn_blocking(move || Ok(mirrors.fetch("acme/shop", &url, &wanted, token.as_ref())?.1)).await.expect("it returns")
    }
}

pub fn main_branch() -> Wanted {
    Wanted { reference: Some("refs/heads/main".to_owned()), ..Wanted::default() }
}

pub fn at(commit: &CommitId) -> Wanted {
    Wanted { commit: Some(commit.clone()), ..main_branch() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_brought_once_and_then_taken_without_asking() {
    let scene = Scene::new().await;
    let first = scene.commit("oak", "refs/heads/main");
    assert_eq!(scene.fetch(main_branch(), None).await.expect("fetched"), first);
    let second = scene.commit("ash", "refs/heads/main");
    assert_eq!(scene.fetch(at(&second), None).await.expect("fetched"), second);
    let asked = scene.git.requests();
    assert_eq!(scene.fetch(at(&first), None).await.expect("here"), first);
    assert_eq!(scene.git.requests(), asked, "nobody was asked");
    let source = scene.mirrors.source("acme/shop").expect("a mirror");
    assert_eq!(source.read("door.txt", &Revision::Commit(first), 99).expect("read"), b"oak");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forced_away_is_still_fetched_by_its_name() {
    let scene = Scene::new().await;
    let old = scene.commit("oak", "refs/heads/main");
    git(&scene.place.path().join("work"), &["checkout", "-q", "--orphan", "other"]);
    let new = scene.commit("ash", "refs/heads/main");
    assert_eq!(scene.fetch(main_branch(), None).await.expect("fetched"), new);
    assert_eq!(scene.fetch(at(&old), None).await.expect("fetched by name"), old);
    let mirror = scene.mirrors.source("acme/shop").expect("a mirror").root().to_owned();
    assert_eq!(git(&mirror, &["for-each-ref", "--format=%(refname)"]), "refs/tidegate/heads/main");
}

/// With a reference for each commit every fetch would offer them all, and take the longer the more there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_stays_without_a_reference_of_its_own() {
    let scene = Scene::new().await;
    let old = scene.commit("oak", "refs/heads/main");
    assert_eq!(scene.fetch(at(&old), None).await.expect("fetched"), old);
    git(&scene.place.path().join("work"), &["checkout", "-q", "--orphan", "other"]);
    for text in ["ash", "elm"] {
        let new = scene.commit(text, "refs/heads/main");
        assert_eq!(scene.fetch(at(&new), None).await.expect("fetched"), new);
    }
    let mirror = scene.mirrors.source("acme/shop").expect("a mirror").root().to_owned();
    assert_eq!(git(&mirror, &["for-each-ref", "--format=%(refname)"]), "refs/tidegate/heads/main");
    git(&mirror, &["gc", "-q"]);
    let asked = scene.git.requests();
    assert_eq!(scene.fetch(at(&old), None).await.expect("it is here"), old);
    assert_eq!(scene.git.requests(), asked, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_gone_and_not_tried_for_ever() {
    let scene = Scene::new().await;
    scene.commit("oak", "refs/heads/main");
    let wanted = Wanted { reference: Some("refs/heads/absent".to_owned()), ..Wanted::default() };
    let error = scene.fetch(wanted, None).await.expect_err("no such branch");
    assert_eq!(error.to_string(), "acme/shop has no refs/heads/absent (any more)");
    assert!(!error.is_passing());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_not_there_although_it_was_fetched_before() {
    let scene = Scene::new().await;
    scene.commit("oak", "refs/heads/main");
    scene.commit("ash", "refs/heads/topic");
    let there = async |name: &'static str| {
        let (mirrors, url) = (scene.mirrors.clone(), scene.git.url("acme/shop"));
        tokio::task::spawn_blocking(move || mirrors.is_there("acme/shop", &url, name, None)).await.expect("it returns").expect("it answers")
    };
    scene.fetch(Wanted { reference: Some("refs/heads/topic".to_owned()), ..Wanted::default() }, None).await.expect("fetched");
    assert!(there("refs/heads/topic").await);
    git(&scene.place.path().join("work"), &["push", "-q", "origin", ":refs/heads/topic"]);
    assert!(!there("refs/heads/topic").await);
    assert!(there("refs/heads/main").await);
}

/// Of a commit that something names by its number only.
#[tokio::test(flavor = "multi_thread")]
async fn the_branches_that_end_at_a_commit_are_named_and_nothing_else_is() {
    let scene = Scene::new().await;
    let oak = scene.commit("oak", "refs/heads/main");
    let push = |reference: &str| git(&scene.place.path().join("work"), &["push", "-q", "origin", &format!("HEAD:{reference}")]);
    for reference in ["refs/heads/topic", "refs/tags/v1", "refs/pull/7/head"] {
        push(reference);
    }
    let ash = scene.commit("ash", "refs/heads/other");
    let at = async |commit: &str| {
        let (mirrors, url, commit) = (scene.mirrors.clone(), scene.git.url("acme/shop"), CommitId::new(commit));
        tokio::task::spawn_blocking(move || mirrors.branches_at("acme/shop", &url, &commit, None)).await.expect("it returns").expect("it answers")
    };
    assert_eq!(at(oak.as_str()).await, ["refs/heads/main", "refs/heads/topic"]);
    assert_eq!(at(ash.as_str()).await, ["refs/heads/other"]);
    scene.commit("elm", "refs/heads/other");
    assert_eq!(at(ash.as_str()).await, Vec::<String>::new());
    assert_eq!(at("no commit").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_repository_is_fetched_with_a_token_that_no_error_holds() {
    let scene = Scene::new().await;
    let commit = scene.commit("oak", "refs/heads/main");
    scene.git.require("hunter2-token");
    assert_eq!(scene.fetch(at(&commit), Some("hunter2-token")).await.expect("fetched"), commit);
    let other = scene.commit("ash", "refs/heads/main");
    let error = scene.fetch(at(&other), Some("wrong-token")).await.expect_err("refused");
    assert!(error.to_string().contains("401") && !error.to_string().contains("wrong-token"), "{error}");
    assert!(error.is_passing(), "tokens are changed");
}

/// The server of a repository sends us elsewhere, to have our token.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirection_to_another_host_is_not_followed() {
    let scene = Scene::new().await;
    let commit = scene.commit("oak", "refs/heads/main");
    let thief = GitHttp::serve(&scene.place.path().join("served")).await;
    scene.git.redirect(&format!("http://localhost:{}", thief.address.port()));
    let error = scene.fetch(at(&commit), Some("hunter2-token")).await.expect_err("not followed");
    assert!(error.to_string().contains("another host"), "{error}");
    assert_eq!(thief.requests(), 0);
}

/// Names come from outside: none may be a refspec of its own, or write over what is ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_is_one_reference() {
    let scene = Scene::new().await;
    let commit = scene.commit("oak", "refs/heads/main");
    for name in
        ["refs/heads/*", "+refs/heads/main:refs/heads/stolen", "refs/heads/main:refs/tidegate/commits/x", "HEAD", "--upload-pack=id", "refs/../x"]
    {
        let error = scene.fetch(Wanted { reference: Some(name.to_owned()), ..Wanted::default() }, None).await.expect_err(name);
        assert!(error.to_string().contains("(any more)"), "{error}");
    }
    assert_eq!(scene.fetch(Wanted { reference: Some("refs/heads/*".to_owned()), ..at(&commit) }, None).await.expect("by name"), commit);
    for name in ["refs/heads/main:refs/tidegate/heads/stolen", "refs/heads/*:refs/tidegate/heads/*", "main", &commit.as_str()[..10]] {
        let error = scene.fetch(Wanted { commit: Some(CommitId::new(name)), ..Wanted::default() }, None).await.expect_err(name);
        assert!(error.to_string().contains("(any more)"), "{error}");
    }
    let mirror = scene.mirrors.source("acme/shop").expect("a mirror").root().to_owned();
    assert_eq!(git(&mirror, &["for-each-ref"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_want_the_same_repository() {
    let scene = Scene::new().await;
    let commit = scene.commit("oak", "refs/heads/main");
    let all = futures_util::future::join_all((0..8).map(|_| scene.fetch(at(&commit), None))).await;
    assert!(all.into_iter().all(|one| one.expect("fetched") == commit));
    assert_eq!(scene.git.requests(), 2, "one of them asked, the others waited");
}

/// A branch that is gone stands in the way of one that has its name as a folder, and the other way round: they would be a file and a folder.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_makes_room_for_what_has_come_and_for_nothing_else() {
    let scene = Scene::new().await;
    let push = |what: &str| git(&scene.place.path().join("work"), &["push", "-q", "origin", what]);
    let branch = |name: &str| Wanted { reference: Some(format!("refs/heads/{name}")), also: vec!["refs/heads/main".to_owned()], ..Wanted::default() };
    let names = || {
        let mirror = scene.mirrors.source("acme/shop").expect("a mirror").root().to_owned();
        git(&mirror, &["for-each-ref", "--format=%(refname:lstrip=3)"])
    };
    let mut last = scene.commit("oak", "refs/heads/main");
    for (number, (gone, come)) in [("doors", "doors/oak"), ("doors/oak", "doors/oak/old/1"), ("doors/oak/old/1", "doors")].into_iter().enumerate() {
        push(&format!("HEAD:refs/heads/{gone}"));
        assert_eq!(scene.fetch(branch(gone), None).await.expect("fetched"), last);
        // Somebody names what is not there: what is there stays.
        scene.fetch(branch(come), None).await.expect_err("not there");
        assert_eq!(names(), format!("{gone}\nmain"));
        push(&format!(":refs/heads/{gone}"));
        last = scene.commit(&format!("door {number}"), "refs/heads/main");
        push(&format!("HEAD:refs/heads/{come}"));
        assert_eq!(scene.fetch(branch(come), None).await.expect("there is room"), last);
        assert_eq!(names(), format!("{come}\nmain"));
        assert_eq!(scene.mirrors.resolve("acme/shop", "refs/heads/main"), Some(last.clone()));
    }
}

/// The policy of the default branch would be the one of some time ago.
#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_fresh_is_not_what_was_fetched_before() {
    let scene = Scene::new().await;
    let commit = scene.commit("oak", "refs/heads/main");
    let fresh = || Wanted { fresh: true, ..at(&commit) };
    assert_eq!(scene.fetch(fresh(), None).await.expect("fetched"), commit);
    scene.git.require("hunter2-token");
    let error = scene.fetch(fresh(), None).await.expect_err("nobody says what is there now");
    assert!(error.is_passing() && error.to_string().contains("401"), "{error}");
    assert_eq!(scene.fetch(at(&commit), None).await.expect("it is here"), commit);
    // What is gone is gone, and keeps nobody.
    let gone = Wanted { reference: Some("refs/heads/gone".to_owned()), also: vec!["refs/heads/main".to_owned()], ..fresh() };
    assert_eq!(scene.fetch(gone, Some("hunter2-token")).await.expect("by its name"), commit);
}

/// A branch that is renamed would be what it was for ever, and so would its policy.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_not_what_was_fetched_before() {
    let scene = Scene::new().await;
    let main = scene.commit("oak", "refs/heads/main");
    let push = |what: &str| git(&scene.place.path().join("work"), &["push", "-q", "origin", what]);
    for name in ["refs/heads/topic", "refs/tags/v1"] {
        let wanted = |fresh| Wanted { reference: Some(name.to_owned()), also: vec!["refs/heads/main".to_owned()], fresh, ..Wanted::default() };
        push(&format!("HEAD:{name}"));
        assert_eq!(scene.fetch(wanted(true), None).await.expect("fetched"), main);
        push(&format!(":{name}"));
        for fresh in [true, false] {
            let asked = scene.git.requests();
            let error = scene.fetch(wanted(fresh), None).await.expect_err("it was deleted");
            assert_eq!(error.to_string(), format!("acme/shop has no {name} (any more)"));
            assert!(!error.is_passing());
            assert_eq!(scene.git.requests() - asked, 1);
        }
        assert_eq!(scene.mirrors.resolve("acme/shop", name), None);
        assert_eq!(scene.mirrors.resolve("acme/shop", "refs/heads/main"), Some(main.clone()), "the others stay");
    }
    // The default branch is called something else now, and at last nothing is there.
    let ash = scene.commit("ash", "refs/heads/trunk");
    let served = scene.place.path().join("served/acme/shop.git");
    git(&served, &["update-ref", "-d", "refs/heads/main"]);
    let fresh = |commit: Option<&CommitId>| Wanted { commit: commit.cloned(), fresh: true, ..main_branch() };
    let trunk = Wanted { reference: Some("refs/heads/trunk".to_owned()), also: vec!["refs/heads/main".to_owned()], ..fresh(Some(&ash)) };
    assert_eq!(scene.fetch(trunk, None).await.expect("fetched"), ash);
    assert_eq!(scene.mirrors.resolve("acme/shop", "refs/heads/main"), None);
    git(&served, &["update-ref", "-d", "refs/heads/trunk"]);
    for wanted in [main_branch(), fresh(None), Wanted { reference: Some("refs/heads/trunk".to_owned()), ..fresh(None) }] {
        let error = scene.fetch(wanted, None).await.expect_err("nothing is there");
        assert!(!error.is_passing() && error.to_string().contains("(any more)"), "{error}");
    }
    // What they led to stays.
    assert_eq!(scene.fetch(fresh(Some(&ash)), None).await.expect("by its name"), ash);
    let asked = scene.git.requests();
    assert_eq!(scene.fetch(at(&main), None).await.expect("it is here"), main);
    assert_eq!(scene.git.requests(), asked, "nobody was asked");
}

/// Whatever a mirror has by now: one request for what is there, and one for what is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_is_two_requests_however_much_is_there_already() {
    let scene = Scene::new().await;
    for number in 0..50 {
        scene.commit(&format!("door {number}"), "refs/heads/main");
    }
    scene.fetch(main_branch(), None).await.expect("fetched");
    let mirror = scene.mirrors.source("acme/shop").expect("a mirror").root().to_owned();
    for text in ["ash", "elm"] {
        let (asked, new) = (scene.git.requests(), scene.commit(text, "refs/heads/main"));
        assert_eq!(scene.fetch(at(&new), None).await.expect("fetched"), new);
        assert_eq!(scene.git.requests() - asked, 2);
    }
    // Only what was new was sent: a commit, a tree and a file each.
    let sizes = git(&mirror, &["count-objects", "-v"]);
    assert!(sizes.contains("in-pack: 156\n") && sizes.contains("packs: 3\n"), "{sizes}");
    git(&mirror, &["fsck", "--full", "--no-dangling"]);
}

/// History was written anew: of the newest that are here the other side knows none any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_side_has_forgotten_keeps_nobody_from_fetching() {
    let scene = Scene::new().await;
    let (work, served) = (scene.place.path().join("work"), scene.place.path().join("served/acme/shop.git"));
    let main = scene.commit("oak", "refs/heads/main");
    for number in 0..50 {
        scene.commit(&format!("door {number}"), "refs/heads/topic");
    }
    let topic = Wanted { reference: Some("refs/heads/topic".to_owned()), also: vec!["refs/heads/main".to_owned()], ..Wanted::default() };
    scene.fetch(topic, None).await.expect("fetched");
    git(&work, &["push", "-q", "origin", ":refs/heads/topic"]);
    git(&served, &["-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now"]);
    git(&work, &["reset", "-q", "--hard", main.as_str()]);
    let new = scene.commit("ash", "refs/heads/main");
    assert_eq!(scene.fetch(at(&new), None).await.expect("fetched"), new);
    let source = scene.mirrors.source("acme/shop").expect("a mirror");
    assert_eq!(source.read("door.txt", &Revision::Commit(new), 99).expect("read"), b"ash");
    git(source.root(), &["fsck", "--full", "--no-dangling"]);
}
