//! Every example of every event that GitHub has.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::adapters::deliveries::{Replayed, State};
use tidegate::adapters::trigger::github::understand;
use tidegate::model::delivery::{Delivery, Handled};
use tidegate::model::event::Event;
use tidegate::model::id::DeliveryId;
use tidegate::model::time::Timestamp;
use tidegate::model::trigger::{Trigger, Wish};

use crate::client::SECRET;
use crate::octokit;
use crate::server::Server;

/// What of a trigger is decided by it, in one line.
fn line(trigger: &Trigger) -> String {
    let of = |what: &str, event: &Event| {
        let Event { kind, reference, branch, commit, params, context, .. } = event;
        let pull = context.pull.as_ref().map(|pull| {
            let side = |side: &tidegate::model::event::Side| format!("{}:{}", side.repository, side.branch);
            format!(
                ", #{} {}{} → {} by {} ({:?})",
                pull.number,
                if pull.fork { "fork " } else { "" },
                side(&pull.head),
                side(&pull.base),
                pull.author.login,
                pull.association
            )
        });
        let environment = context.environment.as_ref().map(|environment| format!(", environment {environment}"));
        format!(
            "{what} {} {reference}, branch {}, at {}{}{}{}",
            kind.word(),
            branch.as_deref().unwrap_or("-"),
            if commit.as_str().is_empty() { "?" } else { commit.short() },
            pull.unwrap_or_default(),
            environment.unwrap_or_default(),
            if params.is_empty() { String::new() } else { format!(", {params:?}") },
        )
    };
    let wish = match &trigger.wish {
        Wish::Happened(event) => of("happened:", event),
        Wish::Closed { event } => of("closed:", event),
        Wish::Nothing { because } => format!("nothing: {because}"),
        other => format!("{other:?}"),
    };
    let repository = trigger.repository.as_ref().map_or("-".to_owned(), |repository| format!("{} by", repository.name));
    format!("{repository} {}: {wish}", trigger.actor.as_ref().map_or("-", |actor| &actor.login))
}

#[test]
fn every_example_is_taken_stored_understood_and_can_be_replayed() {
    let Some(octokit) = octokit::folder("examples::every_example_is_taken_stored_understood_and_can_be_replayed") else { return };
    let server = Server::start();
    let url = format!("http://{}/hooks/github", server.address);
    let sent = octokit::send_all(&octokit, &url, SECRET, "json");
    assert_eq!(sent.len(), 329);
    assert_eq!(sent.iter().map(|sent| &sent.event).collect::<BTreeSet<_>>().len(), 58);
    for one in &sent {
        assert_eq!((one.status, one.said["stored"].as_str()), (202, Some("new")), "{} {:?}", one.event, one.said);
    }
    assert_eq!(server.ids(), sent.iter().map(|sent| sent.id.clone()).collect::<Vec<_>>(), "in the order of arrival");

    let mut told: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for one in &sent {
        let id = DeliveryId::new(one.id.as_str());
        let delivery = server.runtime.block_on(server.deliveries.load(&id)).expect("read").expect("stored");
        let trigger = understand(&delivery).unwrap_or_else(|error| panic!("{error}"));
        let action = one.action.as_ref().map(|action| format!(" {action}")).unwrap_or_default();
        *told.entry(format!("{}{action}", one.event)).or_default().entry(line(&trigger)).or_default() += 1;

        server.runtime.block_on(async {
            server.deliveries.mark_handled(&id, Timestamp::EPOCH, Handled::Asked { runs: Vec::new() }).await.expect("written");
            assert_eq!(server.deliveries.replay(&id).await, Ok(Replayed::Waiting));
        });
    }
    assert!(server.stored().iter().all(|known| known.state == State::Waiting && known.attempts == 1));
    let told: String = told
        .iter()
        .map(|(event, lines)| format!("{event}\n{}", lines.iter().map(|(line, n)| format!("  {n} × {line}\n")).collect::<String>()))
        .collect();
    insta::assert_snapshot!(told);

    let again = octokit::send_all(&octokit, &url, SECRET, "json");
    assert!(again.iter().all(|one| one.status == 200 && one.said["stored"] == "already"), "the same ids once more");
    assert_eq!(server.stored().len(), 329);
    let forged = octokit::send_all(&octokit, &url, "another secret", "json");
    assert!(forged.iter().all(|one| one.status == 401));
}

#[test]
fn a_form_holds_the_same_as_json() {
    let Some(octokit) = octokit::folder("examples::a_form_holds_the_same_as_json") else { return };
    let server = Server::start();
    let url = format!("http://{}/hooks/github", server.address);
    let sent = octokit::send_all(&octokit, &url, SECRET, "form");
    let examples = octokit::examples(&octokit);
    assert_eq!(sent.len(), examples.len());
    for (one, (_, example)) in sent.iter().zip(&examples) {
        assert_eq!(one.status, 202, "{}", one.event);
        let id = DeliveryId::new(one.id.as_str());
        let delivery = server.runtime.block_on(server.deliveries.load(&id)).expect("read").expect("stored");
        assert_eq!(&serde_json::from_slice::<serde_json::Value>(&delivery.body).expect("JSON"), example);
    }
}

#[test]
fn a_pull_request_of_a_fork_is_told_from_one_of_the_repository() {
    let Some(octokit) = octokit::folder("examples::a_pull_request_of_a_fork_is_told_from_one_of_the_repository") else { return };
    let mut seen = 0;
    for (event, example) in octokit::examples(&octokit).into_iter().filter(|(event, _)| event == "pull_request") {
        let fork_of = |body: &serde_json::Value| {
            let body = body.to_string().into_bytes();
            let delivery = Delivery { id: DeliveryId::new("d"), event: event.clone(), received: Timestamp::EPOCH, body };
            match understand(&delivery).expect("understood").wish {
                Wish::Happened(event) | Wish::Closed { event } => event.context.pull.expect("a pull request"),
                other => panic!("{other:?}"),
            }
        };
        let same = example["pull_request"]["head"]["repo"]["id"] == example["pull_request"]["base"]["repo"]["id"];
        assert_eq!(fork_of(&example).fork, !same);

        // Somebody's fork; one that took the repository's name; one that was removed.
        let mut fork = example.clone();
        fork["pull_request"]["head"]["repo"]["id"] = 666.into();
        assert!(fork_of(&fork).fork, "of the same name, and another one all the same");
        fork["pull_request"]["head"]["repo"]["full_name"] = "mallory/shop".into();
        let found = fork_of(&fork);
        assert_eq!((found.fork, found.head.repository.as_str()), (true, "mallory/shop"));
        fork["pull_request"]["head"]["repo"] = serde_json::Value::Null;
        assert_eq!((fork_of(&fork).fork, fork_of(&fork).head.repository.as_str()), (true, ""));
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}
