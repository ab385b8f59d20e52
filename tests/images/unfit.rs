//! Images of which is known beforehand that the sandbox can not stand on them: `--executor auto` sends their steps to an engine, where there is one.

use std::collections::BTreeMap;
use std::io::Write as _;

use tidegate::adapters::executor::{AnyExecutor, Choice, Configuration, Executor as _, Watcher, open};
use tidegate::adapters::image::{Keyring, PullPolicy};
use tidegate::model::build::{Begins, ImageBuild};
use tidegate::model::invocation::{InvocationResult, InvocationSpec};
use tidegate::model::outcome::Outcome;
use tidegate::model::service::Ready;
use tokio::sync::watch;

use crate::builder::{busybox, image};
use crate::engines;
use crate::registry::{Log, World, registry, spec};
use crate::services::service;

struct Asked {
    world: World,
    executor: AnyExecutor,
}

impl Asked {
    async fn at(engine: &str) -> Self {
        let world = World::new();
        let configuration = Configuration {
            state: world.state.path().to_owned(),
            store: world.store.clone(),
            allow_unisolated: false,
            host_tools: Vec::new(),
            engine: Some(engine.to_owned()),
            pull: PullPolicy::Missing,
            keep_images: u64::MAX,
            keyring: Keyring::default(),
            require: Vec::new(),
        };
        let executor = open(Choice::Auto, configuration).await.unwrap();
        Self { world, executor }
    }

    async fn run(&self, spec: InvocationSpec) -> (InvocationResult, String) {
        let (log, file) = (Log::default(), self.world.state.path().join("log"));
        let (_keep, cancel) = watch::channel(false);
        let (run, node, attempt) = (spec.run.clone(), spec.node.clone(), spec.attempt);
        let result = self.executor.invoke(spec, &file, Watcher { log: Box::new(log.clone()), cancel }).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), log.text(), "what is shown is what is kept");
        let _ = std::fs::remove_file(&file);
        self.executor.forget(&run, &node, attempt);
        (result, log.text())
    }
}

#[tokio::test]
async fn a_step_whose_image_is_too_much_for_the_sandbox_goes_to_an_engine_and_the_record_says_why() {
    const TEST: &str = "unfit::a_step_whose_image_is_too_much_for_the_sandbox_goes_to_an_engine";
    let Some(registry) = registry(TEST) else { return };
    let Some(engine) = engines::engine_or_skip("TIDEGATE_TEST_DOCKER", TEST) else { return };
    let made = image(&[busybox()]);
    registry.push("huge:1", &made).await;
    // A layer of nine gibibytes, as the manifest says.
    let mut manifest = made.manifest();
    manifest["layers"][0]["size"] = (9_u64 << 30).into();
    registry.push_manifest("huge:1", &manifest).await;
    let huge = registry.name("huge:1");
    // The engine has one of that name.
    let mut tar = tempfile::NamedTempFile::new().unwrap();
    tar.write_all(&busybox().tar()).unwrap();
    engines::lines(&engine, &["import", "--change", "CMD [\"sleep\", \"1000\"]", &tar.path().to_string_lossy(), &huge]);

    let reason = format!("the sandbox can not stand on {huge}: one of its layers has 9663676416 bytes, and 8589934592 are the most");
    let asked = Asked::at(&engine.socket.to_string_lossy()).await;
    let (result, log) = asked.run(spec(&huge, "echo inside; cat /etc/passwd | head -1")).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
    assert_eq!((result.record.executor.as_str(), result.record.chosen.as_ref()), ("container", Some(&format!("auto: container, as {reason}"))));
    assert!(log.starts_with(&format!("[tidegate: pulling {huge}]\n")) && log.ends_with("inside\nroot:x:0:0:root:/root:/bin/sh\n"), "{log}");
    // What is good for the sandbox stays there.
    registry.push("small:1", &made).await;
    let (result, _) = asked.run(spec(&registry.name("small:1"), "true")).await;
    assert_eq!((result.outcome, result.record.executor.as_str()), (Outcome::Succeeded, "sandbox"));
    // A service's counts as well.
    let with_service = |image: Option<String>| InvocationSpec {
        image,
        services: vec![service("huge", &huge, Some(Ready::Command("true".to_owned())))],
        ..spec(&huge, "grep -c huge /etc/hosts")
    };
    let (result, log) = asked.run(with_service(Some(huge.clone()))).await;
    assert_eq!((result.outcome, result.record.executor.as_str(), result.record.services.len()), (Outcome::Succeeded, "container", 1), "{log}");
    assert_eq!(asked.executor.tidy().await.unwrap(), 0);

    // Where no engine can help, it is said as it is.
    let build = ImageBuild { archive: "app.tar".to_owned(), tag: None, env: BTreeMap::new(), begins: Begins::default() };
    let without = Asked::at("/nowhere/docker.sock").await;
    for (world, spec) in
        [(&asked, InvocationSpec { build: Some(build), ..spec(&huge, "true") }), (&asked, with_service(None)), (&without, spec(&huge, "true"))]
    {
        let (result, _) = world.run(spec).await;
        let Outcome::Infrastructure { reason: said } = &result.outcome else { panic!("{result:?}") };
        assert_eq!(said, &format!("{reason}; a container engine may (`--executor container`)"));
        assert!(!result.record.started && result.record.executor == "sandbox");
    }
    engines::lines(&engine, &["rmi", &huge]);
}
