mod crash;
mod logs;
mod older;

use super::*;
use crate::model::id::RunId;

fn delivery(id: &str, body: &str) -> Delivery {
    Delivery { id: DeliveryId::new(id), event: "push".to_owned(), received: Timestamp::from_micros(1_000_000), body: body.as_bytes().to_vec() }
}

fn asked(run: &str) -> Handled {
    Handled::Asked { runs: vec![RunId::new(run)] }
}

fn open(folder: &Path) -> Deliveries {
    Deliveries::open(folder, Keep::default()).expect("opens")
}

fn ids(known: &[Known]) -> Vec<&str> {
    known.iter().map(|one| one.id.as_str()).collect()
}

#[tokio::test]
async fn what_was_stored_waits_in_order_until_it_is_handled_and_is_there_after_a_new_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    for id in ["b", "a", "c"] {
        assert_eq!(store.store(delivery(id, "{}")).await, Ok(Stored::New));
    }
    assert_eq!(ids(&store.waiting(10).await.expect("read")), ["b", "a", "c"]);
    assert_eq!(ids(&store.waiting(2).await.expect("read")), ["b", "a"]);
    store.mark_missed(&DeliveryId::new("b"), "the network is down".to_owned()).await.expect("written");
    store.mark_handled(&DeliveryId::new("a"), Timestamp::from_micros(7), asked("r1")).await.expect("written");
    drop(store);

    let store = open(folder.path());
    assert_eq!(ids(&store.waiting(10).await.expect("read")), ["b", "c"]);
    let known = store.list(Filter::default(), Page { before: None, limit: 10 }).await.expect("read");
    assert_eq!(ids(&known), ["c", "a", "b"], "newest first");
    assert_eq!((known[2].attempts, known[2].missed.as_deref()), (1, Some("the network is down")));
    assert_eq!(known[1].state, State::Handled { at: Timestamp::from_micros(7), how: asked("r1") });
    assert_eq!(ids(&store.list(Filter { waiting: Some(false), event: None }, Page { before: None, limit: 10 }).await.expect("read")), ["a"]);
    assert_eq!(ids(&store.list(Filter::default(), Page { before: Some(3), limit: 1 }).await.expect("read")), ["a"]);
    assert_eq!(store.load(&DeliveryId::new("b")).await, Ok(Some(delivery("b", "{}"))));
    assert_eq!(store.load(&DeliveryId::new("nobody")).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_is_stored_once_however_many_bring_it_and_however_late() {
    let folder = tempfile::tempdir().expect("a folder");
    let stores = [open(folder.path()), open(folder.path())];
    let all: Vec<_> =
        (0..50).map(|n| stores[n % 2].clone()).map(|store| tokio::spawn(async move { store.store(delivery("x", "{}")).await })).collect();
    let mut new = 0;
    for one in all {
        match one.await.expect("no panic").expect("stored") {
            Stored::New => new += 1,
            other => assert_eq!(other, Stored::AlreadyThere),
        }
    }
    assert_eq!(new, 1);
    let [store, _] = stores;
    store.mark_handled(&DeliveryId::new("x"), Timestamp::EPOCH, asked("r1")).await.expect("written");
    assert_eq!(store.store(delivery("x", "{}")).await, Ok(Stored::AlreadyThere));
    assert_eq!(store.store(delivery("x", "[]")).await, Ok(Stored::Taken), "another body under a known id is not swallowed");
    assert_eq!(store.waiting(10).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_replay_puts_it_back_where_its_body_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let id = DeliveryId::new("x");
    assert_eq!(store.replay(&id).await, Ok(Replayed::Unknown));
    store.store(delivery("x", "{}")).await.expect("stored");
    assert_eq!(store.replay(&id).await, Ok(Replayed::AlreadyWaiting));
    store.mark_handled(&id, Timestamp::EPOCH, asked("r1")).await.expect("written");
    assert_eq!(store.replay(&id).await, Ok(Replayed::Waiting));
    assert_eq!(ids(&store.waiting(10).await.expect("read")), ["x"]);
}

#[tokio::test]
async fn bodies_go_when_they_are_old_or_too_many_ids_never_and_what_waits_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let keep = Keep { time: Duration::from_secs(10), bytes: 100 };
    let store = Deliveries::open(folder.path(), keep).expect("opens");
    let body = "x".repeat(60);
    let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
    store.store(Delivery { received: at(1), ..delivery("old", "{}") }).await.expect("stored");
    store.store(Delivery { received: at(2), ..delivery("waits", "{}") }).await.expect("stored");
    store.mark_handled(&DeliveryId::new("old"), at(2), asked("r1")).await.expect("written");
    assert!(store.load(&DeliveryId::new("old")).await.expect("read").is_some());
    for id in ["1", "2", "3"] {
        store.store(Delivery { received: at(20), ..delivery(id, &body) }).await.expect("stored");
        store.mark_handled(&DeliveryId::new(id), at(20), asked("r1")).await.expect("written");
    }
    let known = store.list(Filter::default(), Page { before: None, limit: 10 }).await.expect("read");
    let kept: Vec<_> = known.iter().filter(|one| one.kept).map(|one| one.id.as_str()).collect();
    assert_eq!(kept, ["3", "waits"]);
    assert_eq!(store.replay(&DeliveryId::new("old")).await, Ok(Replayed::Dropped));
    assert_eq!(store.store(Delivery { received: at(30), ..delivery("old", "{}") }).await, Ok(Stored::AlreadyThere));
    assert_eq!(known.len(), 5);
}

#[tokio::test]
async fn when_too_much_waits_nothing_more_is_taken_and_it_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Deliveries::open(folder.path(), Keep { bytes: 100, ..Keep::default() }).expect("opens");
    let body = "x".repeat(150);
    for id in ["1", "2"] {
        assert_eq!(store.store(delivery(id, &body)).await, Ok(Stored::New));
    }
    assert!(matches!(store.store(delivery("3", "{}")).await, Err(DeliveriesError::Full(_))));
    assert_eq!(store.store(delivery("1", &body)).await, Ok(Stored::AlreadyThere));
    store.mark_handled(&DeliveryId::new("1"), Timestamp::EPOCH, asked("r1")).await.expect("written");
    assert_eq!(store.store(delivery("3", "{}")).await, Ok(Stored::New));
    assert_eq!(store.list(Filter::default(), Page { before: None, limit: 10 }).await.expect("read").len(), 3);
}

#[tokio::test]
async fn another_programs_database_and_a_newer_one_are_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    Connection::open(folder.path().join("deliveries.db")).expect("opens").pragma_update(None, "user_version", 9).expect("written");
    assert!(matches!(Deliveries::open(folder.path(), Keep::default()), Err(DeliveriesError::TooNew { found: 9, .. })));
    let folder = tempfile::tempdir().expect("a folder");
    Connection::open(folder.path().join("deliveries.db")).expect("opens").execute_batch("CREATE TABLE bookmarks (url TEXT)").expect("theirs");
    let error = Deliveries::open(folder.path(), Keep::default()).expect_err("not ours").to_string();
    assert!(error.contains("another program"), "{error}");
}

#[tokio::test]
async fn ids_are_found_by_their_beginning() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    for id in ["ab1", "ab2", "ab", "b"] {
        store.store(delivery(id, "{}")).await.expect("stored");
    }
    for (asked, found) in
        [("ab", vec!["ab"]), ("ab1", vec!["ab1"]), ("a", vec!["ab1", "ab2"]), ("b", vec!["b"]), ("c", vec![]), ("", vec![]), ("a%", vec![])]
    {
        assert_eq!(ids(&store.find(asked).await.expect("read")), found, "{asked}");
    }
}
