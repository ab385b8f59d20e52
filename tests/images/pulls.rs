//! From a registry: by tag, by digest, from a list for several machines; and what is said where it can not be had.

use std::time::Duration;

use tidegate::adapters::image::{ImageError, Images, Limits, PullPolicy};
use tidegate::adapters::sandbox;
use tidegate::adapters::workspace::Store;
use tidegate::model::outcome::Outcome;

use crate::builder::{Layer, TAR, architecture, busybox, digest, gzip, image};
use crate::registry::{World, registry, spec};

#[tokio::test]
async fn a_tag_a_digest_and_a_list_lead_to_the_image_for_this_machine() {
    let Some(registry) = registry("a_tag_a_digest_and_a_list_lead_to_the_image_for_this_machine") else { return };
    let world = World::new();
    let own = image(&[busybox(), Layer::default().file("which", "own\n")]);
    let own_digest = registry.push("app:own", &own).await;
    assert_eq!(world.pull(&registry.name("app:own")).await.unwrap(), own_digest);
    assert_eq!(world.pull(&format!("{}@{own_digest}", registry.name("app"))).await.unwrap(), own_digest);

    let mut other = image(&[Layer::default().file("which", "other\n")]);
    other.config["architecture"] = "s390x".into();
    let other_digest = registry.push("app:other", &other).await;
    let entry = |digest: &str, size: usize, architecture: &str| {
        serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size,
            "platform": {"architecture": architecture, "os": "linux"}})
    };
    let size = |made: &crate::builder::Made| serde_json::to_vec(&made.manifest()).unwrap().len();
    let list = |entries: Vec<serde_json::Value>| serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries});
    let both = list(vec![entry(&other_digest, size(&other), "s390x"), entry(&own_digest, size(&own), architecture())]);
    let index = registry.push_manifest("app:list", &both).await;
    assert_eq!(world.pull(&registry.name("app:list")).await.unwrap(), own_digest);
    assert_eq!(world.pull(&format!("{}@{index}", registry.name("app"))).await.unwrap(), own_digest);
    registry.push_manifest("app:foreign", &list(vec![entry(&other_digest, size(&other), "s390x")])).await;
    let why = world.pull(&registry.name("app:foreign")).await.unwrap_err().to_string();
    assert!(why.contains("is there for linux/s390x and not for this machine"), "{why}");
    // However they are compressed, layers are the same.
    let mut plain = own.clone();
    plain.layers = vec![(busybox().tar(), TAR), (gzip(&Layer::default().file("which", "own\n").tar()), crate::builder::GZIP)];
    registry.push("app:plain", &plain).await;
    world.pull(&registry.name("app:plain")).await.unwrap();
    assert_eq!(world.there("layers").len(), 2);
}

#[tokio::test]
async fn what_a_layer_hides_is_not_there() {
    let Some(registry) = registry("what_a_layer_hides_is_not_there") else { return };
    let world = World::new();
    let base = busybox()
        .folder("a")
        .file("a/one", "1\n")
        .file("a/two", "2\n")
        .folder("b")
        .file("b/old", "old\n")
        .folder("c")
        .file("c/old", "old\n")
        .file("gone", "x");
    let middle = Layer::default()
        .file("a/.wh.one", "")
        .file("b/.wh..wh..opq", "")
        .file("b/new", "new\n")
        .file(".wh.gone", "")
        // Hidden and made again, in both orders.
        .file(".wh.c", "")
        .folder("c")
        .file("c/new", "new\n")
        .file("h", "linked\n")
        .hard("h2", "h")
        .hard("h3", "h2");
    let top = Layer::default().file("a/three", "3\n").folder("d").file("d/x", "x\n").file(".wh.d", "").file("b/.wh..wh.plnk", "");
    registry.push("hides:1", &image(&[base, middle, top])).await;
    let script = "ls /a /b /c /d; ls / | grep -c -e gone -e wh || true; cat /h /h2 /h3; stat -c '%h %u' /h; echo more >> /h2; cat /h3; ls -a /a | grep wh || true";
    let expected = "/a:\nthree\ntwo\n\n/b:\nnew\n\n/c:\nnew\n\n/d:\nx\n0\nlinked\nlinked\nlinked\n3 0\n";
    let said = world.says(&registry.name("hides:1"), script).await;
    assert!(said.starts_with(expected), "{said}");
}

#[tokio::test]
async fn a_registry_is_asked_when_the_policy_says_so() {
    let Some(registry) = registry("a_registry_is_asked_when_the_policy_says_so") else { return };
    let world = World::new();
    let name = registry.name("moving:latest");
    let first = registry.push("moving:latest", &image(&[Layer::default().file("a", "1")])).await;
    let ask = async |policy| world.images.obtain(&name, policy, &mut |_| {}).await.map(|(image, _)| image.digest);
    let absent = ask(PullPolicy::Never).await.unwrap_err();
    assert_eq!(absent, ImageError::Absent { reference: name.clone() });
    assert!(absent.to_string().contains("tidegate images pull"), "{absent}");
    assert_eq!(ask(PullPolicy::Missing).await.unwrap(), first);
    let second = registry.push("moving:latest", &image(&[Layer::default().file("a", "2")])).await;
    assert_eq!(ask(PullPolicy::Missing).await.unwrap(), first, "it is there");
    assert_eq!(ask(PullPolicy::Never).await.unwrap(), first);
    assert_eq!(ask(PullPolicy::Always).await.unwrap(), second);
    assert_eq!(ask(PullPolicy::Missing).await.unwrap(), second, "the name now stands for that");
    drop(registry);
    assert_eq!(ask(PullPolicy::Missing).await.unwrap(), second, "what is there needs no registry");
    let gone = ask(PullPolicy::Always).await.unwrap_err().to_string();
    assert!(gone.contains("can not be reached") && gone.contains("reachable from this machine?"), "{gone}");
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_to_do() {
    let Some(registry) = registry("what_is_not_there_is_said_with_what_to_do") else { return };
    let world = World::new();
    let why = world.pull(&registry.name("nobody/has:this")).await.unwrap_err().to_string();
    assert!(why.contains("is not to be found at its registry; is the name right?"), "{why}");
    let (result, log) = world.run(spec(&registry.name("nobody/has:this"), "echo ran")).await;
    assert!(matches!(&result.outcome, Outcome::Infrastructure { reason } if *reason == why), "{result:?}");
    assert!(!result.record.started && !log.contains("ran"), "{log}");
    assert!(world.pull("Not A Name").await.unwrap_err().to_string().contains("is no image reference"));
    // Somebody who takes a connection and says nothing is not waited for longer than the step has time.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/a:b", silent.local_addr().unwrap());
    let slow = tidegate::model::invocation::InvocationSpec { timeout: Duration::from_millis(300), ..spec(&name, "echo ran") };
    let (result, _) = world.run(slow).await;
    assert_eq!(result.outcome, Outcome::TimedOut { after_ms: 300 });
    assert_eq!(world.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn who_wants_the_same_image_at_once_gets_it_once() {
    let Some(registry) = registry("who_wants_the_same_image_at_once_gets_it_once") else { return };
    let world = World::new();
    let layers = [busybox(), Layer::default().file("big", vec![7; 4 << 20])];
    registry.push("shared:1", &image(&layers)).await;
    let name = registry.name("shared:1");
    let ask = async || {
        // As another process would: with a store of its own.
        let store = Store::open(world.state.path(), sandbox::outer_uid()).unwrap();
        let images = Images::open(world.state.path(), store, sandbox::outer_uid()).unwrap();
        let mut lines = Vec::new();
        images.obtain(&name, PullPolicy::Missing, &mut |line| lines.push(line)).await.unwrap();
        // "pulled … in … s: 2 layers (1 of them were here), …"
        let end = lines.last().unwrap();
        let number = |before: &str| end.split_once(before).and_then(|(_, rest)| rest.split(' ').next()?.parse::<usize>().ok());
        number(" s: ").unwrap() - number(" layers (").unwrap_or(0)
    };
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    assert_eq!(a + b + c + d, 2, "each layer was transferred once");
    assert_eq!(world.there("layers").len(), 2);
}

#[tokio::test]
async fn zstd_layers_are_layers() {
    let Some(registry) = registry("zstd_layers_are_layers") else { return };
    let world = World::limited(Limits::default());
    let Ok(packer) = std::process::Command::new("zstd").arg("--version").output() else {
        return crate::registry::skip("zstd_layers_are_layers", "there is no zstd here: apt-get install zstd");
    };
    assert!(packer.status.success());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer.tar");
    let tar = Layer::default().file("hello", "from zstd\n").tar();
    std::fs::write(&file, &tar).unwrap();
    assert!(std::process::Command::new("zstd").arg("-q").arg(&file).status().unwrap().success());
    let packed = std::fs::read(folder.path().join("layer.tar.zst")).unwrap();
    let mut made = image(&[busybox(), Layer::default().file("hello", "from zstd\n")]);
    // In two frames, with one between them that is to be skipped.
    let skipped = [&0x184D_2A50_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
    made.layers[1] = ([skipped.clone(), packed, skipped].concat(), "application/vnd.oci.image.layer.v1.tar+zstd");
    assert_eq!(made.config["rootfs"]["diff_ids"][1], digest(&tar));
    registry.push("packed:1", &made).await;
    assert_eq!(world.says(&registry.name("packed:1"), "cat /hello").await, "from zstd");
}
