//! Stores of earlier versions.

use super::super::schema::MIGRATIONS;
use super::*;

/// As the first version left it: bodies in a table.
fn first_version(folder: &Path) {
    let connection = Connection::open(folder.join("deliveries.db")).expect("opens");
    connection.execute_batch(MIGRATIONS[0]).expect("made");
    connection
        .execute_batch(
            r#"PRAGMA application_id = 0x74696464; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
            INSERT INTO deliveries (id, event, received, bytes, kept, waiting) VALUES ('gone', 'push', 1000000, 9, 0, 0), ('done', 'push', 1000000, 60, 1, 0),
                ('waits', 'push', 1000000, 2, 1, 1);
            UPDATE deliveries SET handled_at = 7, handled = '{"handled":"ignored","because":"x"}' WHERE waiting = 0;
            INSERT INTO bodies SELECT number, CASE id WHEN 'done' THEN zeroblob(60) ELSE CAST('{}' AS BLOB) END FROM deliveries WHERE kept = 1;"#,
        )
        .expect("filled");
}

#[tokio::test]
async fn the_bodies_of_the_first_version_are_read_compared_and_dropped_where_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    first_version(folder.path());
    let keep = Keep { bytes: 100, ..Keep::default() };
    let store = Deliveries::open(folder.path(), keep).expect("opens");
    assert_eq!(ids(&store.waiting(10).await.expect("read")), ["waits"]);
    assert_eq!(store.load(&DeliveryId::new("waits")).await, Ok(Some(delivery("waits", "{}"))));
    assert_eq!(store.load(&DeliveryId::new("done")).await.expect("read").expect("kept").body, vec![0; 60]);
    assert_eq!(store.load(&DeliveryId::new("gone")).await, Ok(None));
    assert_eq!(store.store(delivery("waits", "{}")).await, Ok(Stored::AlreadyThere));
    assert_eq!(store.store(delivery("waits", "[]")).await, Ok(Stored::Taken));
    assert_eq!(store.store(delivery("gone", "123456789")).await, Ok(Stored::AlreadyThere));
    assert_eq!(store.store(delivery("new", &"x".repeat(60))).await, Ok(Stored::New));
    let known = store.list(Filter::default(), Page { before: None, limit: 10 }).await.expect("read");
    let kept: Vec<_> = known.iter().filter(|one| one.kept).map(|one| one.id.as_str()).collect();
    assert_eq!(kept, ["new", "waits"], "what is kept is counted with what was there");
    drop(store);
    let bodies: i64 = Connection::open(folder.path().join("deliveries.db"))
        .expect("opens")
        .query_row("SELECT count(*) FROM bodies", (), |row| row.get(0))
        .expect("counted");
    assert_eq!(bodies, 1);
}
