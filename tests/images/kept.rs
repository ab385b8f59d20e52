//! What is kept and what is removed, and the command that shows it.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::builder::{Layer, busybox, image};
use crate::registry::{Log, Registry, World, registry, spec};
use crate::users::program;
use tidegate::adapters::executor::{Executor as _, Watcher};

fn tidegate(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", world.state.path().join("home"));
    command.env("TIDEGATE_STATE_DIR", world.state.path()).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn what_was_not_used_for_the_longest_time_goes_first_and_never_what_is_used() {
    let Some(registry) = registry("what_was_not_used_for_the_longest_time_goes_first_and_never_what_is_used") else { return };
    let world = World::new();
    let shared = busybox();
    let name = |number: u32| registry.name(&format!("app:{number}"));
    for number in 1..=3 {
        registry
            .push(
                &format!("app:{number}"),
                &image(&[shared.clone(), Layer::default().file("n", vec![b'0'; 1 << 20]).file("own", number.to_string())]),
            )
            .await;
        world.pull(&name(number)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((world.there("kept").len(), world.there("layers").len()), (3, 4));
    // Used again: now the second one is the oldest.
    let (held, lease) = world.images.obtain(&name(1), tidegate::adapters::image::PullPolicy::Never, &mut |_| {}).await.unwrap();
    let all = world.images.list().unwrap();
    assert_eq!(
        all.iter().map(|image| (image.names[0].clone(), image.in_use)).collect::<Vec<_>>(),
        [(name(1), true), (name(3), false), (name(2), false)]
    );
    let pruned = world.images.prune(all[0].bytes + (3 << 19), true).unwrap();
    assert_eq!((pruned.images.len(), pruned.layers), (1, 1), "{pruned:?}");
    assert_eq!(world.images.list().unwrap().len(), 2);
    let pruned = world.images.prune(0, true).unwrap();
    assert_eq!(pruned.images.len(), 1, "the one that is used stays: {pruned:?}");
    assert_eq!((world.there("kept").len(), world.there("layers").len()), (1, 2));
    assert!(world.images.obtain(&name(3), tidegate::adapters::image::PullPolicy::Never, &mut |_| {}).await.is_err());
    drop(lease);
    world.images.prune(0, true).unwrap();
    assert_eq!((world.there("kept"), world.there("layers"), world.there("names")), (Vec::new(), Vec::new(), Vec::new()));
    assert!(held.lease().is_err(), "what is gone can not be held any more");
}

#[tokio::test]
async fn a_living_step_keeps_its_image_also_when_nobody_follows_it() {
    let Some(registry) = registry("a_living_step_keeps_its_image_also_when_nobody_follows_it") else { return };
    let world = World::new();
    registry.push("app:1", &image(&[busybox()])).await;
    let asked = spec(&registry.name("app:1"), "echo begun; sleep 1; echo $(cat /etc/hostname) is there");
    let (file, log) = (world.state.path().join("log"), Log::default());
    {
        let (_keep, cancel) = tokio::sync::watch::channel(false);
        let begun = async {
            while !log.text().contains("begun") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = world.executor.invoke(asked.clone(), &file, Watcher { log: Box::new(log.clone()), cancel }) => panic!("it has not ended yet"),
            () = begun => {}
        }
    }
    assert_eq!(world.images.prune(0, true).unwrap().images.len(), 0);
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let result = world.executor.resume(&asked.run, &asked.node, 1, &file, Watcher { log: Box::new(log.clone()), cancel }).await;
    assert_eq!(result.outcome, tidegate::model::outcome::Outcome::Succeeded, "{}", log.text());
    assert!(log.text().ends_with("tidegate is there\n"), "{}", log.text());
    world.executor.forget(&asked.run, &asked.node, 1);
    while world.images.prune(0, true).unwrap().images.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A pull that is killed at any moment leaves nothing that the next start does not remove, and can be done again.
#[tokio::test]
async fn a_pull_that_was_killed_leaves_nothing() {
    let Some(registry) = registry("a_pull_that_was_killed_leaves_nothing") else { return };
    let world = World::new();
    let many = (0..3000).fold(Layer::default(), |layer, number| layer.file(&format!("d/{number}"), "x"));
    let layers: Vec<Layer> = (0..4).map(|number| many.clone().file("own", number.to_string())).collect();
    registry.push("app:1", &image(&layers)).await;
    let name = registry.name("app:1");
    for pause in [0, 30, 100, 250, 500] {
        let mut pull = tidegate(&world, &["images", "pull", &name]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        let _ = pull.kill();
        pull.wait().unwrap();
        let whole = world.images.list().unwrap().len();
        // What any command does that begins.
        world.store.sweep().unwrap();
        world.images.sweep().unwrap();
        assert_eq!(world.there("layers").len(), 4 * whole, "after {pause} ms");
        let scratch: Vec<_> =
            std::fs::read_dir(world.state.path().join("scratch")).unwrap().flatten().filter(|entry| entry.path().is_dir()).collect();
        assert_eq!(scratch.len(), 1, "only this process's own: {scratch:?}");
    }
    world.pull(&name).await.unwrap();
    assert_eq!(world.there("layers").len(), 4);
}

#[tokio::test]
async fn the_command_lists_pulls_imports_and_prunes() {
    let Some(registry) = registry("the_command_lists_pulls_imports_and_prunes") else { return };
    let world = World::new();
    let made = image(&[Layer::default().file("a", "a")]);
    let digest = registry.push("app:1", &made).await;
    let name = registry.name("app:1");
    let run = |arguments: &[&str]| tidegate(&world, arguments).output().unwrap();
    let pulled = run(&["images", "pull", &name]);
    assert_eq!(pulled.status.code(), Some(0), "{}", said(&pulled));
    assert_eq!(String::from_utf8_lossy(&pulled.stdout), format!("{name} {digest}\n"));
    assert!(said(&pulled).contains("s: 1 layers, "), "{}", said(&pulled));
    let listed = said(&run(&["images", "ls"]));
    assert!(listed.contains(&name) && listed.contains("1 layers  used "), "{listed}");
    let listed: serde_json::Value = serde_json::from_str(&said(&run(&["images", "ls", "--json"]))).unwrap();
    assert_eq!((&listed["digest"], &listed["in_use"]), (&digest.into(), &false.into()));

    let manifest = serde_json::json!([{"Config": "c", "RepoTags": null, "Layers": ["l"]}]).to_string();
    let archive = Layer::default().file("c", made.config_bytes()).file("l", &made.layers[0].0).file("manifest.json", manifest).tar();
    let mut import = tidegate(&world, &["images", "import", "-", "mine:1"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(&archive).unwrap();
    let imported = import.wait_with_output().unwrap();
    assert!(said(&imported).starts_with("docker.io/library/mine:1 sha256:"), "{}", said(&imported));
    let pruned = said(&run(&["images", "prune"]));
    assert!(pruned.contains("2 images, 1 layers, "), "{pruned}");

    for (arguments, code, expected) in [
        (&["images", "pull", "Not A Name"][..], 2, "is no image reference"),
        (&["images", "pull", &registry.name("nobody:1")], 4, "is not to be found"),
        (&["images", "import", "/nowhere/at-all"], 2, "can not be read"),
        (&["images", "prune", "--keep", "1GB"], 2, "is no unit here"),
    ] {
        let seen = run(arguments);
        assert_eq!(seen.status.code(), Some(code), "{}", said(&seen));
        assert!(said(&seen).contains(expected), "{}", said(&seen));
    }
}

/// The password is `secret`, as the registry stores it.
const PASSWORDS: &str = "somebody:$2b$04$KS9chvMuDB3ZDnfya8J0l.dhp4MTB8hAgJCIq2HaHWVMGPfGFkVv6\n";

#[tokio::test]
async fn credentials_are_those_of_dockers_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let passwords = folder.path().join("htpasswd");
    std::fs::write(&passwords, PASSWORDS).unwrap();
    let Ok(registry) = Registry::start(&format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", passwords.display())) else {
        return crate::registry::skip("credentials_are_those_of_dockers_configuration", "there is no docker-registry here");
    };
    let world = World::new();
    let host = registry.name("").trim_end_matches('/').to_owned();
    let pull = |password: &str| {
        use base64::Engine as _;
        let config = folder.path().join("config.json");
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("somebody:{password}"));
        std::fs::write(config, serde_json::json!({"auths": {&host: {"auth": auth}}}).to_string()).unwrap();
        tidegate(&world, &["images", "pull", &registry.name("private:1")]).env("DOCKER_CONFIG", folder.path()).output().unwrap()
    };
    let refused = pull("wrong");
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        said(&refused).contains(&format!(
            "the registry {host} does not take the credentials that are known for it, or does not let them pull {}: `docker login {host}` again",
            registry.name("private:1")
        )),
        "{}",
        said(&refused)
    );
    assert!(!said(&refused).contains("wrong"), "a password is never said");
    // Nothing was pushed: with the right one it is another answer.
    let allowed = pull("secret");
    assert!(said(&allowed).contains("is not to be found"), "{}", said(&allowed));
}
