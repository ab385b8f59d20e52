//! Attacks on steps in an engine's containers, by the step, by its image, and by what else is in the engine. And what is said when there is none.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use tidegate::adapters::executor::{AnyExecutor, ContainerExecutor, Engine, Executor as _, Pull};
use tidegate::adapters::sandbox;
use tidegate::adapters::workspace::Store;
use tidegate::model::invocation::InvocationSpec;
use tidegate::model::limits::{Network, Resources};
use tidegate::model::outcome::Outcome;

use crate::engines::{self, docker, lines};
use crate::executor::{Scene, processes_with, spec};

fn scenes() -> Vec<(Engine, Scene)> {
    sandbox::set_program(env!("CARGO_BIN_EXE_tidegate"));
    engines::all().into_iter().map(|engine| (engine.clone(), Scene::in_engine(engine))).collect()
}

fn container(scene: &Scene) -> &ContainerExecutor {
    let AnyExecutor::Container(executor) = &scene.executor.executor else { panic!("a container") };
    executor
}

fn resources() -> Resources {
    Resources { cpu: None, memory: None, pids: None, disk: None }
}

#[test]
fn docker_takes_part() {
    let Some(engine) = engines::engine_or_skip("TIDEGATE_TEST_DOCKER", "containers::docker_takes_part") else { return };
    assert!(engine.name.starts_with("Docker Engine "), "{engine:?}");
}

#[test]
fn podman_takes_part() {
    let Some(engine) = engines::engine_or_skip("TIDEGATE_TEST_PODMAN", "containers::podman_takes_part") else { return };
    assert!(engine.name.starts_with("Podman "), "{engine:?}");
}

#[tokio::test]
async fn a_step_has_no_privilege_no_engine_and_nothing_of_the_state_folder() {
    for (engine, scene) in scenes() {
        let state = scene.state.path().display();
        let script = format!(
            "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t' | tr '\\n' ' '; echo
            test $(id -u) != 0 || echo root
            find / -xdev -type s 2>/dev/null
            for at in /run/docker.sock /var/run/docker.sock /run/podman {state} {}; do test ! -e $at || echo sees $at; done
            mount -t tmpfs none /tmp 2>/dev/null && echo mounted
            mknod /tmp/disk b 254 0 2>/dev/null && echo device
            chroot / true 2>/dev/null && echo chroot
            (echo 1 > /proc/sys/kernel/panic) 2>/dev/null && echo kernel
            touch /run/tidegate/script /run/tidegate/x 2>/dev/null && echo wrote
            true",
            engine.socket.display()
        );
        let (result, log) = scene.run(spec(&script)).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
        let none = "0000000000000000";
        assert_eq!(log, format!("CapInh:{none} CapPrm:{none} CapEff:{none} CapBnd:{none} CapAmb:{none} NoNewPrivs:1 Seccomp:2 \n"));
    }
}

#[tokio::test]
async fn a_step_reaches_no_network_unless_it_may_and_never_the_hosts_loopback() {
    for (_, scene) in scenes() {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = host.local_addr().unwrap().port();
        let reach = format!("nc -w 2 127.0.0.1 {port} </dev/null 2>/dev/null && echo reached; true");
        let (result, log) =
            scene.run(spec(&format!("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; cat /proc/net/route | tail -n +2; {reach}"))).await;
        assert_eq!((result.outcome, log.as_str()), (Outcome::Succeeded, "lo\n"));
        assert!(result.record.isolation.contains(&"no-network".to_owned()));
        let (result, log) = scene.run(InvocationSpec { network: Network::Open, ..spec(&reach) }).await;
        assert_eq!((result.outcome, log.as_str()), (Outcome::Succeeded, ""));
        assert!(!result.record.isolation.contains(&"no-network".to_owned()));
    }
}

/// The attacks on it are those on every executor's, in `tests/attacks/egress`.
#[tokio::test]
async fn a_way_out_to_certain_hosts_is_opened_before_the_step_begins_and_changes_nothing_else() {
    for (engine, scene) in scenes() {
        let only = || Network::Only(vec!["allowed.test".parse().unwrap()]);
        let script =
            "env | grep -iv _proxy= | sort; echo; printf 'GET http://no.test/ HTTP/1.0\r\n\r\n' | nc 127.0.0.1 9128 | head -n 1 | cut -c 1-12
            echo error >&2; kill -9 $$";
        let (plain, without) = scene.run(spec(script)).await;
        let (result, with) = scene.run(InvocationSpec { network: only(), ..spec(script) }).await;
        assert_eq!(plain.outcome, result.outcome);
        assert_eq!(
            with,
            without.replace("\n\n", "\n\nHTTP/1.0 403\n").replace("nc: can't connect to remote host (127.0.0.1): Connection refused\n", "")
        );
        assert_eq!(result.record.egress.attempts.len(), 1);
        assert!(result.record.isolation.contains(&"egress-proxy".to_owned()) && !result.record.unheld.contains(&"egress-proxy".to_owned()));

        // An image whose folders lead elsewhere on the way to what we show in it.
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for made in ["bin", "var/elsewhere"] {
            std::fs::create_dir_all(root.join(made)).unwrap();
        }
        std::fs::copy("/bin/busybox", root.join("bin/sh")).unwrap();
        std::os::unix::fs::symlink("/var/elsewhere", root.join("run")).unwrap();
        import(&engine, root, "tidegate-test-elsewhere:1");
        let elsewhere = InvocationSpec { image: Some("tidegate-test-elsewhere:1".to_owned()), network: only(), ..spec("echo ran") };
        let (result, log) = scene.run(elsewhere).await;
        assert_eq!((result.outcome, log.as_str()), (Outcome::Succeeded, "ran\n"));
    }
}

#[tokio::test]
async fn a_way_out_that_can_not_be_had_is_refused_before_anything_runs() {
    for (engine, _) in scenes() {
        for (lacking, word) in [("rootless", "runs without root"), ("elsewhere", "on another machine or in a virtual one")] {
            let mut changed = serde_json::to_value(&engine).unwrap();
            changed[lacking] = true.into();
            let scene = Scene::in_engine(serde_json::from_value(changed).unwrap());
            for network in [Network::Only(Vec::new()), Network::Learn] {
                let (result, log) = scene.run(InvocationSpec { network, ..spec("echo ran") }).await;
                let Outcome::Infrastructure { reason } = &result.outcome else { panic!("{result:?}") };
                assert!(reason.contains(word) && reason.contains("leave `--executor container` out"), "{reason}");
                assert!(!result.record.started && log.is_empty() && result.record.image.is_none());
            }
        }
    }
}

#[tokio::test]
async fn nothing_that_a_step_started_survives_it() {
    for (engine, scene) in scenes() {
        let script = "trap '' TERM; setsid nohup sleep 976431 >/dev/null 2>&1 & (sleep 976431 &); sleep 0.1; echo ended";
        let (result, log) = scene.run(spec(script)).await;
        assert_eq!((&result.outcome, log.as_str()), (&Outcome::Succeeded, "ended\n"));
        assert!(processes_with("sleep\x00976431").is_empty());
        assert_eq!(scene.leftovers(), [""; 0]);
        assert_eq!(ours(&engine, &scene), [""; 0]);
        assert!(result.record.cpu_us().is_some(), "it was counted, in a group of its own");
        // What watched it may end a moment later: what is there then, whoever sweeps takes.
        let begun = std::time::Instant::now();
        while !engines::groups(scene.state.path()).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", engines::groups(scene.state.path()));
            container(&scene).tidy().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What is in the engine under this state folder's label.
fn ours(engine: &Engine, scene: &Scene) -> Vec<String> {
    // Anything of it has its scratch folder or its script mounted.
    let mark = scene.state.path().to_string_lossy().into_owned();
    let all = engines::objects(engine);
    all.into_iter().filter(|name| String::from_utf8_lossy(&docker(engine, &["inspect", name]).stdout).contains(&mark)).collect()
}

#[tokio::test]
async fn a_limit_is_held_by_the_engine_and_named() {
    for (_, scene) in scenes() {
        let with = |resources: Resources, script: &str| InvocationSpec { resources, ..spec(script) };
        let (result, log) = scene.run(with(Resources { memory: Some(32 << 20), ..resources() }, "tail /dev/zero")).await;
        assert!(
            matches!(&result.outcome, Outcome::Failed { reason, .. } if reason.contains("needed more memory than its limit of 32 MiB")),
            "{result:?} {log}"
        );
        let forks = "n=0; while [ $n -lt 200 ]; do sleep 5 & n=$((n+1)); done 2>/dev/null; echo all";
        let (result, log) = scene.run(with(Resources { pids: Some(32), ..resources() }, forks)).await;
        assert!(matches!(result.outcome, Outcome::Failed { .. }) && !log.contains("all"), "{result:?} {log}");
        let writes = "dd if=/dev/zero of=big bs=1M count=64 2>/dev/null; sleep 5";
        let (result, _) = scene.run(with(Resources { disk: Some(8 << 20), ..resources() }, writes)).await;
        assert!(matches!(&result.outcome, Outcome::Failed { reason, .. } if reason.contains("wrote more than its limit of 8 MiB")), "{result:?}");
    }
}

/// An image decides what is in it, and nothing else.
#[tokio::test]
async fn an_image_has_no_say_in_how_it_is_run() {
    for (engine, scene) in scenes() {
        let hostile = "tidegate-test-hostile:1";
        let changes = [
            "ENTRYPOINT [\"/bin/false\"]",
            "USER 0:0",
            "WORKDIR /etc",
            "ENV TIDEGATE_STEP=forged",
            "ENV FROM_IMAGE=yes",
            "ENV PATH=/bin:/from/image",
            "VOLUME /workspace",
        ];
        build(&engine, hostile, &changes);
        let script = "id -u; pwd; echo $TIDEGATE_STEP $FROM_IMAGE; ls -a; echo $PATH";
        let (result, log) = scene.run(InvocationSpec { image: Some(hostile.to_owned()), ..spec(script) }).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
        let uid = sandbox::outer_uid().unwrap_or(rustix::process::geteuid().as_raw());
        assert_eq!(log, format!("{uid}\n/workspace\nbuild yes\n.\n..\n/run/tidegate/bin:/bin:/from/image\n"));
        let used = result.record.image.unwrap();
        assert_eq!(used.reference, format!("docker.io/library/{hostile}"));
        assert!(used.digest.starts_with("sha256:"));
    }
}

/// An image of the tests' own, with something added.
fn build(engine: &Engine, name: &str, changes: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let tar = folder.path().join("image.tar");
    let made = docker(engine, &["create", engines::IMAGE, "true"]);
    let id = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    lines(engine, &["export", "--output", &tar.to_string_lossy(), &id]);
    lines(engine, &["rm", &id]);
    // Podman calls what has no registry local.
    let name = if engine.name.starts_with("Podman") { format!("docker.io/library/{name}") } else { name.to_owned() };
    let mut arguments = vec!["import"];
    changes.iter().for_each(|change| arguments.extend(["--change", change]));
    let tar = tar.to_string_lossy().into_owned();
    arguments.extend([tar.as_str(), &name]);
    lines(engine, &arguments);
}

/// Labels can come with an image, and so on anybody's container. The reaper must not believe them.
#[tokio::test]
async fn the_reaper_takes_only_what_is_ours_and_nobodys() {
    for (engine, scene) in scenes() {
        let other = Scene::in_engine(engine.clone());
        let living = async {
            let (result, log) = scene.run(spec("echo begun; sleep 3; echo lived")).await;
            assert_eq!((result.outcome, log.as_str()), (Outcome::Succeeded, "begun\nlived\n"));
        };
        let attack = async {
            let name = loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if let Some(name) = ours(&engine, &scene).first() {
                    break name.clone();
                }
            };
            let label = |key: &str| lines(&engine, &["inspect", "--format", &format!("{{{{index .Config.Labels \"{key}\"}}}}"), &name])[0].clone();
            let labels: Vec<String> = ["state", "run", "node", "attempt"]
                .iter()
                .map(|key| format!("dev.tidegate.{key}={}", label(&format!("dev.tidegate.{key}"))))
                .collect();
            // All of our labels, and one run that nobody owns.
            let forged: Vec<String> = labels.iter().map(|label| format!("LABEL {}", label.replace("run=r1", "run=gone"))).collect();
            build(&engine, "tidegate-test-forged:1", &forged.iter().map(String::as_str).collect::<Vec<_>>());
            let innocent = format!("innocent-{}", std::process::id());
            lines(&engine, &["create", "--name", &innocent, "tidegate-test-forged:1", "true"]);
            assert_eq!(container(&other).tidy().await.unwrap(), 0, "another state folder's");
            assert_eq!(container(&scene).tidy().await.unwrap(), 0, "what lives, and what only says that it is ours");
            assert_eq!(lines(&engine, &["inspect", "--format", "{{.Name}}", &innocent]).len(), 1);
            lines(&engine, &["rm", &innocent]);
        };
        tokio::join!(living, attack);
    }
}

#[tokio::test]
async fn what_can_not_be_had_is_said_with_what_to_do() {
    for (engine, scene) in scenes() {
        let reason = |outcome: Outcome| match outcome {
            Outcome::Infrastructure { reason } | Outcome::Failed { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        let absent = InvocationSpec { image: Some("tidegate-test-absent:1".to_owned()), ..spec("true") };
        let (result, _) = scene.run(absent.clone()).await;
        let said = reason(result.outcome);
        assert!(said.starts_with("the image tidegate-test-absent:1 is not in the container engine, and --pull never forbids to fetch it"), "{said}");
        assert!(!result.record.started);

        let pulling = pulling(&scene, engine.clone());
        let nowhere = InvocationSpec { image: Some("127.0.0.1:1/absent:1".to_owned()), attempt: 2, ..spec("true") };
        let (result, log) = pulling.run(nowhere).await;
        let said = reason(result.outcome);
        assert!(said.starts_with("the image 127.0.0.1:1/absent:1 could not be pulled ("), "{said}");
        assert_eq!(log, "[tidegate: pulling 127.0.0.1:1/absent:1]\n");

        let folder = tempfile::tempdir().unwrap();
        let nobody = Engine::at(&folder.path().join("none.sock")).await.unwrap_err().to_string();
        assert!(nobody.contains("does not answer") && nobody.contains("is the engine running?"), "{nobody}");
    }
}

fn pulling(scene: &Scene, engine: Engine) -> Scene {
    let mut pulling = Scene::in_engine(engine.clone());
    let store = Store::open(pulling.state.path(), sandbox::outer_uid()).unwrap();
    let _ = scene;
    pulling.executor.executor = AnyExecutor::Container(ContainerExecutor::new(pulling.state.path(), store, engine, Pull::Missing).unwrap());
    pulling
}

#[tokio::test]
async fn an_image_without_a_shell_or_of_another_machine_is_told_from_a_step_that_failed() {
    for (engine, scene) in scenes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("bin")).unwrap();
        import(&engine, root, "tidegate-test-empty:1");
        let (result, log) = scene.run(InvocationSpec { image: Some("tidegate-test-empty:1".to_owned()), ..spec("true") }).await;
        assert!(matches!(&result.outcome, Outcome::Failed { reason, .. } if reason.contains("has no /bin/sh")), "{:?} {log}", result.outcome);
        // A program of another kind of machine: the head of one for SPARC.
        let mut program = b"\x7fELF\x02\x02\x01".to_vec();
        program.resize(16, 0);
        program.extend([0, 2, 0, 43, 0, 0, 0, 1]);
        program.resize(4096, 0);
        std::fs::write(root.join("bin/sh"), program).unwrap();
        std::fs::set_permissions(root.join("bin/sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        import(&engine, root, "tidegate-test-foreign:1");
        let (result, log) = scene.run(InvocationSpec { image: Some("tidegate-test-foreign:1".to_owned()), ..spec("true") }).await;
        assert!(matches!(&result.outcome, Outcome::Infrastructure { reason } if reason.contains("architecture")), "{:?} {log}", result.outcome);
    }
}

fn import(engine: &Engine, root: &Path, name: &str) {
    let tar = root.with_extension("tar");
    assert!(std::process::Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(root).arg(".").status().unwrap().success());
    let name = if engine.name.starts_with("Podman") { format!("docker.io/library/{name}") } else { name.to_owned() };
    lines(engine, &["import", &tar.to_string_lossy(), &name]);
    std::fs::remove_file(&tar).unwrap();
}

#[tokio::test]
async fn a_read_only_root_can_be_asked_for() {
    for (engine, mut scene) in scenes() {
        let store = Store::open(scene.state.path(), sandbox::outer_uid()).unwrap();
        let executor = ContainerExecutor::new(scene.state.path(), store, engine, Pull::Never).unwrap().read_only();
        scene.executor.executor = AnyExecutor::Container(executor);
        let (result, log) = scene.run(spec("echo x > /workspace/a; echo x > /tmp/a; touch /a 2>&1 | cut -d: -f3; true")).await;
        assert_eq!(result.outcome, Outcome::Succeeded);
        assert_eq!(log, " Read-only file system\n");
        let _ = &scene.executor.recorded();
    }
}
