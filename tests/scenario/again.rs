//! `tidegate runs replay` of steps that ran in an engine's containers.

use rustix::process::{Pid, Signal, kill_process};

use crate::engine::objects;
use crate::engines;
use crate::outlive::until;
use crate::support::World;

fn world(script: &str) -> World {
    let image = engines::IMAGE;
    World::with(&[(
        ".tidegate/story.yaml",
        &format!("name: story\non: {{ manual: {{}} }}\nsteps:\n  inside:\n    image: {image}\n    run: |\n      {script}\n"),
    )])
}

#[test]
fn a_step_of_a_container_goes_again_in_one_and_leaves_nothing_there() {
    for variable in engines::VARIABLES {
        let Some(engine) = engines::engine_or_skip(variable, &format!("again::a_step_of_a_container_goes_again ({variable})")) else { continue };
        let socket = engine.socket.to_string_lossy().into_owned();
        let world = world("echo begun; echo more >&2; exit 3");
        world.tidegate(&["run", "--executor", "container", "--pull", "never", "--engine", &socket]).expect(1);
        let again = world.tidegate(&["runs", "replay", "latest", "--engine", &socket, "--pull", "never"]).expect(1);
        assert_eq!(again.out, "begun\nmore\n", "{variable}");
        assert_eq!(again.err.matches(", as recorded").count(), 2, "{variable}: {}", again.err);
        assert!(!again.err.contains("without: "), "it was an engine again: {}", again.err);
        assert_eq!(objects(&world, &engine), [""; 0]);
    }
}

#[test]
fn a_replay_that_is_killed_takes_its_container_with_it() {
    for variable in engines::VARIABLES {
        let Some(engine) = engines::engine_or_skip(variable, &format!("again::a_replay_that_is_killed ({variable})")) else { continue };
        let socket = engine.socket.to_string_lossy().into_owned();
        let world = world("echo begun; sleep 1000");
        let options = ["--executor", "container", "--pull", "never", "--engine", &socket];
        let mut first = world.start(&[&["run"], options.as_slice()].concat());
        until(|| {
            let run = std::fs::read_dir(world.state().join("runs")).ok()?.next()?.ok()?.path();
            std::fs::read_to_string(run.join("inside.1.log")).is_ok_and(|text| text.contains("begun")).then_some(())
        });
        kill_process(Pid::from_child(&first), Signal::INT).expect("INT");
        first.wait().expect("its end");
        let mut again = world.start(&[&["runs", "replay", "latest", "inside"], options.as_slice()].concat());
        until(|| (!objects(&world, &engine).is_empty()).then_some(()));
        again.kill().expect("kill -9");
        again.wait().expect("its end");
        until(|| objects(&world, &engine).is_empty().then_some(()));
    }
}
