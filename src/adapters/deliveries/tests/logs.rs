//! The files: their form, what leaves them, who may read them.

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use proptest::prelude::*;

use super::super::log::{self, End, Log};
use super::super::record::{self, Record};
use super::*;

const BEGIN: End = End { segment: 1, place: 0, chain: 0 };

/// Appends them at an end, and says where they end.
fn append(folder: &Path, at: End, all: &[Delivery]) -> End {
    let mut end = at;
    let records: Vec<(Record, &[u8])> = all
        .iter()
        .map(|one| {
            let record = Record::of(one, one.received, end.chain).expect("short");
            end = end.behind((record.head.len() + one.body.len()) as u64, record.sum);
            (record, one.body.as_slice())
        })
        .collect();
    Log::new(folder.to_owned()).append(at, &records).expect("written");
    end
}

#[test]
fn what_an_earlier_end_has_left_behind_a_newer_one_is_no_part_of_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let begin = append(folder.path(), BEGIN, &[delivery("0", "{}")]);
    // A process that died before the index knew of these: nobody was told that they are stored.
    append(folder.path(), begin, &[delivery("1", "{\"a\":1}"), delivery("2", "{}")]);
    let end = append(folder.path(), begin, &[delivery("3", "{\"a\":2}")]);
    let whole = log::read(folder.path(), end.segment, end.place).expect("read").expect("whole, as it happens to begin there");
    assert_eq!(whole.delivery.id.as_str(), "2");
    assert!(log::next(folder.path(), end).expect("read").is_none());
    let (at, found) = log::next(folder.path(), begin).expect("read").expect("the newer one");
    assert_eq!((at, found.delivery), (begin, delivery("3", "{\"a\":2}")));
}

#[test]
fn more_records_than_one_write_takes_are_all_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let all: Vec<Delivery> = (0..1500).map(|n| delivery(&n.to_string(), &"x".repeat(n % 7))).collect();
    let end = append(folder.path(), BEGIN, &all);
    let mut at = BEGIN;
    for one in all {
        let (here, found) = log::next(folder.path(), at).expect("read").expect("there");
        assert_eq!(found.delivery, one);
        at = here.behind(found.length, found.sum);
    }
    assert_eq!(at, end);
    assert!(log::next(folder.path(), end).expect("read").is_none());
}

#[test]
fn lengths_that_lie_are_no_record() {
    let folder = tempfile::tempdir().expect("a folder");
    append(folder.path(), BEGIN, &[delivery("1", "{}")]);
    let file = std::fs::File::options().read(true).write(true).open(log::path(folder.path(), 1)).expect("a log");
    for at in [16, 20, 24] {
        for lie in [0_u32, 3, 1 << 20, u32::MAX] {
            let mut truth = [0; 4];
            file.read_exact_at(&mut truth, at).expect("read");
            if lie.to_le_bytes() != truth {
                file.write_all_at(&lie.to_le_bytes(), at).expect("written");
                assert!(record::read(&file, 0).expect("read").is_none(), "{lie} at {at}");
            }
            file.write_all_at(&truth, at).expect("written");
        }
    }
    assert!(record::read(&file, 0).expect("read").is_some());
    assert!(record::read(&file, u64::MAX).expect("read").is_none());
}

proptest! {
    #[test]
    fn no_bytes_make_it_fall_over(bytes in proptest::collection::vec(any::<u8>(), 0..200), place in 0_u64..200) {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&bytes, 0).expect("written");
        prop_assert!(record::read(&file, place).expect("read").is_none());
    }
}

#[tokio::test]
async fn files_leave_the_disk_when_nothing_of_them_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let keep = Keep { bytes: 50 << 20, ..Keep::default() };
    let store = Deliveries::open(folder.path(), keep).expect("opens");
    let large = "x".repeat(23 << 20);
    let there = |number: u64| folder.path().join(format!("deliveries/{number}.log")).exists();
    for id in ["1", "2", "3", "4"] {
        assert_eq!(store.store(delivery(id, &large)).await, Ok(Stored::New));
    }
    assert!(there(1) && there(2), "the first is as long as a file becomes");
    for id in ["1", "2", "3"] {
        assert!(there(1), "something of it is kept");
        store.mark_handled(&DeliveryId::new(id), Timestamp::EPOCH, asked("r1")).await.expect("written");
    }
    // The next answer comes after the files of the last batch have been looked at.
    assert_eq!(store.store(delivery("5", "{}")).await, Ok(Stored::New));
    let known = store.list(Filter::default(), Page { before: None, limit: 10 }).await.expect("read");
    let kept: Vec<_> = known.iter().filter(|one| one.kept).map(|one| one.id.as_str()).collect();
    assert_eq!(kept, ["5", "4", "3"], "as much as may be kept");
    store.mark_handled(&DeliveryId::new("4"), Timestamp::EPOCH, asked("r1")).await.expect("written");
    store.store(delivery("6", &large)).await.expect("stored");
    assert_eq!(store.store(delivery("7", "{}")).await, Ok(Stored::New));
    assert!(!there(1) && there(2));
    assert_eq!(store.load(&DeliveryId::new("1")).await, Ok(None));
    assert_eq!(store.load(&DeliveryId::new("4")).await.expect("read").expect("kept").body.len(), large.len());
    drop(store);

    // One that a server left behind that died before it could take it away.
    std::fs::write(folder.path().join("deliveries/1.log"), "left").expect("written");
    let store = Deliveries::open(folder.path(), keep).expect("opens");
    assert!(!there(1) && there(2));
    assert!(store.load(&DeliveryId::new("4")).await.expect("read").is_some());
}

#[tokio::test]
async fn nobody_else_may_read_them() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).store(delivery("1", "{}")).await.expect("stored");
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("deliveries"), mode("deliveries/1.log")), (0o700, 0o600));
}
