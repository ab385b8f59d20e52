//! The same id more than once, at once, and in another order.

use tidegate::adapters::deliveries::Replayed;
use tidegate::model::delivery::Handled;
use tidegate::model::id::DeliveryId;
use tidegate::model::time::Timestamp;

use crate::client::Post;
use crate::server::Server;

#[test]
fn one_id_is_one_delivery_also_when_fifty_come_at_once() {
    let server = Server::start();
    let post = Post::new("same", "push", r#"{"ref":"refs/heads/main"}"#);
    let begin = std::sync::Barrier::new(50);
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = || {
            begin.wait();
            post.send(server.address).status
        };
        let all: Vec<_> = (0..50).map(|_| scope.spawn(send)).collect();
        all.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200; 49], vec![202]].concat());
    assert_eq!(server.ids(), ["same"]);
    let again = post.send(server.address);
    assert_eq!((again.status, again.json()["stored"].as_str()), (200, Some("already")));

    let id = DeliveryId::new("same");
    server.runtime.block_on(server.deliveries.mark_handled(&id, Timestamp::EPOCH, Handled::Asked { runs: Vec::new() })).expect("written");
    assert_eq!(post.send(server.address).status, 200, "also when it has long been handled");
    assert_eq!(server.runtime.block_on(server.deliveries.waiting(10)), Ok(Vec::new()), "and it does not wait again");
}

#[test]
fn another_body_under_a_known_id_is_neither_taken_nor_swallowed() {
    let server = Server::start();
    assert_eq!(Post::new("same", "push", "{}").send(server.address).status, 202);
    for other in [Post::new("same", "push", "{\"a\":1}"), Post::new("same", "ping", "{}")] {
        let answer = other.send(server.address);
        assert_eq!(answer.status, 409, "{answer:?}");
    }
    assert_eq!(server.ids(), ["same"]);
}

#[test]
fn what_came_first_waits_first_whatever_is_sent_again_or_replayed() {
    let server = Server::start();
    let post = |id: &str| Post::new(id, "push", format!(r#"{{"after":"{id}"}}"#)).send(server.address).status;
    // The later of two pushes came first: they wait as they came, and it is git that says what is where.
    for id in ["second", "first", "third"] {
        assert_eq!(post(id), 202);
    }
    assert_eq!(post("first"), 200);
    let waiting =
        || server.runtime.block_on(server.deliveries.waiting(10)).expect("read").into_iter().map(|known| known.id.to_string()).collect::<Vec<_>>();
    assert_eq!(waiting(), ["second", "first", "third"]);
    for id in ["third", "first"] {
        let id = DeliveryId::new(id);
        server.runtime.block_on(server.deliveries.mark_handled(&id, Timestamp::EPOCH, Handled::Asked { runs: Vec::new() })).expect("written");
    }
    assert_eq!(waiting(), ["second"]);
    for id in ["third", "first"] {
        assert_eq!(server.runtime.block_on(server.deliveries.replay(&DeliveryId::new(id))), Ok(Replayed::Waiting));
    }
    assert_eq!(waiting(), ["second", "first", "third"]);
}
