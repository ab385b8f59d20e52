//! Passwords that the settings name: with everything that pulls, before Docker's configuration, and read anew at each pull.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use tidegate::adapters::executor::{AnyExecutor, ContainerExecutor, Executor as _, Pull, SandboxExecutor, Watcher};
use tidegate::adapters::image::{Keyring, PullPolicy};
use tidegate::adapters::sandbox::Isolation;
use tidegate::model::outcome::Outcome;
use tidegate::model::secret::SecretSource;
use tidegate::model::settings::Account;
use tokio::sync::watch;

use super::beside::{OTHER, OTHER_HTPASSWD};
use super::{Home, PASSWORD, USER, auths, basic, configuration, nowhere, seen, settings, world};
use crate::builder::{Layer, image, own_busybox};
use crate::registry::{Log, registry, spec};
use crate::support::{Seen, World};

/// A run with these settings; of Docker's configuration there is this text.
fn with(home: &Home, world: &World, settings: &Path, docker: &str, environment: &[(&str, &OsStr)]) -> Seen {
    let folder = configuration(world, "docker", docker);
    let mut command = home.run(world, "always", environment);
    command.env("DOCKER_CONFIG", folder).env("TIDEGATE_CONFIG", settings);
    seen(command)
}

#[tokio::test]
async fn the_settings_name_a_password_which_comes_before_what_docker_knows() {
    let test = "private::named::the_settings_name_a_password_which_comes_before_what_docker_knows";
    let Some(open) = registry(test) else { return };
    open.push("own/app:1", &image(&[own_busybox(), Layer::default().file("which", "private\n")])).await;
    for home in Home::all(test) {
        let closed = home.closed(&open);
        let (host, name) = (closed.host(), closed.name("own/app:1"));
        let world = world(&name, "cat /which");
        let file = |name: &str, text: &str| {
            std::fs::write(world.path(name), text).unwrap();
            format!("{{ file: {} }}", world.path(name).display())
        };
        let (right, wrong) = (file("right", &format!("{PASSWORD}\n")), file("wrong", "another"));
        let in_docker = |password: &str| auths(&host, USER, password);

        for docker in ["{}".to_owned(), in_docker("another"), "{".to_owned()] {
            let settings = settings(&world, &host, &right);
            let seen = with(&home, &world, &settings, &docker, &[]).expect(0).says("private");
            assert!(!seen.all().contains("can not be used"), "{}: {}", home.name(), seen.all());
            nowhere(&world, &seen);
            home.forget(&name);
        }
        let variable = settings(&world, &host, "{ env: OF_THE_REGISTRY }");
        let seen = with(&home, &world, &variable, "{}", &[("OF_THE_REGISTRY", OsStr::new(PASSWORD))]).expect(0).says("private");
        nowhere(&world, &seen);
        home.forget(&name);
        // That of another registry leaves Docker's alone.
        let other = settings(&world, "elsewhere.example.com", &wrong);
        with(&home, &world, &other, &in_docker(PASSWORD), &[]).expect(0).says("private");
        home.forget(&name);

        let refused = with(&home, &world, &settings(&world, &host, &wrong), &in_docker(PASSWORD), &[]).expect(4);
        let gone = with(&home, &world, &settings(&world, &host, "{ file: /nowhere/password }"), &in_docker(PASSWORD), &[]).expect(4);
        let unset = with(&home, &world, &settings(&world, &host, "{ env: OF_THE_REGISTRY }"), &in_docker(PASSWORD), &[]).expect(4);
        let says: [(&Seen, &[&str]); 3] = [
            (&refused, &["does not take the credentials that are known for it", "\"ada\"", "/wrong"]),
            (&gone, &["/nowhere/password", "No such file"]),
            (&unset, &["the variable OF_THE_REGISTRY", "it is not set"]),
        ];
        for (seen, words) in says {
            let said = seen.all();
            assert!(said.contains(&format!("`registries: {host}` in the settings")) && said.contains("infrastructure"), "{}: {said}", home.name());
            assert!(words.iter().all(|word| said.contains(word)) && !said.contains("docker login"), "{}: {said}", home.name());
            assert!(!said.contains("another") && !said.contains(&basic(USER, "another")), "{}: {said}", home.name());
            nowhere(&world, seen);
        }
    }
}

#[tokio::test]
async fn an_image_that_is_built_on_a_private_one_and_one_that_is_pulled_by_hand_are_had_with_it() {
    let test = "private::named::an_image_that_is_built_on_a_private_one_and_one_that_is_pulled_by_hand_are_had_with_it";
    let Some(open) = registry(test) else { return };
    let digest = open.push("own/base:1", &image(&[own_busybox()])).await;
    let home = Home::Sandbox;
    let closed = home.closed(&open);
    let name = closed.name("own/base:1");
    let file = format!(
        "name: private\non: {{ manual: {{}} }}\nsteps:\n  inside:\n    image: {name}\n    run: echo > /made\n    build: {{ archive: app.tar, tag: \"app:1\" }}\n    outputs: {{ app: app.tar }}\n"
    );
    let world = World::with(&[(".tidegate/private.yaml", &file)]);
    std::fs::write(world.path("right"), PASSWORD).unwrap();
    let settings = settings(&world, &closed.host(), &format!("{{ file: {} }}", world.path("right").display()));
    nowhere(&world, &with(&home, &world, &settings, "{}", &[]).expect(0));

    let mut pull = world.command(&["images", "pull", &name]);
    pull.env("TIDEGATE_CONFIG", &settings);
    nowhere(&world, &seen(pull).expect(0).says(&digest));
}

/// In one process, as a server is.
#[tokio::test]
async fn a_password_that_is_changed_between_two_pulls_is_the_one_of_the_second() {
    let test = "private::named::a_password_that_is_changed_between_two_pulls_is_the_one_of_the_second";
    let Some(open) = registry(test) else { return };
    open.push("own/app:1", &image(&[own_busybox()])).await;
    for home in Home::all(test) {
        let closed = home.closed(&open);
        let name = closed.name("own/app:1");
        let own = crate::registry::World::new();
        let file = tempfile::NamedTempFile::new().unwrap();
        let account = Account { user: USER.to_owned(), password: SecretSource::File(file.path().to_owned()) };
        let keyring = Keyring::new(BTreeMap::from([(closed.host(), account)]));
        let executor = Arc::new(match &home {
            Home::Sandbox => {
                let sandbox = SandboxExecutor::new(own.state.path(), own.store.clone(), Vec::new(), Isolation::Full);
                AnyExecutor::Sandbox(sandbox.pulling(PullPolicy::Always, u64::MAX).knowing(keyring))
            }
            Home::Engine(engine) => {
                let container = ContainerExecutor::new(own.state.path(), own.store.clone(), (**engine).clone(), Pull::Always).unwrap();
                AnyExecutor::Container(container.knowing(keyring))
            }
        });
        let run = async |attempt: u32| {
            let (log, path) = (Log::default(), own.state.path().join("log"));
            let (_keep, cancel) = watch::channel(false);
            let asked = tidegate::model::invocation::InvocationSpec { attempt, ..spec(&name, "echo ran") };
            let (run, node) = (asked.run.clone(), asked.node.clone());
            let result = executor.invoke(asked, &path, Watcher { log: Box::new(log.clone()), cancel }).await;
            let _ = std::fs::remove_file(&path);
            executor.forget(&run, &node, attempt);
            (result.outcome, log.text())
        };
        std::fs::write(file.path(), PASSWORD).unwrap();
        let (outcome, log) = run(1).await;
        assert!(matches!(outcome, Outcome::Succeeded), "{}: {outcome:?} {log}", home.name());
        closed.put("users", OTHER_HTPASSWD);
        let (outcome, log) = run(2).await;
        assert!(format!("{outcome:?}").contains("`registries: "), "{}: {outcome:?} {log}", home.name());
        std::fs::write(file.path(), OTHER).unwrap();
        let (outcome, log) = run(3).await;
        assert!(matches!(outcome, Outcome::Succeeded), "{}: {outcome:?} {log}", home.name());
        assert!(log.contains("ran") && !log.contains(OTHER), "{log}");
        home.forget(&name);
    }
}
