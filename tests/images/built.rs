//! Images that steps leave: what is in them, that the same comes to the same, what runs in them, and what hostile steps try.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, mknodat};
use tar::EntryType;
use tidegate::adapters::executor::{ContainerExecutor, Executor as _, Pull, Watcher};
use tidegate::adapters::image::{Material, NotBuilt, PullPolicy};
use tidegate::adapters::workspace::Halt;
use tidegate::model::build::{Begins, ImageBuild};
use tidegate::model::invocation::{InvocationResult, InvocationSpec, OutputDeclaration};
use tidegate::model::outcome::Outcome;

use crate::builder::{Layer, busybox, digest, image};
use crate::engines;
use crate::imports::saved;
use crate::registry::{Log, World, skip, spec};

const BASE: &str = "base:1";

/// A world with a base image, or none where there is no busybox.
fn world(test: &str) -> Option<World> {
    if !Path::new("/bin/busybox").exists() {
        skip(test, "there is no busybox here: apt-get install busybox-static");
        return None;
    }
    let world = World::new();
    let more =
        Layer::default().folder("d").file("d/old", "old\n").folder("e").file("e/gone", "gone\n").entry(EntryType::Regular, "suid", "", 0o4755, b"x");
    let made = image(&[busybox(), more]).with("Cmd", vec!["/bin/false"]).with("Labels", serde_json::json!({"kept": "yes"}));
    world.images.import(&saved(&made, &[BASE]).tar()[..], None).unwrap();
    Some(world)
}

fn build() -> ImageBuild {
    ImageBuild { archive: "app.tar".to_owned(), tag: Some("app:1".to_owned()), env: BTreeMap::new(), begins: Begins::default() }
}

fn building(script: &str, build: ImageBuild) -> InvocationSpec {
    let output = OutputDeclaration { name: "image".to_owned(), path: build.archive.clone() };
    InvocationSpec { outputs: vec![output], build: Some(build), ..spec(BASE, script) }
}

/// The archive that a step has left.
fn archive(result: &InvocationResult, log: &str) -> PathBuf {
    assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
    result.layer.as_ref().expect("an output").join("app.tar")
}

/// Kind, mode, and contents or where a link leads, by name.
type Files = BTreeMap<String, (EntryType, u32, Vec<u8>)>;

/// Everything in an archive.
fn files(tar: &[u8]) -> Files {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let (header, path) = (entry.header().clone(), String::from_utf8_lossy(&entry.path_bytes()).into_owned());
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0), "{path}");
        assert_eq!(header.username().unwrap().unwrap_or_default(), "", "{path}");
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        if let Some(to) = entry.link_name_bytes() {
            contents = to.into_owned();
        }
        (path, (header.entry_type(), header.mode().unwrap(), contents))
    });
    entries.collect()
}

/// Its uppermost layer, and its configuration.
fn top(archive: &Path) -> (Files, serde_json::Value) {
    let whole = files(&std::fs::read(archive).unwrap());
    let json = |name: &str| serde_json::from_slice::<serde_json::Value>(&whole[name].2).unwrap();
    let manifest = &json("manifest.json")[0];
    let layers = manifest["Layers"].as_array().unwrap();
    let packed = &whole[layers.last().unwrap().as_str().unwrap()].2;
    let mut layer = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut layer).unwrap();
    let config = json(manifest["Config"].as_str().unwrap());
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().last().unwrap(), &digest(&layer));
    (files(&layer), config)
}

const APP: &str = "cp /bin/busybox /bin/busybox-app; mkdir -p /srv/app; echo made > /srv/app/file; chmod 600 /srv/app/file; ln -s /etc/passwd /srv/link; \
    rm /bin/ls; rm -r /d; mkdir /d; echo new > /d/new; rm -r /e; echo > /etc/hosts; echo > /tmp/x; echo work > ignored";

#[tokio::test]
async fn what_a_step_leaves_in_its_root_is_an_image_that_runs() {
    let Some(world) = world("what_a_step_leaves_in_its_root_is_an_image_that_runs") else { return };
    let begins =
        Begins { entrypoint: Some(vec!["/bin/busybox-app".to_owned(), "cat".to_owned()]), workdir: Some("/srv/app".to_owned()), ..Begins::default() };
    let asked = ImageBuild { env: BTreeMap::from([("ADDED".to_owned(), "by build".to_owned())]), begins, ..build() };
    let (result, log) = world.run(building(APP, asked)).await;
    let archive = archive(&result, &log);
    assert_eq!(result.artifacts[0].name, "image");
    let (layer, config) = top(&archive);
    let names: Vec<&str> = layer.keys().map(String::as_str).collect();
    let expected =
        ["bin", "bin/.wh.ls", "bin/busybox-app", "d", "d/.wh..wh..opq", "d/new", ".wh.e", "etc", "srv", "srv/app", "srv/app/file", "srv/link"];
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(layer["srv/link"], (EntryType::Symlink, 0o777, b"/etc/passwd".to_vec()));
    assert_eq!(layer["srv/app/file"], (EntryType::Regular, 0o600, b"made\n".to_vec()));
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/bin/busybox-app", "cat"]));
    assert_eq!(config["config"]["Cmd"], serde_json::Value::Null, "arguments of another entry point");
    assert_eq!(config["config"]["WorkingDir"], "/srv/app");
    assert_eq!(config["config"]["Labels"]["kept"], "yes");
    assert_eq!(config["config"]["Env"], serde_json::json!(["ADDED=by build", "FROM_IMAGE=yes", "PATH=/bin:/own"]));
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    // The layers below are those of the base, byte for byte, set-user-id bits and all.
    let whole = files(&std::fs::read(&archive).unwrap());
    assert!(whole.values().any(|(_, _, bytes)| bytes.starts_with(&[0x1f, 0x8b]) && {
        let mut layer = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut layer).is_ok() && files(&layer).get("suid").is_some_and(|file| file.1 == 0o4755)
    }));

    let done = world.images.import(std::fs::File::open(&archive).unwrap(), None).unwrap();
    assert_eq!(done[0].0, "docker.io/library/app:1");
    let seen = "cat /srv/app/file /d/new /srv/link | head -3; test ! -e /bin/ls; test ! -e /d/old; test ! -e /e; test ! -e /ignored; echo $ADDED $FROM_IMAGE; busybox-app echo runs";
    assert_eq!(world.says("app:1", seen).await, "made\nnew\nroot:x:0:0:root:/root:/bin/sh\nby build yes\nruns");
    // An image of an image that was built.
    let again = InvocationSpec { image: Some("app:1".to_owned()), ..building("echo more >> /srv/app/file", ImageBuild { tag: None, ..build() }) };
    let (result, log) = world.run(again).await;
    let done = world.images.import(std::fs::File::open(self::archive(&result, &log)).unwrap(), Some("app:2")).unwrap();
    assert_eq!(world.says("app:2", "cat /srv/app/file").await, "made\nmore");
    assert_eq!(done.len(), 1);
    assert_eq!(world.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn the_same_step_makes_the_same_image() {
    let Some(one) = world("the_same_step_makes_the_same_image") else { return };
    let Some(other) = world("the_same_step_makes_the_same_image") else { return };
    let (first, log) = one.run(building(APP, build())).await;
    let bytes = std::fs::read(archive(&first, &log)).unwrap();
    // Another machine, as far as it can be: another state folder, run, moment, and order of things.
    let reordered = format!("sleep 1.1; mkdir -p /srv/app; touch /srv/zzz /srv/aaa; rm /srv/zzz /srv/aaa; {APP}");
    let (second, log) = other.run(InvocationSpec { attempt: 2, ..building(&reordered, build()) }).await;
    assert_eq!(std::fs::read(archive(&second, &log)).unwrap(), bytes);
    assert_eq!(first.artifacts[0].digest, second.artifacts[0].digest);
    let mut later = building(APP, build());
    later.env.insert("SOURCE_DATE_EPOCH".to_owned(), "1700000000".to_owned());
    let (third, log) = one.run(later).await;
    assert_eq!(top(&archive(&third, &log)).1["created"], "2023-11-14T22:13:20Z");
}

#[tokio::test]
async fn a_hostile_step_gets_nothing_into_an_image_that_an_image_can_not_hold() {
    let Some(world) = world("a_hostile_step_gets_nothing_into_an_image_that_an_image_can_not_hold") else { return };
    let long = "n".repeat(250);
    let script = format!(
        "mknod /fifo p; mknod /dev1 c 1 3 2>/dev/null || mknod /white c 0 0 2>/dev/null || echo no devices; cp /bin/busybox /s; chmod 6755 /s; \
         ln -s ../../../../../../etc/shadow /out; ln -s /proc/1/root /root2; echo x > '/a\nb'; echo x > $(printf '/\\377'); echo hard > /h1; ln /h1 /h2; ln /h1 /h3; \
         mkdir -p /{long}/{long}; echo deep > /{long}/{long}/{long}; mkdir /closed; echo c > /closed/c; chmod 0 /closed/c /closed; chmod 0 /h1; \
         ln -s app.tar planted; ln -s /etc/passwd app.tar"
    );
    let (result, log) = world.run(building(&script, build())).await;
    assert!(log.starts_with("no devices\n") && log.contains("left 1 sockets, FIFOs or devices out of the image"), "{log}");
    let archive = archive(&result, &log);
    let (layer, _) = top(&archive);
    let names: Vec<&str> = layer.keys().map(String::as_str).filter(|name| !name.starts_with("nnn")).collect();
    assert_eq!(names, ["a\nb", "closed", "closed/c", "h1", "h2", "h3", "out", "root2", "s", "\u{fffd}"]);
    assert_eq!(layer["s"].1, 0o755, "no set-user-id");
    assert_eq!((layer["h2"].0, layer["h2"].2.as_slice()), (EntryType::Link, &b"h1"[..]));
    assert_eq!((layer["closed"].1, layer["closed/c"].2.as_slice()), (0, &b"c\n"[..]));
    assert_eq!(layer["out"].2, b"../../../../../../etc/shadow");
    assert!(layer.values().all(|(kind, _, _)| !matches!(kind, EntryType::Char | EntryType::Block | EntryType::Fifo)));
    assert_eq!(layer[&format!("{long}/{long}/{long}")].2, b"deep\n");
    world.images.import(std::fs::File::open(&archive).unwrap(), None).unwrap();
    assert_eq!(world.says("app:1", "cat /h2 /closed/c; cat \"/a\nb\"; ls -d /out /fifo 2>&1 | wc -l").await, "hard\nc\nx\n2");
    assert_eq!(world.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn what_can_not_be_an_image_is_said() {
    let Some(world) = world("what_can_not_be_an_image_is_said") else { return };
    let reason = async |spec: InvocationSpec| {
        let (result, log) = world.run(spec).await;
        assert!(result.artifacts.is_empty());
        let Outcome::Failed { reason, .. } = result.outcome else { panic!("{:?} {log}", result.outcome) };
        reason
    };
    for name in [".wh.passwd", ".wh..wh..opq", ".wh."] {
        let why = reason(building(&format!("echo > /etc/{name}"), build())).await;
        assert!(why.contains(&format!("etc/{name} can not be in an image: there, a name that begins with .wh. means")), "{why}");
    }
    let why = reason(building("mkdir app.tar", build())).await;
    assert!(why.contains("the step made a folder app.tar, where the archive of its image is to be put"), "{why}");
    let mut small = building("busybox truncate -s 20000000000 /holes 2>/dev/null || busybox truncate -s 2000000000 /holes", build());
    small.limits.outputs = 1 << 30;
    let why = reason(small).await;
    assert!(why.contains("holes makes the image's layer larger than its limit of 1073741824 bytes"), "{why}");
    let why = reason(building("echo begun", ImageBuild { tag: Some("Not A Name".to_owned()), ..build() })).await;
    assert!(why.contains("is no image reference"), "{why}");
    let why = reason(building("true", ImageBuild { tag: Some(format!("x@sha256:{}", "0".repeat(64))), ..build() })).await;
    assert!(why.contains("leave the digest out"), "{why}");
    let mut when = building("true", build());
    when.env.insert("SOURCE_DATE_EPOCH".to_owned(), "yesterday".to_owned());
    assert!(reason(when).await.contains("SOURCE_DATE_EPOCH is no number of seconds"));
    // A failed step leaves no image.
    assert!(!reason(building("echo > /x; exit 3", build())).await.contains("image"));
    // A state folder of before archives were kept.
    for layer in world.there("layers") {
        std::fs::remove_file(world.state.path().join("images/layers").join(layer).join("archive")).unwrap();
    }
    let (result, _) = world.run(building("true", build())).await;
    assert!(matches!(&result.outcome, Outcome::Infrastructure { reason } if reason.contains("get it again")), "{:?}", result.outcome);
    assert_eq!(world.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn marks_and_attributes_count_only_as_an_overlay_makes_them() {
    let Some(world) = world("marks_and_attributes_count_only_as_an_overlay_makes_them") else { return };
    let (base, _lease) = world.images.obtain(BASE, PullPolicy::Never, &mut |_| {}).await.unwrap();
    let make = |fill: &dyn Fn(&Path), entries: u64| {
        let folder = tempfile::tempdir_in(world.state.path()).unwrap();
        let (upper, aside, to) = (folder.path().join("upper"), folder.path().join("aside"), folder.path().join("app.tar"));
        std::fs::create_dir(&upper).unwrap();
        std::fs::create_dir(&aside).unwrap();
        fill(&upper);
        let halt = Halt(&|| false);
        let made = base.blueprint(&build()).unwrap().make(Material { upper: &upper, aside: &aside, time: 0, bytes: 1 << 20, entries, halt }, &to);
        made.map(|left_out| (top(&to).0.into_keys().collect::<Vec<_>>(), left_out))
    };
    let attribute = |path: &Path, name: &str, value: &[u8]| lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
    let (names, left_out) = make(
        &|upper| {
            for folder in ["d", "fresh", "odd"] {
                std::fs::create_dir(upper.join(folder)).unwrap();
            }
            attribute(&upper.join("d"), "user.overlay.opaque", b"y");
            attribute(&upper.join("fresh"), "user.overlay.opaque", b"y");
            attribute(&upper.join("odd"), "user.overlay.opaque", b"yes");
            attribute(&upper.join("odd"), "user.overlay.redirect", b"/etc");
            std::fs::write(upper.join("odd/empty"), "").unwrap();
            attribute(&upper.join("odd/empty"), "user.overlay.whiteout", b"y");
            attribute(&upper.join("odd/empty"), "user.overlay.metacopy", b"");
            mknodat(CWD, upper.join("suid"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
            // Not followed, whatever it leads to.
            symlink("/", upper.join("root")).unwrap();
            let _socket = std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap();
        },
        100,
    )
    .unwrap();
    // A folder that hides nothing needs no mark.
    assert_eq!(names, [".wh.suid", "d", "d/.wh..wh..opq", "fresh", "odd", "odd/empty", "root"]);
    assert_eq!(left_out, 1);
    let many = |upper: &Path| (0..11).for_each(|number| std::fs::write(upper.join(number.to_string()), "").unwrap());
    let why = make(&many, 10).unwrap_err();
    assert!(matches!(&why, NotBuilt::Step(why) if why == "the image's layer would have more than 10 files"), "{why:?}");
    let deep = |upper: &Path| std::fs::create_dir_all(upper.join("f/".repeat(300))).unwrap();
    let why = make(&deep, 1000).unwrap_err();
    assert!(matches!(&why, NotBuilt::Step(why) if why.contains("folders more than 256 deep")), "{why:?}");
    let closed = |upper: &Path| {
        std::fs::write(upper.join("closed"), "x").unwrap();
        std::fs::set_permissions(upper.join("closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
    };
    assert_eq!(make(&closed, 10).unwrap().0, ["closed"]);
}

#[tokio::test]
async fn engines_load_it_and_run_it_but_do_not_build_it() {
    let test = "engines_load_it_and_run_it_but_do_not_build_it";
    if std::env::var_os("TIDEGATE_UNDER_TEST").is_some() {
        return skip(test, "an engine's socket needs root");
    }
    for variable in engines::VARIABLES {
        let Some(engine) = engines::engine_or_skip(variable, test) else { continue };
        let Some(world) = world(test) else { return };
        let tag = format!("tidegate-test-built:{}", std::process::id());
        let begins = Begins {
            entrypoint: Some(vec!["/bin/busybox-app".to_owned(), "cat".to_owned(), "/srv/app/file".to_owned()]),
            user: Some("0".to_owned()),
            ..Begins::default()
        };
        let (result, log) = world.run(building(APP, ImageBuild { tag: Some(tag.clone()), begins, ..build() })).await;
        let archive = archive(&result, &log);
        let loaded = engines::lines(&engine, &["load", "--input", archive.to_str().unwrap()]).join("\n");
        assert!(loaded.contains(&tag), "{loaded}");
        // Not `run` alone: Podman lets this client attach to what runs already only.
        let says = |arguments: &[&str]| {
            let begun = engines::lines(
                &engine,
                &[&["run", "--detach", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"], arguments].concat(),
            );
            let container = begun[0].as_str();
            assert_eq!(engines::lines(&engine, &["wait", container]), ["0"], "{arguments:?}: {:?}", engines::lines(&engine, &["logs", container]));
            let said = engines::lines(&engine, &["logs", container]);
            engines::lines(&engine, &["rm", container]);
            said
        };
        let said = says(&[&tag]);
        let looks = "test ! -e /e; test ! -e /d/old; test ! -e /bin/ls; cat /d/new; test -u /suid; stat -c '%u %a' /srv/app/file";
        let gone = says(&["--entrypoint", "/bin/busybox-app", &tag, "sh", "-euc", looks]);
        engines::lines(&engine, &["rmi", "--force", &tag]);
        assert_eq!((said, gone), (vec!["made".to_owned()], vec!["new".to_owned(), "0 600".to_owned()]), "{}", engine.name);

        let executor = ContainerExecutor::new(world.state.path(), world.store.clone(), engine, Pull::Never).unwrap();
        let (_keep, cancel) = tokio::sync::watch::channel(false);
        let asked = InvocationSpec { timeout: Duration::from_secs(30), ..building("true", build()) };
        let result = executor.invoke(asked, &world.state.path().join("log"), Watcher { log: Box::new(Log::default()), cancel }).await;
        let Outcome::Failed { reason, .. } = result.outcome else { panic!("{:?}", result.outcome) };
        assert!(reason.contains("run it in Tidegate's own sandbox"), "{reason}");
    }
}

/// Holes: nothing on disk, and many minutes to digest and to pack.
const ENDLESS: &str = "for n in 1 2 3 4; do busybox truncate -s 15000000000 /hole$n; done; echo written";

fn endless(timeout: Duration) -> InvocationSpec {
    let mut asked = InvocationSpec { timeout, ..building(ENDLESS, build()) };
    asked.limits.outputs = 1 << 40;
    asked
}

#[tokio::test]
async fn an_image_that_takes_longer_than_its_step_may_is_given_up() {
    let Some(world) = world("an_image_that_takes_longer_than_its_step_may_is_given_up") else { return };
    // On a busy machine the script itself may need the first of these.
    for seconds in [3, 20, 100] {
        let timeout = Duration::from_secs(seconds);
        let (result, log) = world.run(endless(timeout)).await;
        assert_eq!(result.outcome, Outcome::TimedOut { after_ms: seconds * 1000 }, "{log}");
        assert!(result.artifacts.is_empty() && result.layer.is_none(), "nothing of it is kept");
        assert_eq!(world.leftovers(), Vec::<PathBuf>::new());
        if log.contains("written") {
            return;
        }
    }
    panic!("the script did not come to its end");
}

#[tokio::test]
async fn an_image_that_nobody_wants_any_more_is_given_up() {
    let Some(world) = world("an_image_that_nobody_wants_any_more_is_given_up") else { return };
    let (own, _) = world.store.own();
    let own = own.to_owned();
    let (stop, cancel) = tokio::sync::watch::channel(false);
    // When its layer is being written the script is over.
    let begun = tokio::task::spawn_blocking(move || {
        let until = Instant::now() + Duration::from_secs(600);
        while Instant::now() < until {
            let scratches = std::fs::read_dir(&own).into_iter().flatten().flatten();
            if scratches.into_iter().any(|scratch| scratch.path().join("image/layer.tar.gz").exists()) {
                stop.send_replace(true);
                return Some(stop);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    });
    let (log, file) = (Log::default(), world.state.path().join("log"));
    let asked = endless(Duration::from_secs(900));
    let result = world.executor.invoke(asked, &file, Watcher { log: Box::new(log.clone()), cancel }).await;
    assert!(begun.await.unwrap().is_some(), "it was never begun: {:?}", result.outcome);
    assert!(matches!(result.outcome, Outcome::Cancelled { .. }), "{:?} {}", result.outcome, log.text());
    assert!(log.text().contains("written") && result.artifacts.is_empty() && result.layer.is_none(), "{}", log.text());
    assert_eq!(world.leftovers(), Vec::<PathBuf>::new());
}
