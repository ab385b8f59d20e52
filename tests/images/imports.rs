//! Images from archives, as `docker save` and others write them.

use tidegate::model::outcome::Outcome;

use crate::builder::{Layer, Made, architecture, busybox, digest, image};
use crate::registry::{World, spec};

/// What `docker save` writes: a `manifest.json` that names everything.
pub fn saved(made: &Made, tags: &[&str]) -> Layer {
    let tars: Vec<Vec<u8>> = made.layers.iter().map(|(bytes, _)| bytes.clone()).collect();
    let names: Vec<String> = (0..tars.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": tags, "Layers": names}]);
    let archive = Layer::default().file("config.json", made.config_bytes()).file("manifest.json", manifest.to_string());
    names.iter().zip(&tars).fold(archive, |archive, (name, tar)| archive.file(name, tar))
}

/// An OCI layout.
fn layout(made: &Made, name: Option<&str>) -> Layer {
    let manifest = serde_json::to_vec(&made.manifest()).unwrap();
    let annotations = name.map(|name| serde_json::json!({"org.opencontainers.image.ref.name": name}));
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(&manifest), "size": manifest.len(), "annotations": annotations,
            "platform": {"architecture": architecture(), "os": "linux"}}]});
    let blobs = made.layers.iter().map(|(bytes, _)| bytes.clone()).chain([made.config_bytes(), manifest]);
    let archive = Layer::default().file("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#).file("index.json", index.to_string());
    blobs.fold(archive, |archive, blob| archive.file(&format!("blobs/sha256/{}", &digest(&blob)[7..]), &blob))
}

fn import(world: &World, archive: &Layer, name: Option<&str>) -> Result<Vec<(String, String)>, String> {
    world.images.import(&archive.tar()[..], name).map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_docker_saved_runs_without_docker() {
    if !std::path::Path::new("/bin/busybox").exists() {
        return crate::registry::skip("what_docker_saved_runs_without_docker", "there is no busybox here: apt-get install busybox-static");
    }
    let world = World::new();
    let made = image(&[busybox(), Layer::default().file("hello", "imported\n")]);
    let done = import(&world, &saved(&made, &["app:1", "other/app:2"]), None).unwrap();
    let config = digest(&made.config_bytes());
    assert_eq!(done, [("docker.io/library/app:1".to_owned(), config.clone()), ("docker.io/other/app:2".to_owned(), config)]);
    let (result, log) = world.run(spec("other/app:2", "cat /hello")).await;
    assert_eq!((result.outcome, log.as_str()), (Outcome::Succeeded, "imported\n"));
    assert_eq!(result.record.image.unwrap().reference, "docker.io/other/app:2");

    let done = import(&world, &layout(&made, Some("example.com/laid:out")), None).unwrap();
    assert_eq!(done, [("example.com/laid:out".to_owned(), digest(&serde_json::to_vec(&made.manifest()).unwrap()))]);
    assert_eq!(import(&world, &layout(&made, None), Some("mine")).unwrap()[0].0, "docker.io/library/mine:latest");
    assert_eq!(world.says("example.com/laid:out", "cat /hello").await, "imported");
    assert_eq!(world.there("layers").len(), 2);
}

#[tokio::test]
async fn an_archive_that_is_not_what_it_should_be_is_refused() {
    let world = World::new();
    let made = image(&[Layer::default().file("a", "a")]);
    for (archive, name, expected) in [
        (Layer::default().file("a", "a"), None, "it has neither a manifest.json nor an index.json"),
        (Layer::default().file("../a", "a"), None, "goes up with `..`"),
        (saved(&made, &[]), None, "there is an image without a name in it"),
        (saved(&made, &["Not A Name"]), None, "is no image reference"),
        (layout(&made, None), None, "there is an image without a name in it"),
        (saved(&made, &["a:1"]).file("0/layer.tar", Layer::default().file("b", "b").tar()), None, "is not what its digest says"),
        (saved(&made, &["a:1"]).file("manifest.json", "[]"), None, "there are 0 images in it"),
        (saved(&made, &["a:1"]).file("manifest.json", "{"), None, "manifest.json can not be read"),
        (saved(&made, &["a:1"]).file("manifest.json", r#"[{"Config": "../../../../../../../etc/passwd", "Layers": []}]"#), Some("a"), "is not in it"),
        (
            saved(&made, &["a:1"]).link("out", "/etc/passwd").file("manifest.json", r#"[{"Config": "out", "Layers": []}]"#),
            Some("a"),
            "leads out of it",
        ),
    ] {
        let why = import(&world, &archive, name).unwrap_err();
        assert!(why.contains(expected) || expected == "is not in it" && why.contains("leads out of it"), "{expected}: {why}");
        assert_eq!((world.there("kept"), world.there("layers")), (Vec::new(), Vec::new()));
    }
    assert_eq!(world.leftovers(), Vec::<std::path::PathBuf>::new());
}
