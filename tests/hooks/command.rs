//! `tidegate deliveries`, over a state folder without a server.

use tidegate::adapters::deliveries::{Deliveries, Keep};
use tidegate::model::delivery::{Delivery, Handled};
use tidegate::model::id::{DeliveryId, RunId};
use tidegate::model::time::Timestamp;

use crate::support::World;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros((1_790_000_000 + seconds) * 1_000_000)
}

/// One of each kind.
fn world() -> World {
    let world = World::new();
    let push = r#"{"ref":"refs/heads/main","after":"1111111111111111111111111111111111111111","head_commit":null,
        "repository":{"id":7,"full_name":"acme/shop","clone_url":"https://github.com/acme/shop.git","default_branch":"main"},
        "sender":{"login":"ada","id":1},"title":"\u001b[2J"}"#;
    let all = [
        ("72d3162e-0001", "push", push, Some(Handled::Asked { runs: vec![RunId::new("r1"), RunId::new("r2")] })),
        ("72d3162e-0002", "watch", "{}", Some(Handled::Ignored { because: "nothing is done for watch".to_owned() })),
        ("72d3162e-0003", "issue_comment", "{}", Some(Handled::Refused { because: "mallory may only read \u{1b}[2J".to_owned() })),
        ("72d3162e-0004", "push", "{}", Some(Handled::Failed { why: "the body of push has no ref".to_owned() })),
        ("72d3162e-0005", "push", push, None),
        ("9a000000-0006", "ping", "{\"zen\":\"Keep it logically awesome.\"}", None),
    ];
    std::fs::set_permissions(world.state(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("private");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = Deliveries::open(&world.state(), Keep::default()).expect("a store");
        for (number, (id, event, body, handled)) in (0..).zip(all) {
            let id = DeliveryId::new(id);
            let delivery = Delivery { id: id.clone(), event: event.to_owned(), received: at(number), body: body.as_bytes().to_vec() };
            store.store(delivery).await.expect("stored");
            if let Some(how) = handled {
                store.mark_handled(&id, at(100 + number), how).await.expect("written");
            }
        }
        store.mark_missed(&DeliveryId::new("72d3162e-0005"), "the forge can not be reached".to_owned()).await.expect("written");
    });
    world
}

#[test]
fn what_has_come_is_listed_and_shown() {
    let world = world();
    insta::assert_snapshot!(world.tidegate(&["deliveries", "ls"]).expect(0).out);
    insta::assert_snapshot!(world.tidegate(&["deliveries", "ls", "--json", "--state", "handled", "--limit", "2"]).expect(0).out);
    insta::assert_snapshot!(world.tidegate(&["deliveries", "show", "72d3162e-0001"]).expect(0).out);
    insta::assert_snapshot!(world.tidegate(&["deliveries", "show", "9a", "--json"]).expect(0).out);
    let waiting = world.tidegate(&["deliveries", "ls", "--state", "waiting", "--event", "push"]).expect(0).out;
    assert!(waiting.lines().count() == 1 && waiting.contains("72d3162e-0005"), "{waiting}");
    world.tidegate(&["deliveries", "ls", "--event", "release"]).expect(0).says("no such deliveries");
}

#[test]
fn a_replay_waits_again_and_what_is_not_there_is_said() {
    let world = world();
    world.tidegate(&["deliveries", "replay", "72d3162e-0001"]).expect(0).says("72d3162e-0001 waits again");
    world.tidegate(&["deliveries", "replay", "72d3162e-0001"]).expect(0).says("waits already");
    let seen = world.tidegate(&["deliveries", "ls", "--state", "waiting"]).expect(0).out;
    assert!(seen.contains("72d3162e-0001"), "{seen}");
    world.tidegate(&["deliveries", "replay", "72d3162e"]).expect(2).says("more than one delivery begins with");
    world.tidegate(&["deliveries", "show", "nobody"]).expect(2).says("there is no delivery \"nobody\"");

    let empty = World::new();
    empty.tidegate(&["deliveries", "ls"]).expect(0).says("There are no deliveries yet");
    empty.tidegate(&["deliveries", "replay", "x"]).expect(2).says("there is no delivery");
    assert!(!empty.state().join("deliveries.db").exists(), "looking makes nothing");
}
