//! What hostile images try: each is refused with a sentence that names it, or comes to nothing.

use std::path::Path;

use tar::EntryType;
use tidegate::adapters::image::Limits;

use crate::builder::{Layer, Made, busybox, digest, gzip, image};
use crate::registry::{Registry, World, registry};

/// Pulls an image of this layer, which is refused, and answers why. Nothing of it is left.
async fn refused(registry: &Registry, world: &World, layer: Layer) -> String {
    pulled(registry, world, &image(&[layer])).await.expect_err("it is refused")
}

async fn pulled(registry: &Registry, world: &World, made: &Made) -> Result<String, String> {
    let before = world.there("layers");
    registry.push("attack:1", made).await;
    let name = format!("{}@{}", registry.name("attack"), digest(&serde_json::to_vec(&made.manifest()).unwrap()));
    let result = world.pull(&name).await.map_err(|error| error.to_string());
    if result.is_err() {
        assert_eq!(world.there("layers"), before, "nothing of a refused image is kept");
        assert_eq!(world.leftovers(), Vec::<std::path::PathBuf>::new());
    }
    result
}

#[tokio::test]
async fn no_path_leads_out_of_a_layer() {
    let Some(registry) = registry("no_path_leads_out_of_a_layer") else { return };
    let world = World::new();
    let outside = tempfile::tempdir().unwrap();
    let there = outside.path().to_str().unwrap();
    let why = refused(&registry, &world, Layer::default().file("../../../../evil", "x")).await;
    assert!(why.contains("../../../../evil goes up with `..`"), "{why}");
    let why = refused(&registry, &world, Layer::default().file("a/../../evil", "x")).await;
    assert!(why.contains("goes up with `..`"), "{why}");
    let why = refused(&registry, &world, Layer::default().pax("path", "b/../../evil").file("short", "x")).await;
    assert!(why.contains("goes up with `..`"), "{why}");
    for link in [there, "../../../../../../../../../../../../tmp", "."] {
        let through = Layer::default().link("out", link);
        let why = refused(&registry, &world, through.clone().file("out/planted", "x")).await;
        assert!(why.contains("put through a symbolic link of its own (out)"), "{why}");
        let why = refused(&registry, &world, through.clone().folder("out/planted")).await;
        assert!(why.contains("put through a symbolic link"), "{why}");
        let why = refused(&registry, &world, through.clone().file("out/.wh..wh..opq", "")).await;
        assert!(why.contains("put through a symbolic link"), "{why}");
        let why = refused(&registry, &world, through.hard("mine", "out/planted")).await;
        assert!(why.contains("put through a symbolic link"), "{why}");
    }
    // A folder that becomes a link between two files in it.
    let swapped = Layer::default().folder("d").file("d/one", "x").link("d", there).file("d/two", "x");
    let why = refused(&registry, &world, swapped).await;
    assert!(why.contains("d is in it as a folder and as something else"), "{why}");
    for of in ["/etc/shadow", "etc/shadow", "d"] {
        let why = refused(&registry, &world, Layer::default().folder("d").hard("mine", of)).await;
        assert!(why.contains("which this layer does not have"), "{why}");
    }
    let why = refused(&registry, &world, Layer::default().hard("mine", "../../../etc/shadow")).await;
    assert!(why.contains("goes up with `..`"), "{why}");
    for hidden in [".wh...", ".wh..", ".wh."] {
        let why = refused(&registry, &world, Layer::default().folder("d").file(&format!("d/{hidden}"), "")).await;
        assert!(why.contains("which is no name"), "{why}");
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "something was written outside");
}

#[tokio::test]
async fn an_absolute_path_begins_at_the_image() {
    let Some(registry) = registry("an_absolute_path_begins_at_the_image") else { return };
    let world = World::new();
    let evil = format!("/etc/tidegate-evil-{}", std::process::id());
    registry.push("absolute:1", &image(&[busybox(), Layer::default().file(&evil, "inside\n")])).await;
    assert_eq!(world.says(&registry.name("absolute:1"), &format!("cat {evil}")).await, "inside");
    assert!(!Path::new(&evil).exists());
}

#[tokio::test]
async fn devices_set_user_id_and_marks_are_not_taken_over() {
    let Some(registry) = registry("devices_set_user_id_and_marks_are_not_taken_over") else { return };
    let world = World::new();
    let below = Layer::default().folder("d").file("d/kept", "kept\n").file("seen", "seen\n");
    let above = Layer::default()
        .entry(EntryType::Char, "mem", "", 0o666, &[])
        .entry(EntryType::Block, "disk", "", 0o666, &[])
        .entry(EntryType::Fifo, "fifo", "", 0o666, &[])
        // An overlay's own mark for "deleted": character device 0, 0. And the one for "hides what is below".
        .entry(EntryType::Char, "seen", "", 0o666, &[])
        .pax("SCHILY.xattr.user.overlay.opaque", "y")
        .folder("d")
        .pax("SCHILY.xattr.security.capability", "\x01")
        .entry(EntryType::Regular, "suid", "", 0o6755, b"x")
        .entry(EntryType::Directory, "sgid", "", 0o2755, &[])
        .entry(EntryType::Regular, "closed", "", 0o000, b"open to its owner\n");
    registry.push("marks:1", &image(&[busybox(), below, above])).await;
    let said = world
        .says(&registry.name("marks:1"), "ls -d /mem /disk /fifo 2>/dev/null || true; cat /seen /d/kept /closed; stat -c '%a %u' /suid /sgid; id -u")
        .await;
    assert_eq!(said, "seen\nkept\nopen to its owner\n755 0\n755 0\n0");
}

#[tokio::test]
async fn what_is_not_what_its_digest_says_is_not_used() {
    let Some(registry) = registry("what_is_not_what_its_digest_says_is_not_used") else { return };
    let world = World::new();
    let made = image(&[Layer::default().file("a", "a")]);
    let manifest = registry.push("changed:1", &made).await;
    let (layer, config) = (digest(&made.layers[0].0), digest(&made.config_bytes()));
    for blob in [&layer, &config, &manifest] {
        let (place, good) = (registry.blob(blob), std::fs::read(registry.blob(blob)).unwrap());
        let mut bad = good.clone();
        let at = bad.len() / 2;
        bad[at] ^= 1;
        std::fs::write(&place, bad).unwrap();
        let why = world.pull(&format!("{}@{manifest}", registry.name("changed"))).await.unwrap_err().to_string();
        assert!(why.contains("not what its digest says") || why.contains("could not answer"), "{why}");
        assert_eq!(world.there("layers"), [""; 0]);
        std::fs::write(&place, good).unwrap();
    }
    // What is transferred is right, and is not what the configuration promises.
    let mut lies = image(&[Layer::default().file("a", "a")]);
    lies.config["rootfs"]["diff_ids"][0] = serde_json::json!(digest(b"something else"));
    let why = pulled(&registry, &world, &lies).await.unwrap_err();
    assert!(why.starts_with("the contents of a layer is not what its digest says"), "{why}");
    let mut missing = image(&[Layer::default().file("a", "a"), Layer::default().file("b", "b")]);
    missing.layers.pop();
    let why = pulled(&registry, &world, &missing).await.unwrap_err();
    assert!(why.contains("its manifest has 1 layers, its configuration 2"), "{why}");
    assert!(world.pull(&format!("{}@{manifest}", registry.name("changed"))).await.is_ok(), "the good one still is");
}

#[tokio::test]
async fn bombs_are_stopped_while_they_go_off() {
    let Some(registry) = registry("bombs_are_stopped_while_they_go_off") else { return };
    let world = World::limited(Limits { ratio_from: 4 << 20, layer_bytes: 60 << 20, entries: 100_000, ..Limits::default() });
    let why = refused(&registry, &world, Layer::default().file("zeros", vec![0; 16 << 20])).await;
    assert!(why.contains("it unpacks to more than 200 times its size"), "{why}");

    let small = World::limited(Limits { layer_bytes: 4 << 20, ..Limits::default() });
    let why = refused(&registry, &small, Layer::default().file("zeros", vec![0; 5 << 20])).await;
    assert!(why.contains("it unpacks to more than 4194304 bytes"), "{why}");
    let small = World::limited(Limits { transfer_bytes: 100, ..Limits::default() });
    let why = refused(&registry, &small, Layer::default().file("zeros", vec![0; 5 << 20])).await;
    assert!(why.contains("bytes, and 100 are the most"), "{why}");

    // A bomb in a bomb: what comes out of the first is a gzip member after the other.
    let mut members = image(&[Layer::default()]);
    members.layers[0].0 = [gzip(&vec![0; 8 << 20]), gzip(&vec![0; 8 << 20])].concat();
    let why = pulled(&registry, &world, &members).await.unwrap_err();
    assert!(why.contains("200 times its size"), "{why}");

    let many = (0..100_001).fold(Layer::default(), |layer, number| layer.file(&format!("{}/{number}", number / 1000), ""));
    let why = refused(&registry, &world, many).await;
    assert!(why.contains("it has more than 100000 files"), "{why}");

    let why = refused(&registry, &world, Layer::default().entry(EntryType::XHeader, "pax", "", 0o644, &vec![b'x'; 2 << 20]).file("a", "")).await;
    assert!(why.contains("it has a header of more than 1048576 bytes"), "{why}");
    let why = refused(&registry, &world, Layer::default().entry(EntryType::GNULongName, "long", "", 0o644, &vec![b'x'; 2 << 20]).file("a", "")).await;
    assert!(why.contains("it has a header of more than"), "{why}");
    let hundreds: Vec<Layer> = (0..128).map(|number| Layer::default().file("n", number.to_string())).collect();
    let why = pulled(&registry, &world, &image(&hundreds)).await.unwrap_err();
    assert!(why.contains("it has 128 layers, and 127 are the most"), "{why}");
}

#[tokio::test]
async fn names_that_nobody_has_are_refused_or_harmless() {
    let Some(registry) = registry("names_that_nobody_has_are_refused_or_harmless") else { return };
    let world = World::new();
    let why = refused(&registry, &world, Layer::default().pax("path", "zero\0byte").file("a", "")).await;
    assert!(why.contains("has a zero byte in its name"), "{why}");
    let why = refused(&registry, &world, Layer::default().pax("path", &"n".repeat(256)).file("a", "")).await;
    assert!(why.contains("has a longer name than 255 bytes"), "{why}");
    let why = refused(&registry, &world, Layer::default().pax("path", &"d/".repeat(3000)).file("a", "")).await;
    assert!(why.contains("has a longer name than 4095 bytes"), "{why}");
    let why = refused(&registry, &world, Layer::default().pax("linkpath", &"d/".repeat(3000)).link("a", "b")).await;
    assert!(why.contains("which is no path"), "{why}");
    let why = refused(&registry, &world, Layer::default().file("f", "").file("f/below", "")).await;
    assert!(why.contains("put below what is no folder"), "{why}");
    let why = refused(&registry, &world, Layer::default().entry(EntryType::new(b'?'), "odd", "", 0o644, &[])).await;
    assert!(why.contains("odd is of a kind that is not known"), "{why}");
    let mut damaged = image(&[Layer::default()]);
    damaged.layers[0].0 = gzip(&[0x5a; 5000]);
    let why = pulled(&registry, &world, &damaged).await.unwrap_err();
    assert!(why.contains("its archive is damaged"), "{why}");

    let deep = "d/".repeat(2000);
    let odd = Layer::default()
        .pax("path", &format!("{deep}end"))
        .file("a", "deep\n")
        .file("line\nbreak", "x")
        .file("\x1b[2Jescape", "x")
        .file("twice", "first\n")
        .file("twice", "second\n")
        .link("swap", "/etc/passwd")
        .file("swap", "a file of its own\n");
    registry.push("odd:1", &image(&[busybox(), odd])).await;
    let said = world
        .says(
            &registry.name("odd:1"),
            "cat /twice /swap; ls / | wc -l; n=0; cd /; while [ -d d ] && [ $n -lt 2000 ]; do cd d; n=$((n+1)); done; cat end",
        )
        .await;
    assert!(said.starts_with("second\na file of its own\n") && said.ends_with("\ndeep"), "{said}");
    drop(world);
}

#[tokio::test]
async fn an_image_for_another_machine_is_refused() {
    let Some(registry) = registry("an_image_for_another_machine_is_refused") else { return };
    let world = World::new();
    let mut other = image(&[Layer::default().file("a", "a")]);
    other.config["architecture"] = "s390x".into();
    let why = pulled(&registry, &world, &other).await.unwrap_err();
    assert!(why.contains("is there for linux/s390x and not for this machine (linux/"), "{why}");
    other.config["architecture"] = crate::builder::architecture().into();
    other.config["os"] = "windows".into();
    let why = pulled(&registry, &world, &other).await.unwrap_err();
    assert!(why.contains("is there for windows/"), "{why}");
}

/// Where Tidegate mounts something, an image may have anything: a link to somewhere else above all.
#[tokio::test]
async fn an_image_can_not_move_the_places_of_the_sandbox() {
    let Some(registry) = registry("an_image_can_not_move_the_places_of_the_sandbox") else { return };
    let world = World::new();
    let evil = ["dev", "proc", "tmp", "run", "workspace"].iter().fold(Layer::default(), |layer, place| layer.link(place, "/etc"));
    let evil = evil.file("etc/resolv.conf", "nameserver 6.6.6.6\n").link("etc/hosts", "/proc/self/root/etc/passwd");
    let mut base = busybox();
    base = base.link("etc/shadow", "/etc/shadow");
    registry.push("moved:1", &image(&[base, evil])).await;
    let script = "for at in dev proc tmp run workspace; do test -d /$at && test ! -L /$at && echo $at; done; pwd; test -c /dev/null && cat /etc/hosts; cat /etc/resolv.conf; \
        for try in 'cat /etc/shadow' 'ls /proc/1/root' 'touch /dev/x' 'mount -t tmpfs x /root' 'mknod /sda b 8 0' 'ls -d /../usr'; do $try 2>&1 || true; done";
    let said = world.says(&registry.name("moved:1"), script).await;
    let expected = "dev\nproc\ntmp\nrun\nworkspace\n/workspace\n127.0.0.1 localhost tidegate\n::1 localhost\ncat: can't open '/etc/shadow': Too many levels of symbolic links";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains("touch: /dev/x: Read-only file system"), "{said}");
    assert!(said.contains("mknod: /sda: Operation not permitted"), "{said}");
    assert!(said.contains("ls: /proc/1/root: Permission denied"), "{said}");
    assert!(said.contains("mount: permission denied"), "{said}");
    assert!(said.ends_with("ls: /../usr: No such file or directory"), "the root that it came from is gone: {said}");
}
