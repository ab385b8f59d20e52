//! Steps in an image, on the sandbox.

use std::path::Path;

use tidegate::model::invocation::{InvocationSpec, OutputDeclaration};
use tidegate::model::outcome::Outcome;

use crate::builder::{Layer, busybox, image};
use crate::registry::{World, registry, spec};

#[tokio::test]
async fn a_step_sees_the_image_and_nothing_of_the_host() {
    let Some(registry) = registry("a_step_sees_the_image_and_nothing_of_the_host") else { return };
    let world = World::new();
    let own = Layer::default().folder("own").program("own/tool", "#!/bin/sh\necho tool of the image\n").file("etc/hosts", "6.6.6.6 evil\n");
    registry.push("app:1", &image(&[busybox(), own])).await;
    let name = registry.name("app:1");
    let (result, log) = world.run(spec(&name, "tool; echo $FROM_IMAGE $HOME; pwd; id -u; ls /; cat /etc/hosts; ls /usr 2>&1 | head -1")).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
    let said: Vec<&str> = log.lines().filter(|line| !line.starts_with("[tidegate: ")).collect();
    let expected = "tool of the image\nyes /root\n/workspace\n0\nbin\ndev\netc\nown\nproc\nroot\nrun\ntmp\nworkspace\n127.0.0.1 localhost tidegate\n::1 localhost\nls: /usr: No such file or directory";
    assert_eq!(said.join("\n"), expected);
    let record = result.record;
    assert_eq!(record.executor, "sandbox");
    let recorded = record.image.unwrap();
    assert_eq!(recorded.reference, name);
    assert!(recorded.digest.starts_with("sha256:"));
    assert!(record.isolation.iter().any(|held| held == "image-root") && record.isolation.iter().any(|held| held == "no-capabilities"));
    assert!(log.contains("[tidegate: pulling ") && log.contains("layer 2 of 2"), "{log}");
    // The second time there is nothing to say.
    let (_, log) = world.run(spec(&name, "echo again")).await;
    assert_eq!(log, "again\n");
    assert_eq!(world.leftovers(), Vec::<std::path::PathBuf>::new());
}
