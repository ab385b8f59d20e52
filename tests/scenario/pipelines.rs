//! Every pipeline in `pipelines/` is one that people can copy: it has no finding, it can be planned, and it runs as it is.

use std::io::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::story::{entries, nothing_left, run_outcome};
use crate::support::World;
use tidegate::model::fact::{Entry, Fact, RunFact};
use tidegate::model::outcome::RunOutcome;

#[test]
fn every_pipeline_that_people_can_copy_is_checked_planned_and_run() {
    let mut names: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(names.contains(&"quickstart.yaml".to_owned()), "{names:?}");
    for name in names {
        // Each in a world of its own: nobody else's releases and journal.
        let world = World::with(&[("README.md", "A repository.\n")]);
        world.copy_from_package("pipelines", "pipelines");
        world.commit("What was copied");
        if !has_base(&world, &name) {
            continue;
        }
        let file = format!("pipelines/{name}");
        world.tidegate(&["check", &file]).expect(0);
        world.tidegate(&["plan", &file]).expect(0);
        let facts = entries(&world.tidegate(&["run", &file, "--json"]).expect(0).out);
        assert_eq!(run_outcome(&facts), RunOutcome::Succeeded, "{name}");
        nothing_left(&world);
    }
}

/// What `build-image` is built on, as a registry would give it: an image of busybox under that name. Without busybox the story is skipped.
fn has_base(world: &World, name: &str) -> bool {
    if name != "build-image.yaml" {
        return true;
    }
    if !Path::new("/bin/busybox").exists() {
        skip("pipelines: build-image.yaml", "there is no busybox here: apt-get install busybox-static");
        return false;
    }
    let made = base();
    std::fs::write(world.path("base.tar"), made).expect("an archive");
    world.tidegate(&["images", "import", &world.path("base.tar").to_string_lossy(), BASE]).expect(0);
    true
}

const BASE: &str = "docker.io/library/busybox:1.37";

/// `docker save` of an image with one layer.
fn base() -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    put(&mut layer, "bin/busybox", &std::fs::read("/bin/busybox").expect("busybox-static"));
    for program in ["sh", "cp", "mkdir", "chmod", "cat"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        layer.append_link(&mut header, format!("bin/{program}"), "busybox").expect("a link");
    }
    let layer = layer.into_inner().expect("a layer");
    let digest = Sha256::digest(&layer).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let rootfs = serde_json::json!({"type": "layers", "diff_ids": [digest]});
    let config = serde_json::json!({"architecture": architecture, "os": "linux", "config": {"Env": ["PATH=/bin"]}, "rootfs": rootfs});
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [BASE], "Layers": ["layer.tar"]}]);
    let mut archive = tar::Builder::new(Vec::new());
    put(&mut archive, "layer.tar", &layer);
    put(&mut archive, "config.json", config.to_string().as_bytes());
    put(&mut archive, "manifest.json", manifest.to_string().as_bytes());
    archive.into_inner().expect("an archive")
}

fn put(archive: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, path, bytes).expect("an entry");
}

fn skip(test: &str, reason: &str) {
    if let Some(list) = std::env::var_os("TIDEGATE_TEST_SKIPS") {
        let mut list = std::fs::OpenOptions::new().append(true).open(list).expect("the list of skipped tests");
        writeln!(list, "{test}\t{reason}").expect("a line in it");
    }
}

#[test]
fn what_the_sample_builds_is_the_image_of_another_run() {
    let world = World::with(&[("README.md", "Hello from the image.\n")]);
    world.copy_from_package("pipelines", "pipelines");
    world.write(
        "next.yaml",
        "name: next\non: { manual: {} }\nsteps:\n  in:\n    image: site:1\n    run: cat /srv/site/index.html; echo branch $SITE_OF; while read line; do case $line in Uid*) echo $line;; esac; done < /proc/self/status\n",
    );
    world.commit("The sample");
    if !has_base(&world, "build-image.yaml") {
        return;
    }
    let run = || {
        let facts = entries(&world.tidegate(&["run", "pipelines/build-image.yaml", "--json"]).expect(0).out);
        let artifact = |entry: &Entry| match &entry.fact {
            Fact::Run(RunFact::InvocationEnded { artifacts, layer: Some(layer), .. }) if !artifacts.is_empty() => {
                Some((artifacts[0].digest.clone(), Path::new(layer).join(&artifacts[0].path)))
            }
            _ => None,
        };
        facts.iter().find_map(artifact).expect("the archive")
    };
    let ((first, archive), (second, _)) = (run(), run());
    assert_eq!(first, second, "the same step makes the same image");
    world.tidegate(&["images", "import", &archive.to_string_lossy()]).expect(0).says("docker.io/library/site:1 sha256:");
    let said = world.tidegate(&["run", "next.yaml"]).expect(0);
    assert!(["Hello from the image.", "branch main", "Uid: 1000 1000"].iter().all(|text| said.out.contains(text)), "{}", said.out);
    nothing_left(&world);
}
