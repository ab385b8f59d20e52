//! Steps in an image, on the sandbox.

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
    assert!(log.contains("[tidegate: pulling ") && log.contains("s: 2 layers, "), "{log}");
    // The second time there is nothing to say.
    let (_, log) = world.run(spec(&name, "echo again")).await;
    assert_eq!(log, "again\n");
    assert_eq!(world.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn what_a_step_writes_is_its_own_and_what_it_leaves_is_an_output() {
    let Some(registry) = registry("what_a_step_writes_is_its_own_and_what_it_leaves_is_an_output") else { return };
    let world = World::new();
    registry.push("app:1", &image(&[busybox()])).await;
    let name = registry.name("app:1");
    let output = OutputDeclaration { name: "it".to_owned(), path: "it".to_owned() };
    let changing = "echo changed > /etc/passwd; rm /bin/ls; mkdir /new; echo x > /new/file; mkdir it; echo out > it/file; cp /bin/busybox /tmp/; echo key=value >> $TIDEGATE_OUTPUT";
    let (result, log) = world.run(InvocationSpec { outputs: vec![output], ..spec(&name, changing) }).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
    assert_eq!(result.values["key"], "value");
    let layer = result.layer.unwrap();
    assert_eq!(std::fs::read_to_string(layer.join("it/file")).unwrap(), "out\n");
    // /etc/passwd and /new/file.
    assert_eq!(result.record.discarded.files, 2, "{:?}", result.record.discarded);
    // The next one sees the image, and what it needs.
    let needs =
        InvocationSpec { layers: vec![layer], ..spec(&name, "ls -d /new 2>/dev/null || head -1 /etc/passwd; cat it/file; echo > it/file; echo $?") };
    let (result, log) = world.run(needs).await;
    assert_eq!((result.outcome, log.as_str()), (Outcome::Succeeded, "root:x:0:0:root:/root:/bin/sh\nout\n0\n"));
    assert_eq!(world.leftovers(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn whoever_the_image_wants_to_be_a_step_sees_itself_so_and_has_no_more_rights() {
    let Some(registry) = registry("whoever_the_image_wants_to_be_a_step_sees_itself_so_and_has_no_more_rights") else { return };
    let world = World::new();
    let script = "id -u; id -g; echo $HOME; test -d $HOME && echo there; stat -c %u /bin/busybox; grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | grep -vc 0000000000000000 || true; \
        cat /proc/sys/user/max_user_namespaces; chown 5 /bin/busybox 2>/dev/null || echo no chown; hostname other 2>/dev/null || echo no hostname";
    for (user, seen) in [("", "0\n0\n/root"), ("app", "1234\n1234\n/home/app"), ("77:88", "77\n88\n/tmp/home"), ("0", "0\n0\n/root")] {
        registry.push("user:1", &image(&[busybox()]).with("User", user)).await;
        let uid = seen.split('\n').next().unwrap();
        let name = format!("{}@{}", registry.name("user"), registry.push("user:1", &image(&[busybox()]).with("User", user)).await);
        assert_eq!(world.says(&name, script).await, format!("{seen}\nthere\n{uid}\n0\n0\nno chown\nno hostname"), "{user:?}");
    }
    let who = format!("{}@{}", registry.name("user"), registry.push("user:1", &image(&[busybox()]).with("User", "who")).await);
    let (result, _) = world.run(spec(&who, "true")).await;
    assert!(
        matches!(&result.outcome, Outcome::Infrastructure { reason } if reason.contains("it wants to run as \"who\", who is not in its /etc/passwd")),
        "{result:?}"
    );
}

#[tokio::test]
async fn what_an_image_lacks_is_said() {
    let Some(registry) = registry("what_an_image_lacks_is_said") else { return };
    let world = World::new();
    registry.push("bare:1", &image(&[Layer::default().file("app", "x")])).await;
    let (result, _) = world.run(spec(&registry.name("bare:1"), "true")).await;
    let Outcome::Failed { reason, .. } = result.outcome else { panic!("{:?}", result.outcome) };
    assert!(reason.contains("has no /bin/sh, which `run:` needs") && reason.contains("use an image with a shell"), "{reason}");
    registry.push("few:1", &image(&[busybox()])).await;
    let (result, _) = world.run(spec(&registry.name("few:1"), "python3 x")).await;
    let Outcome::Failed { reason, .. } = result.outcome else { panic!("{:?}", result.outcome) };
    assert!(reason.contains("a command was not found (python3); 127.0.0.1") && reason.ends_with("does not have it"), "{reason}");
}

#[tokio::test]
async fn the_environment_is_the_images_below_the_steps() {
    let Some(registry) = registry("the_environment_is_the_images_below_the_steps") else { return };
    let world = World::new();
    let made =
        image(&[busybox()]).with("Env", serde_json::json!(["PATH=/bin", "A=image", "B=image", "CI=false", "TIDEGATE_RUN=forged", "HOME=/elsewhere"]));
    registry.push("env:1", &made.with("WorkingDir", "/nowhere").with("Entrypoint", serde_json::json!(["/bin/false"]))).await;
    let mut asked = spec(&registry.name("env:1"), "echo $A $B $CI $TIDEGATE_RUN $HOME $PATH; pwd");
    asked.env.insert("B".to_owned(), "step".to_owned());
    let (_, log) = world.run(asked).await;
    assert!(log.ends_with("\nimage step false r1 /elsewhere /run/tidegate/bin:/bin\n/workspace\n"), "{log}");
}

#[tokio::test]
async fn the_limits_and_the_network_are_the_sandboxes() {
    let Some(registry) = registry("the_limits_and_the_network_are_the_sandboxes") else { return };
    let world = World::new();
    registry.push("app:1", &image(&[busybox()])).await;
    let name = registry.name("app:1");
    let mut asked = spec(&name, "head -c 50000000 /dev/zero > /big; sync; sleep 5");
    asked.resources.disk = Some(10 << 20);
    let (result, _) = world.run(asked).await;
    let Outcome::Failed { reason, .. } = result.outcome else { panic!("{:?}", result.outcome) };
    assert!(reason.contains("its limit of 10 MiB"), "{reason}");
    // With the host's network as well, which is built another way.
    let mut open = spec(&name, "ls /sys 2>&1 || true; id -u; cat /etc/resolv.conf; touch /dev/x 2>&1 || true; ls -d /usr 2>&1 || true");
    open.network = tidegate::model::limits::Network::Open;
    let (result, log) = world.run(open).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
    assert!(log.starts_with("ls: /sys: No such file or directory\n0\n"), "{log}");
    assert!(log.contains(std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default().trim_end()), "{log}");
    assert!(log.ends_with("touch: /dev/x: Read-only file system\nls: /usr: No such file or directory\n"), "{log}");
}
