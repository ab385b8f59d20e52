//! The power was lost, or a byte: what the index did not know any more, and what the log does not hold any more.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use super::*;

/// A store whose index was lost after the first of some deliveries, as when the power is: their bodies are in the log.
async fn beyond_the_index(folder: &Path, ids: &[&str]) {
    let store = open(folder);
    store.store(delivery(ids[0], "{\"first\":1}")).await.expect("stored");
    drop(store);
    let index = folder.join("deliveries.db");
    let early = std::fs::read(&index).expect("the index");
    let store = open(folder);
    for id in &ids[1..] {
        store.store(delivery(id, &format!("{{\"is\":\"{id}\"}}"))).await.expect("stored");
    }
    drop(store);
    assert!(!folder.join("deliveries.db-wal").exists(), "the last one who closes it writes it back");
    std::fs::write(index, early).expect("written");
}

fn log(folder: &Path) -> std::fs::File {
    OpenOptions::new().read(true).write(true).open(folder.join("deliveries/1.log")).expect("a log")
}

/// Where some bytes stand in the log.
fn place(folder: &Path, what: &str) -> u64 {
    let bytes = std::fs::read(folder.join("deliveries/1.log")).expect("a log");
    bytes.windows(what.len()).position(|window| window == what.as_bytes()).expect("it is there") as u64
}

async fn bodies(store: &Deliveries) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for known in store.waiting(100).await.expect("read") {
        let whole = store.load(&known.id).await.expect("read").expect("kept");
        found.push((known.id.to_string(), String::from_utf8(whole.body).expect("text")));
    }
    found
}

fn named(ids: &[&str]) -> Vec<(String, String)> {
    let body = |id: &&str| if *id == "a" { "{\"first\":1}".to_owned() } else { format!("{{\"is\":\"{id}\"}}") };
    ids.iter().map(|id| ((*id).to_owned(), body(id))).collect()
}

#[tokio::test]
async fn what_the_index_lost_is_read_from_the_log_and_each_is_there_once() {
    let folder = tempfile::tempdir().expect("a folder");
    beyond_the_index(folder.path(), &["a", "b", "c"]).await;
    for _ in 0..2 {
        let stores = [open(folder.path()), open(folder.path())];
        assert_eq!(bodies(&stores[0]).await, named(&["a", "b", "c"]));
        assert_eq!(stores[1].store(delivery("c", "{\"is\":\"c\"}")).await, Ok(Stored::AlreadyThere));
        assert_eq!(stores[1].store(delivery("c", "{\"is\":\"d\"}")).await, Ok(Stored::Taken));
    }
}

#[tokio::test]
async fn an_index_that_is_gone_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    beyond_the_index(folder.path(), &["a", "b"]).await;
    std::fs::remove_file(folder.path().join("deliveries.db")).expect("removed");
    assert_eq!(bodies(&open(folder.path())).await, named(&["a", "b"]));
}

#[tokio::test]
async fn a_record_that_was_not_written_to_its_end_is_none_and_is_written_over() {
    for cut in [1, 5, 12] {
        let folder = tempfile::tempdir().expect("a folder");
        beyond_the_index(folder.path(), &["a", "b", "c"]).await;
        // The last one: as a file that ends early, and as one whose last blocks were never written.
        let end = place(folder.path(), "{\"is\":\"c\"}") + 10;
        if cut == 5 {
            log(folder.path()).set_len(end - cut).expect("cut");
        } else {
            log(folder.path()).write_all_at(&vec![0; usize::try_from(cut).expect("small")], end - cut).expect("written");
        }
        let store = open(folder.path());
        assert_eq!(bodies(&store).await, named(&["a", "b"]), "{cut}");
        assert_eq!(store.store(delivery("d", "{\"is\":\"d\"}")).await, Ok(Stored::New));
        assert_eq!(store.store(delivery("c", "{\"is\":\"c\"}")).await, Ok(Stored::New), "nobody was told that it was stored");
        drop(store);
        assert_eq!(bodies(&open(folder.path())).await, named(&["a", "b", "d", "c"]));
    }
}

#[tokio::test]
async fn behind_a_changed_byte_nothing_is_believed_that_the_index_does_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    beyond_the_index(folder.path(), &["a", "b", "c"]).await;
    let at = place(folder.path(), "{\"is\":\"b\"}");
    log(folder.path()).write_all_at(b"[", at).expect("written");
    assert_eq!(bodies(&open(folder.path())).await, named(&["a"]));
}

#[tokio::test]
async fn a_body_that_is_damaged_is_said_to_be_and_keeps_no_other_one_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    for id in ["b", "c"] {
        store.store(delivery(id, &format!("{{\"is\":\"{id}\"}}"))).await.expect("stored");
    }
    let at = place(folder.path(), "{\"is\":\"b\"}");
    log(folder.path()).write_all_at(b"[", at).expect("written");
    let error = store.load(&DeliveryId::new("b")).await.expect_err("damaged").to_string();
    assert!(error.contains("the body of b is damaged") && error.contains("1.log"), "{error}");
    assert!(store.load(&DeliveryId::new("c")).await.expect("read").is_some());
    assert_eq!(store.store(delivery("d", "{}")).await, Ok(Stored::New));
    std::fs::remove_file(folder.path().join("deliveries/1.log")).expect("removed");
    drop(store);
    let store = open(folder.path());
    assert!(store.load(&DeliveryId::new("c")).await.is_err_and(|error| error.to_string().contains("not there")));
    // What comes then is kept all the same.
    assert_eq!(store.store(delivery("e", "{}")).await, Ok(Stored::New));
    assert_eq!(store.load(&DeliveryId::new("e")).await, Ok(Some(delivery("e", "{}"))));
    drop(store);
    assert_eq!(open(folder.path()).load(&DeliveryId::new("e")).await, Ok(Some(delivery("e", "{}"))));
}

#[tokio::test]
async fn a_damaged_body_that_comes_again_is_whole_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, id) = (delivery("b", "{\"is\":\"b\"}"), DeliveryId::new("b"));
    let store = open(folder.path());
    for delivery in [one.clone(), delivery("c", "{}")] {
        store.store(delivery).await.expect("stored");
    }
    for fails in [false, true] {
        let at = place(folder.path(), "{\"is\":\"b\"}");
        log(folder.path()).write_all_at(b"[", at).expect("written");
        assert!(matches!(store.load(&id).await, Err(DeliveriesError::Damaged(_))));
        if fails {
            store.mark_damaged(&id, Timestamp::EPOCH, "its body is damaged".to_owned()).await.expect("written");
            assert_eq!(ids(&store.waiting(10).await.expect("read")), ["c"]);
        }
        assert_eq!(store.store(delivery("b", "{\"is\":\"x\"}")).await, Ok(Stored::AlreadyThere), "who can say that it was not so?");
        assert_eq!(store.load(&id).await, Ok(Some(delivery("b", "{\"is\":\"x\"}"))));
        let at = place(folder.path(), "{\"is\":\"x\"}");
        log(folder.path()).write_all_at(b"[", at).expect("written");
        let again = || Delivery { received: Timestamp::from_micros(7), ..one.clone() };
        assert_eq!(store.store(again()).await, Ok(Stored::AlreadyThere));
        assert_eq!(store.store(again()).await, Ok(Stored::AlreadyThere), "and it is not stored twice");
        assert_eq!(store.load(&id).await, Ok(Some(one.clone())), "received when it came first: its runs are called after that");
        // Whoever had read the damaged one before is late.
        store.mark_damaged(&id, Timestamp::EPOCH, "its body is damaged".to_owned()).await.expect("written");
        assert_eq!(ids(&store.waiting(10).await.expect("read")), ["b", "c"], "one that failed waits again");
    }
}

#[tokio::test]
async fn that_a_body_came_again_is_not_forgotten_with_the_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = delivery("b", "{\"is\":\"b\"}");
    open(folder.path()).store(one.clone()).await.expect("stored");
    let index = folder.path().join("deliveries.db");
    let early = std::fs::read(&index).expect("the index");
    log(folder.path()).write_all_at(b"[", place(folder.path(), "{\"is\":\"b\"}")).expect("written");
    assert_eq!(open(folder.path()).store(one.clone()).await, Ok(Stored::AlreadyThere));
    std::fs::write(index, early).expect("written");
    for _ in 0..2 {
        let store = open(folder.path());
        assert_eq!(store.load(&one.id).await, Ok(Some(one.clone())));
        assert_eq!(ids(&store.waiting(10).await.expect("read")), ["b"]);
    }
}

#[tokio::test]
async fn what_can_not_be_written_is_refused_and_nothing_of_it_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let in_the_way = folder.path().join("deliveries/1.log");
    std::fs::create_dir(&in_the_way).expect("a folder");
    for _ in 0..2 {
        assert!(matches!(store.store(delivery("b", "{\"is\":\"b\"}")).await, Err(DeliveriesError::Write(_))));
    }
    assert_eq!(store.list(Filter::default(), Page { before: None, limit: 10 }).await, Ok(Vec::new()));
    std::fs::remove_dir(in_the_way).expect("removed");
    assert_eq!(store.store(delivery("b", "{\"is\":\"b\"}")).await, Ok(Stored::New));
    assert_eq!(bodies(&store).await, named(&["b"]));
}
