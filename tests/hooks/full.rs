//! The disk is full: it is said, nothing half is there, and what is sent again comes through when there is room.

use std::io::Write as _;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;
use tidegate::adapters::deliveries::Keep;
use tidegate::model::id::DeliveryId;
use tidegate::model::secret::SecretSource;
use tidegate::server::{listen, webhook};

use crate::client::{Post, SECRET};
use crate::server::Server;

fn skip(why: &str) {
    let test = "full::a_full_disk_is_said_and_nothing_half_is_there";
    let Some(list) = std::env::var_os("TIDEGATE_TEST_SKIPS") else { panic!("{test}: {why}") };
    let mut list = std::fs::File::options().append(true).create(true).open(list).expect("the list of what was skipped");
    writeln!(list, "{test}\t{why}").expect("a line in it");
}

#[test]
fn a_full_disk_is_said_and_nothing_half_is_there() {
    let folder = TempDir::with_prefix("tidegate-hooks-").expect("a folder");
    let disk = folder.path().to_owned();
    if let Err(error) = mount("tmpfs", &disk, "tmpfs", MountFlags::empty(), Some(c"size=24m,mode=0700")) {
        return skip(&format!("a small disk can not be mounted: {error}"));
    }
    std::fs::write(disk.join("secret"), SECRET).expect("a secret");
    let secrets = vec![SecretSource::File(disk.join("secret"))];
    let server = Server::of(folder, secrets, webhook::Limits::default(), listen::Limits::default(), Keep::default());
    assert_eq!(Post::new("before", "push", "{}").send(server.address).status, 202);

    let filled = disk.join("filled by somebody else");
    let mut filling = std::fs::File::create(&filled).expect("a file");
    while filling.write_all(&[1; 4096]).is_ok() {}
    drop(filling);
    let large = format!(r#"{{"filling":"{}"}}"#, "x".repeat(6 << 20));
    for _ in 0..2 {
        let answer = Post::new("large", "push", large.as_str()).send(server.address);
        assert!(answer.status == 503 && answer.head.contains("retry-after: 10"), "{answer:?}");
        assert_eq!(server.ids(), ["before"]);
    }
    std::fs::remove_file(filled).expect("removed");
    assert_eq!(Post::new("large", "push", large.as_str()).send(server.address).status, 202);
    assert_eq!(Post::new("after", "push", "{}").send(server.address).status, 202);
    assert_eq!(server.ids(), ["before", "large", "after"]);
    for (id, body) in [("before", "{}"), ("large", large.as_str()), ("after", "{}")] {
        let stored = server.runtime.block_on(server.deliveries.load(&DeliveryId::new(id))).expect("read").expect("kept");
        assert!(stored.body == body.as_bytes(), "{id}");
    }
    unmount(&disk, UnmountFlags::DETACH).expect("unmounted");
}
