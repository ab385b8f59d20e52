use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::event::{Association, Event, EventKind};
use crate::model::id::DeliveryId;
use crate::model::time::Timestamp;
use crate::model::trigger::{About, Command};

const HEAD: &str = "1111111111111111111111111111111111111111";
const BASE: &str = "2222222222222222222222222222222222222222";
const ZERO: &str = "0000000000000000000000000000000000000000";

fn deliver(event: &str, body: &Value) -> Result<Trigger, Misunderstood> {
    let body = body.to_string().into_bytes();
    understand(&Delivery { id: DeliveryId::new("d1"), event: event.to_owned(), received: Timestamp::EPOCH, body })
}

fn wish(event: &str, body: &Value) -> Wish {
    deliver(event, body).unwrap_or_else(|error| panic!("{error}")).wish
}

fn happened(event: &str, body: &Value) -> Event {
    match wish(event, body) {
        Wish::Happened(event) => *event,
        other => panic!("{other:?}"),
    }
}

fn because(event: &str, body: &Value) -> String {
    match wish(event, body) {
        Wish::Nothing { because } => because,
        other => panic!("{other:?}"),
    }
}

fn error(event: &str, body: &Value) -> String {
    deliver(event, body).expect_err("it is not understood").to_string()
}

/// A body with what most have, and with `more`.
fn body(more: Value) -> Value {
    let mut body = json!({
        "repository": {"id": 7, "full_name": "acme/shop", "clone_url": "https://github.com/acme/shop.git", "default_branch": "main", "private": false},
        "sender": {"login": "ada", "id": 1, "type": "User"},
        "installation": {"id": 99},
    });
    merge(&mut body, more);
    body
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => more.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value)),
        (into, more) => *into = more,
    }
}

fn push(more: Value) -> Value {
    let mut all = body(json!({
        "ref": "refs/heads/main", "before": BASE, "after": HEAD, "created": false, "deleted": false, "forced": false,
        "head_commit": {"id": HEAD, "message": "Fix it\n\nAt last", "author": {"name": "Ada L."}},
    }));
    merge(&mut all, more);
    all
}

fn pull(action: &str, more: Value) -> Value {
    let side = |branch: &str, sha: &str| json!({"ref": branch, "sha": sha, "repo": {"id": 7, "full_name": "acme/shop"}});
    let mut all = body(json!({"action": action, "pull_request": {
        "number": 5, "title": "A change", "user": {"login": "eve", "id": 2, "type": "User"}, "author_association": "MEMBER",
        "head": side("topic", HEAD), "base": side("main", BASE), "draft": false, "labels": [{"name": "deploy"}],
    }}));
    merge(&mut all, more);
    all
}

fn comment(action: &str, text: &str, more: Value) -> Value {
    let mut all = body(json!({
        "action": action, "issue": {"number": 5, "pull_request": {"url": "…"}},
        "comment": {"id": 12, "body": text, "user": {"login": "ada", "id": 1, "type": "User"}, "performed_via_github_app": null},
    }));
    merge(&mut all, more);
    all
}

#[test]
fn a_push_is_of_a_branch_or_a_tag_new_forced_or_a_removal() {
    let trigger = deliver("push", &push(json!({}))).expect("understood");
    let repository = trigger.repository.expect("a repository");
    assert_eq!((repository.id, repository.name.as_str(), repository.installation, repository.private), (7, "acme/shop", Some(99), false));
    assert_eq!(trigger.actor.map(|actor| (actor.login, actor.id, actor.bot)), Some(("ada".to_owned(), 1, false)));

    let event = happened("push", &push(json!({})));
    assert_eq!((event.kind, event.reference.as_str(), event.branch.as_deref()), (EventKind::Push, "refs/heads/main", Some("main")));
    assert_eq!((event.commit.as_str(), event.subject.as_str(), event.author.as_str()), (HEAD, "Fix it", "Ada L."));
    assert_eq!((event.context.before.map(|id| id.to_string()).as_deref(), event.context.action), (Some(BASE), None));
    assert_eq!(event.context.delivery, Some(DeliveryId::new("d1")));
    assert_eq!((event.context.default_branch.as_deref(), event.context.installation), (Some("main"), Some(99)));

    let new = happened("push", &push(json!({"created": true, "before": ZERO})));
    assert_eq!((new.context.before, new.context.action.as_deref()), (None, Some("created")));
    assert_eq!(happened("push", &push(json!({"forced": true}))).context.action.as_deref(), Some("forced"));

    let tag = "3333333333333333333333333333333333333333";
    let tag = happened("push", &push(json!({"ref": "refs/tags/v1", "after": tag})));
    assert_eq!((tag.branch, tag.commit.as_str()), (None, HEAD), "what an annotated tag stands for");
    let bare = happened("push", &push(json!({"head_commit": null})));
    assert_eq!((bare.commit.as_str(), bare.subject.as_str()), (HEAD, ""));

    for gone in [json!({"deleted": true, "after": ZERO, "head_commit": null}), json!({"after": ZERO}), json!({"deleted": true})] {
        assert_eq!(wish("push", &push(gone)), Wish::Deleted { reference: "refs/heads/main".to_owned() });
    }
}

#[test]
fn a_pull_request_is_its_head_and_a_fork_is_told_by_number() {
    let event = happened("pull_request", &pull("synchronize", json!({})));
    assert_eq!((event.commit.as_str(), event.reference.as_str(), event.branch.as_deref()), (HEAD, "refs/pull/5/head", Some("main")));
    assert_eq!(event.context.action.as_deref(), Some("synchronize"));
    let found = event.context.pull.expect("a pull request");
    assert_eq!((found.number, found.author.login.as_str(), found.association, found.fork), (5, "eve", Association::Member, false));
    assert_eq!((found.base.commit.as_str(), found.labels.as_slice()), (BASE, &["deploy".to_owned()][..]));

    for (head, repository) in [
        (json!({"repo": {"id": 8, "full_name": "eve/shop"}}), "eve/shop"),
        (json!({"repo": {"id": 8, "full_name": "acme/shop"}}), "acme/shop"),
        (json!({"repo": {"id": null, "full_name": "acme/shop"}}), "acme/shop"),
        (json!({"repo": null}), ""),
    ] {
        let event = happened("pull_request", &pull("opened", json!({"pull_request": {"head": head}})));
        let found = event.context.pull.expect("a pull request");
        assert_eq!((found.fork, found.head.repository.as_str()), (true, repository));
    }
    let unknown = happened("pull_request", &pull("opened", json!({"pull_request": {"author_association": "SAINT"}})));
    assert_eq!(unknown.context.pull.map(|pull| pull.association), Some(Association::None));
    assert!(matches!(wish("pull_request", &pull("closed", json!({}))), Wish::Closed { event } if event.context.action.as_deref() == Some("closed")));
}

#[test]
fn a_command_is_a_new_comment_of_a_person() {
    let run = Wish::Command { about: About::Pull(5), comment: 12, command: Command::Cancel };
    assert_eq!(wish("issue_comment", &comment("created", "/tidegate cancel", json!({}))), run);
    let issue = comment("created", "/tidegate cancel", json!({"issue": {"pull_request": null}}));
    assert_eq!(wish("issue_comment", &issue), Wish::Command { about: About::Issue(5), comment: 12, command: Command::Cancel });

    let at = |commit: Value| {
        body(json!({"action": "created", "comment": {"id": 12, "body": "/tidegate cancel", "commit_id": commit, "user": {"login": "ada", "id": 1}}}))
    };
    let commit = crate::model::id::CommitId::new(HEAD);
    assert_eq!(wish("commit_comment", &at(json!(HEAD))), Wish::Command { about: About::Commit(commit), comment: 12, command: Command::Cancel });
    assert!(error("commit_comment", &at(json!("main"))).starts_with("comment.commit_id of commit_comment is "));
    assert_eq!(error("commit_comment", &at(Value::Null)), "the body of commit_comment has no comment.commit_id");

    for action in ["edited", "deleted", ""] {
        assert!(because("issue_comment", &comment(action, "/tidegate cancel", json!({}))).contains("new comment"));
    }
    let bot = json!({"comment": {"user": {"login": "helper[bot]"}}});
    let app = json!({"comment": {"performed_via_github_app": {"id": 3}}});
    for by in [bot, json!({"comment": {"user": {"type": "Bot"}}}), app] {
        assert!(because("issue_comment", &comment("created", "/tidegate cancel", by)).contains("program"));
    }
    let other = json!({"sender": {"id": 2}});
    assert!(because("issue_comment", &comment("created", "/tidegate approve", other)).contains("somebody else"));
    assert!(because("issue_comment", &comment("created", "Nice", json!({}))).contains("no command"));
}

#[test]
fn checks_are_asked_for_again_and_have_buttons() {
    let check = |action: &str, external: Value| {
        body(json!({"action": action, "check_run": {"head_sha": HEAD, "external_id": external}, "requested_action": {"identifier": "promote"}}))
    };
    let commit = || crate::model::id::CommitId::new(HEAD);
    assert_eq!(wish("check_run", &check("rerequested", json!("r1"))), Wish::Rerun { external: Some("r1".to_owned()), commit: commit() });
    assert_eq!(wish("check_run", &check("rerequested", json!(""))), Wish::Rerun { external: None, commit: commit() });
    let pressed = Wish::Pressed { external: "r1".to_owned(), identifier: "promote".to_owned() };
    assert_eq!(wish("check_run", &check("requested_action", json!("r1"))), pressed);
    assert!(because("check_run", &check("requested_action", json!(null))).contains("none of Tidegate's"));
    // That of a step of a long matrix comes back whole, or it would be no step's.
    let long = format!("r1/build ({})", "a long value, ".repeat(100));
    let pressed = Wish::Pressed { external: long.clone(), identifier: "promote".to_owned() };
    assert_eq!(wish("check_run", &check("requested_action", json!(long))), pressed);
    assert_eq!(wish("check_run", &check("rerequested", json!(long))), Wish::Rerun { external: Some(long), commit: commit() });
    for foreign in ["r1\u{1b}[2J".to_owned(), "x".repeat(20_000)] {
        assert!(because("check_run", &check("requested_action", json!(foreign))).contains("none of Tidegate's"));
        assert!(because("check_run", &check("rerequested", json!(foreign))).contains("none of Tidegate's"));
    }
    assert!(because("check_run", &check("completed", json!("r1"))).contains("completed"));
    let suite = |action: &str| body(json!({"action": action, "check_suite": {"head_sha": HEAD}}));
    assert_eq!(wish("check_suite", &suite("rerequested")), Wish::Rerun { external: None, commit: commit() });
    assert!(because("check_suite", &suite("requested")).contains("pushes"));
}

#[test]
fn releases_deployments_merge_groups_and_dispatches() {
    let release = |more: Value| {
        let mut all = body(json!({"action": "published", "release": {"tag_name": "v1", "draft": false}}));
        merge(&mut all, more);
        all
    };
    let event = happened("release", &release(json!({})));
    assert_eq!((event.reference.as_str(), event.commit.as_str(), event.branch), ("refs/tags/v1", "", None));
    assert!(because("release", &release(json!({"release": {"draft": true}}))).contains("draft"));

    let deployment = |reference: &str| body(json!({"action": "created", "deployment": {"sha": HEAD, "ref": reference, "environment": "production"}}));
    let event = happened("deployment", &deployment("main"));
    assert_eq!((event.commit.as_str(), event.context.environment.as_deref()), (HEAD, Some("production")));
    assert_eq!((event.reference.as_str(), event.branch), ("", None), "a tag can be called main");
    assert_eq!(happened("deployment", &deployment("refs/heads/main")).branch.as_deref(), Some("main"));

    let group = |action: &str| {
        let head = json!({"message": "Merge #5\n", "author": {"name": "Ada"}});
        body(
            json!({"action": action, "merge_group": {"head_sha": HEAD, "head_ref": "refs/heads/queue/5", "base_sha": BASE, "base_ref": "refs/heads/main", "head_commit": head}}),
        )
    };
    let event = happened("merge_group", &group("checks_requested"));
    assert_eq!((event.branch.as_deref(), event.reference.as_str(), event.subject.as_str()), (Some("main"), "refs/heads/queue/5", "Merge #5"));
    assert_eq!(wish("merge_group", &group("destroyed")), Wish::Deleted { reference: "refs/heads/queue/5".to_owned() });

    let payload = json!({"text": "a\nb", "n": 3, "yes": true, "none": null, "list": [1], "map": {}});
    let event = happened("repository_dispatch", &body(json!({"action": "load-test", "branch": "main", "client_payload": payload})));
    let params: Vec<_> = event.params.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(params, [("n", "3"), ("text", "a\nb"), ("yes", "true")]);
    assert_eq!((event.context.action.as_deref(), event.branch.as_deref(), event.commit.as_str()), (Some("load-test"), Some("main"), ""));
}

#[test]
fn what_asks_for_nothing_says_why() {
    assert_eq!(because("watch", &json!({})), "nothing is done for watch");
    assert_eq!(because("no_such\u{1b}event", &json!({})), "nothing is done for no_such\u{fffd}event");
    assert!(because("workflow_dispatch", &body(json!({}))).contains("by hand"));
    assert_eq!(because("create", &body(json!({}))), "a push says the same");
    assert_eq!(wish("ping", &json!({"zen": "Keep it\nlogically awesome."})), Wish::Ping { zen: "Keep it\u{fffd}logically awesome.".to_owned() });
    let change = Wish::Installation { id: 99, change: "suspend".to_owned() };
    assert_eq!(wish("installation", &json!({"action": "suspend", "installation": {"id": 99}})), change);
}

#[test]
fn what_is_missing_or_odd_is_named() {
    assert_eq!(error("push", &json!({})), "the body of push has no ref");
    let mut homeless = push(json!({}));
    homeless["repository"] = Value::Null;
    assert_eq!(error("push", &homeless), "the body of push has no repository");
    assert_eq!(error("pull_request", &pull("opened", json!({"pull_request": {"head": null}}))), "the body of pull_request has no pull_request.head");
    assert_eq!(error("installation", &json!({"action": "created"})), "the body of installation has no installation.id");
    assert!(error("push", &push(json!({"after": 5}))).contains("expected a string"), "{}", error("push", &push(json!({"after": 5}))));
    for (what, odd) in [
        ("after", json!({"after": "--upload-pack=id"})),
        ("after", json!({"after": HEAD.to_uppercase().replace('1', "A")})),
        ("ref", json!({"ref": "main"})),
        ("ref", json!({"ref": format!("refs/heads/{}", "x".repeat(300))})),
        ("repository.full_name", json!({"repository": {"full_name": "../../etc"}})),
        ("repository.full_name", json!({"repository": {"full_name": "acme/.."}})),
        ("repository.full_name", json!({"repository": {"full_name": "acme"}})),
        ("repository.clone_url", json!({"repository": {"clone_url": "ext::sh -c id"}})),
        ("repository.clone_url", json!({"repository": {"clone_url": "file:///etc"}})),
        ("repository.clone_url", json!({"repository": {"clone_url": "https://a b"}})),
        ("repository.default_branch", json!({"repository": {"default_branch": ""}})),
    ] {
        let said = error("push", &push(odd));
        assert!(said.starts_with(&format!("{what} of push is ")), "{said}");
    }
    let payload = |payload: Value| error("repository_dispatch", &body(json!({"action": "a", "branch": "main", "client_payload": payload})));
    assert!(payload(json!({"a": "x".repeat(10_001)})).contains("at most 32 values"));
    assert!(payload(json!({"a": "zero\u{0}"})).contains("control characters"));
    let many: serde_json::Map<String, Value> = (0..33).map(|n| (format!("k{n}"), json!(n))).collect();
    assert!(payload(Value::Object(many)).contains("at most 32 values"));
}

#[test]
fn text_is_clean_and_short_wherever_it_came_from() {
    let hostile = format!("\x1b[2J\u{202e}{}", "x".repeat(100_000));
    let event = happened("push", &push(json!({"head_commit": {"message": hostile, "author": {"name": hostile}}, "sender": {"login": hostile}})));
    let actor = event.context.actor.expect("an actor").login;
    for text in [event.subject, event.author, actor] {
        assert!(text.chars().count() <= 200 && !text.contains(['\x1b', '\u{202e}']), "{text}");
    }
}

/// Any JSON, often with the words that are looked for.
fn any_json() -> impl Strategy<Value = Value> {
    let word = || {
        prop::sample::select(vec![
            "action",
            "repository",
            "id",
            "full_name",
            "clone_url",
            "default_branch",
            "sender",
            "login",
            "type",
            "ref",
            "before",
            "after",
            "deleted",
            "head_commit",
            "pull_request",
            "number",
            "head",
            "base",
            "sha",
            "repo",
            "user",
            "labels",
            "comment",
            "body",
            "issue",
            "check_run",
            "head_sha",
            "external_id",
            "check_suite",
            "requested_action",
            "release",
            "tag_name",
            "deployment",
            "merge_group",
            "head_ref",
            "client_payload",
            "branch",
            "installation",
            "zen",
        ])
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        prop::sample::select(vec![
            "created",
            "opened",
            "rerequested",
            "requested_action",
            "refs/heads/main",
            "a/b",
            "https://a/b",
            "/tidegate run",
            HEAD
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 120, 12, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            6 => prop::collection::hash_map(word().prop_map(str::to_owned), inner, 0..12).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const EVENTS: [&str; 15] = [
    "commit_comment",
    "push",
    "pull_request",
    "issue_comment",
    "check_run",
    "check_suite",
    "release",
    "deployment",
    "merge_group",
    "repository_dispatch",
    "installation",
    "installation_repositories",
    "ping",
    "create",
    "watch",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_json_makes_it_panic_and_what_it_names_is_what_it_says(found in any_json(), event in prop::sample::select(&EVENTS[..])) {
        if let Ok(Trigger { wish: Wish::Happened(event) | Wish::Closed { event }, repository, .. }) = deliver(event, &found) {
            prop_assert!(event.commit.as_str().is_empty() || event.commit.as_str().len() == 40);
            prop_assert!(repository.is_some_and(|repository| repository.url.starts_with("http")));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(found in prop::collection::vec(any::<u8>(), 0..200), event in prop::sample::select(&EVENTS[..])) {
        let _ = understand(&Delivery { id: DeliveryId::new("d"), event: event.to_owned(), received: Timestamp::EPOCH, body: found });
    }
}
