//! Steps in containers through the real program, while everything that can be killed is killed: tidegate, its supervisors, the engine.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tidegate::adapters::executor::Engine;
use tidegate::model::fact::RunFact;
use tidegate::model::id::RunId;
use tidegate::model::outcome::{Outcome, RunOutcome};

use crate::docker::OwnDocker;
use crate::engines;
use crate::outlive::{ended, facts, log_of, owners_of, starts, until};
use crate::support::{Seen, World};

/// Steps at once.
const STEPS: usize = 4;
/// What each says, a tenth of a second after the other: so long that the first has not ended when the last has begun.
const LINES: usize = 80;

/// Each has a service beside it, of the image that `serving` makes.
fn pipeline() -> String {
    let image = engines::IMAGE;
    let steps: String = (1..=STEPS)
        .map(|step| {
            format!(
                "  step{step}:\n    image: {image}\n    outputs: {{ it: it }}\n    services: {{ web: {{ image: {SERVING}, ready: 80 }} }}\n    run: |\n      echo begun\n      n=0\n      while [ $n -lt {LINES} ]; do sleep 0.1; n=$((n+1)); wget -qO /dev/null http://web/; echo line $n; done\n      echo kept > it\n"
            )
        })
        .collect();
    format!("name: load\non: {{ manual: {{}} }}\nsteps:\n{steps}")
}

const SERVING: &str = "tidegate-test-serving:1";

/// An image that serves something by itself.
fn serving(engine: &Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let tar = folder.path().join("image.tar").to_string_lossy().into_owned();
    let made = engines::lines(engine, &["create", engines::IMAGE, "true"]);
    engines::lines(engine, &["export", "--output", &tar, &made[0]]);
    engines::lines(engine, &["rm", &made[0]]);
    let name = if engine.name.starts_with("Podman") { format!("docker.io/library/{SERVING}") } else { SERVING.to_owned() };
    let command = r#"CMD ["/bin/sh", "-c", "cd /tmp; echo served > index.html; exec httpd -f -p 80"]"#;
    engines::lines(engine, &["import", "--change", command, &tar, &name]);
}

fn truth() -> String {
    let lines: String = (1..=LINES).map(|n| format!("line {n}\n")).collect();
    format!("begun\n{lines}")
}

fn world() -> World {
    let world = World::with(&[(".tidegate/load.yaml", &pipeline())]);
    world.commit("A load");
    world
}

/// Starts the load, and answers its run when every step has said something.
fn under_way(world: &World, engine: &Engine) -> (Child, RunId) {
    let socket = engine.socket.to_string_lossy().into_owned();
    let child = world.start(&["run", "--executor", "container", "--pull", "never", "--parallel", "4", "--engine", &socket]);
    let run = until(|| {
        let run = std::fs::read_dir(world.state().join("runs")).ok()?.next()?.ok()?.path();
        let says = |step: usize| std::fs::read_to_string(run.join(format!("step{step}.1.log"))).is_ok_and(|text| text.contains("line 3\n"));
        (1..=STEPS).all(says).then(|| RunId::new(run.file_name().and_then(|name| name.to_str()).expect("a run")))
    });
    (child, run)
}

fn kill(pid: i32) {
    let _ = kill_process(Pid::from_raw(pid).expect("a process"), Signal::KILL);
}

/// Goes on with what is left until the run has ended, and answers how.
fn go_on(world: &World, engine: &Engine, run: &RunId) -> (Vec<RunFact>, tidegate::core::run::Run) {
    let socket = engine.socket.to_string_lossy().into_owned();
    let mut serve = world.start(&["serve", "--listen", "127.0.0.1:0", "--executor", "container", "--pull", "never", "--engine", &socket]);
    let is_tidy = || objects(world, engine).is_empty() && engines::groups(&world.state()).is_empty();
    until(|| (facts(world, run).1.outcome().is_some() && is_tidy()).then_some(()));
    kill_process(Pid::from_child(&serve), Signal::TERM).expect("TERM");
    serve.wait().expect("its end");
    facts(world, run)
}

/// What of this world is in the engine.
pub fn objects(world: &World, engine: &Engine) -> Vec<String> {
    let mark = world.state().to_string_lossy().into_owned();
    let holds = |name: &String| String::from_utf8_lossy(&engines::docker(engine, &["inspect", name]).stdout).contains(&mark);
    engines::objects(engine).into_iter().filter(holds).collect()
}

#[test]
fn a_load_whose_tidegate_and_supervisors_are_killed_ends_well_and_leaves_nothing() {
    for variable in engines::VARIABLES {
        let Some(engine) = engines::engine_or_skip(variable, &format!("engine::a_load_…_ends_well ({variable})")) else { continue };
        serving(&engine);
        let world = world();
        let (mut tidegate, run) = under_way(&world, &engine);
        // A container, its service's, and the workspace's volume.
        assert_eq!(objects(&world, &engine).len(), 3 * STEPS);
        // The supervisor of half of them, then tidegate, then the supervisors of all that have one.
        owners_of(&world).into_iter().step_by(2).for_each(kill);
        tidegate.kill().expect("kill -9");
        tidegate.wait().expect("its end");
        owners_of(&world).into_iter().for_each(kill);
        let (facts, now) = go_on(&world, &engine, &run);
        for step in 1..=STEPS {
            let name = format!("step{step}");
            assert_eq!(ended(&now, &name), Some(Outcome::Succeeded), "{variable} {name}: {facts:#?}");
            assert_eq!(starts(&facts, &name), 1, "never run twice");
            assert_eq!(log_of(&world, &run, &format!("{name}.1.log")), truth());
        }
        assert_eq!(now.outcome(), Some(RunOutcome::Succeeded));
        // Also what other supervisors have begun is counted to its end.
        let counted = |fact: &RunFact| matches!(fact, RunFact::InvocationEnded { record: Some(record), .. } if record.cpu_us() > Some(0));
        assert_eq!(facts.iter().filter(|fact| counted(fact)).count(), STEPS, "{facts:#?}");
        assert!(engines::groups(&world.state()).is_empty());
        assert_eq!(objects(&world, &engine), [""; 0]);
        assert_eq!(world.processes(), [""; 0]);
    }
}

/// Nobody goes on: all that is left is a record, and what is in the engine.
#[test]
fn what_nobody_goes_on_with_is_removed_by_the_next_start() {
    for variable in engines::VARIABLES {
        let Some(engine) = engines::engine_or_skip(variable, &format!("engine::what_nobody_goes_on_with_… ({variable})")) else { continue };
        serving(&engine);
        let world = world();
        let (mut tidegate, run) = under_way(&world, &engine);
        tidegate.kill().expect("kill -9");
        tidegate.wait().expect("its end");
        owners_of(&world).into_iter().for_each(kill);
        // And the records with it, as when a disk was lost.
        std::fs::remove_dir_all(world.state().join("invocations")).expect("the records");
        assert_eq!(objects(&world, &engine).len(), 3 * STEPS);
        let (_, now) = go_on(&world, &engine, &run);
        assert_ne!(now.outcome(), Some(RunOutcome::Succeeded));
        assert_eq!(objects(&world, &engine), [""; 0]);
        assert_eq!(world.processes(), [""; 0]);
    }
}

#[test]
fn an_engine_that_stops_under_a_load_is_to_blame_and_nothing_is_run_twice_or_left() {
    an_engine_that_gets(Signal::TERM, "engine::an_engine_that_stops_under_a_load_is_to_blame");
}

/// Its containers go on without it, until it is there again.
#[test]
fn an_engine_that_is_killed_under_a_load_is_to_blame_and_nothing_is_run_twice_or_left() {
    an_engine_that_gets(Signal::KILL, "engine::an_engine_that_is_killed_under_a_load_is_to_blame");
}

fn an_engine_that_gets(signal: Signal, test: &str) {
    let Some(shared) = engines::engine_or_skip("TIDEGATE_TEST_DOCKER", test) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut own = OwnDocker::start(folder.path());
    let image = folder.path().join("image.tar");
    serving(&shared);
    engines::lines(&shared, &["save", "--output", &image.to_string_lossy(), engines::IMAGE, SERVING]);
    assert!(own.docker(&["load", "--input", &image.to_string_lossy()]));

    let world = world();
    let engine = own.engine();
    let (tidegate, run) = under_way(&world, &engine);
    own.signal(signal);
    drop(own);
    let own = OwnDocker::start(folder.path());
    let seen = tidegate.wait_with_output().expect("its end");
    let (facts, now) = facts(&world, &run);
    for step in 1..=STEPS {
        let name = format!("step{step}");
        let Some(Outcome::Infrastructure { reason }) = ended(&now, &name) else { panic!("{facts:#?}\n{}", String::from_utf8_lossy(&seen.stdout)) };
        assert!(reason.contains("the container engine"), "{reason}");
        assert_eq!(starts(&facts, &name), 1, "it had begun: it is not run twice");
        assert!(truth().starts_with(&log_of(&world, &run, &format!("{name}.1.log"))));
    }
    std::thread::sleep(Duration::from_millis(100));
    let engine = own.engine();
    go_on(&world, &engine, &run);
    assert_eq!(objects(&world, &engine), [""; 0]);
    assert_eq!(world.processes(), [""; 0]);
}

#[test]
fn a_step_without_an_image_is_refused_and_an_engine_that_is_not_there_is_said() {
    let world = World::with(&[(".tidegate/load.yaml", "name: plain\non: { manual: {} }\nsteps:\n  plain: { run: echo hello }\n")]);
    world.commit("Plain");
    world
        .tidegate(&["run", "--executor", "container", "--engine", "/nowhere/docker.sock"])
        .expect(4)
        .says("the container engine does not answer at /nowhere/docker.sock")
        .says("Without --executor container steps run in the sandbox");
    world.tidegate(&["run", "--executor", "container", "--engine", "tcp://10.0.0.1:2375"]).expect(2).says("over a Unix socket only");
    let Some(engine) = engines::engine_or_skip("TIDEGATE_TEST_DOCKER", "engine::a_step_without_an_image_is_refused") else { return };
    let socket = engine.socket.to_string_lossy().into_owned();
    world.tidegate(&["run", "--executor", "container", "--engine", &socket]).expect(1).says("it has no `image`").says("add `image: …`");
}

/// Runs tidegate where nothing can be isolated without an engine.
fn without_isolation(world: &World, arguments: &[&str]) -> Seen {
    let bare = world.command(arguments);
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("sh");
    command.args(["-c", include_str!("no_isolation.sh"), "sh"]).arg(folder.path().join("go")).arg(bare.get_program()).args(arguments);
    command.current_dir(world.repository()).env_clear().envs(bare.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let output = command.output().expect("sh");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Seen { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn auto_takes_an_engine_where_nothing_else_isolates_and_the_record_says_why() {
    let Some(engine) = engines::engine_or_skip("TIDEGATE_TEST_DOCKER", "engine::auto_takes_an_engine_where_nothing_else_isolates") else { return };
    let socket = engine.socket.to_string_lossy().into_owned();
    let image = engines::IMAGE;
    let steps = format!("  inside: {{ image: {image}, run: echo from a container }}\n  plain: {{ needs: [inside], run: echo of this machine }}\n");
    let world = World::with(&[(".tidegate/both.yaml", &format!("name: both\non: {{ manual: {{}} }}\nsteps:\n{steps}"))]);
    world.commit("Both");
    let arguments = ["run", "--pull", "never", "--engine", &socket];

    // Without an engine nothing runs, and with one only what it can run.
    without_isolation(&world, &["run", "--engine", "/nowhere/docker.sock"]).expect(4).says("this machine can not isolate steps");
    without_isolation(&world, &["run", "--executor", "sandbox", "--engine", &socket]).expect(4).says("this machine can not isolate steps");
    without_isolation(&world, &arguments)
        .expect(4)
        .says("it has no `image`, and this machine can not isolate steps")
        .says("Or give the step an `image: …`");
    let seen = without_isolation(&world, &[&arguments[..], &["--allow-unisolated"]].concat()).expect(0);
    assert!(seen.all().contains("from a container") && seen.all().contains("of this machine"), "{}", seen.all());

    let run = world.tidegate(&["runs", "ls", "--json"]).expect(0).out;
    let runs: Vec<serde_json::Value> = run.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let last =
        RunId::new(runs.iter().find_map(|run| (run["outcome"] == "succeeded").then(|| run["run"].as_str())?).unwrap_or_else(|| panic!("{run}")));
    let (facts, _) = facts(&world, &last);
    let chosen = |step: &str| {
        let ended = facts.iter().find_map(|fact| match fact {
            RunFact::InvocationEnded { node, record, .. } if node.as_str() == step => record.as_ref()?.chosen.clone(),
            _ => None,
        });
        ended.unwrap_or_else(|| panic!("{facts:#?}"))
    };
    assert_eq!(chosen("inside"), "auto: container, as nothing is isolated here without an engine");
    assert_eq!(chosen("plain"), "auto: sandbox, the step has no image");
    assert_eq!(objects(&world, &engine), [""; 0]);
    services_and_builds_without_isolation(&engine, &arguments);
    let doctor = world.command(&["doctor"]).env("DOCKER_HOST", format!("unix://{socket}")).output().expect("doctor");
    assert!(
        String::from_utf8_lossy(&doctor.stdout).split_whitespace().collect::<Vec<_>>().join(" ").contains("--executor auto runs them in the sandbox")
    );
}

/// What an engine can do for a step, and what nobody can here.
fn services_and_builds_without_isolation(engine: &Engine, arguments: &[&str]) {
    serving(engine);
    let world = |step: &str| {
        let world = World::with(&[(".tidegate/one.yaml", &format!("name: one\non: {{ manual: {{}} }}\nsteps:\n  one: {{ {step} }}\n"))]);
        world.commit("One");
        world
    };
    let (image, services) = (engines::IMAGE, format!("services: {{ web: {{ image: {SERVING}, ready: 80 }} }}"));
    let beside = world(&format!("image: {image}, run: 'wget -qO- http://web/', {services}"));
    let seen = without_isolation(&beside, arguments).expect(0);
    assert!(seen.all().contains("served"), "{}", seen.all());
    assert_eq!(objects(&beside, engine), [""; 0]);
    let allowed = [arguments, &["--allow-unisolated"]].concat();
    without_isolation(&world(&format!("run: 'true', {services}")), &allowed)
        .expect(4)
        .says("it has services and no `image`, and this machine can not isolate steps")
        .says("Or give the step an `image: …`: it and its services then run in Docker");
    let builds = world(&format!("image: {image}, run: 'true', build: {{ archive: a.tar }}, outputs: {{ a: a.tar }}"));
    for arguments in [arguments, &allowed] {
        without_isolation(&builds, arguments).expect(4).says("which an engine does not give away, and this machine can not isolate steps");
    }
}
