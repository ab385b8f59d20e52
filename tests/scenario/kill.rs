//! Invariant 3: a killed quick start leaves nothing behind once Tidegate has been started again.

use std::time::Duration;

use crate::support::World;

const KILLS: usize = 20;

#[test]
fn a_quick_start_killed_at_random_moments_leaves_nothing_after_the_next_start() {
    let world = quick_start();
    let mut random = fastrand::Rng::with_seed(20_261_123);
    for round in 0..KILLS {
        // A new release each time, so that a rollout is under way in many of the rounds.
        change_the_function(&world, round);
        let mut child = world.start(&["run", "pipelines/quickstart.yaml"]);
        std::thread::sleep(Duration::from_millis(random.u64(5..9_000)));
        child.kill().expect("kill -9");
        child.wait().expect("its end");
    }
    let listed = world.tidegate(&["runs", "ls"]).expect(0);
    assert!(!listed.out.contains("running"), "a dead run is not running:\n{}", listed.out);

    // The next start cleans up before it does anything else, and can do the whole job.
    world.tidegate(&["run", "pipelines/quickstart.yaml"]).expect(0).says("promoted");

    assert_eq!(world.processes(), Vec::<String>::new());
    assert_eq!(world.mounts(), Vec::<String>::new());
    let leftovers = leftovers(&world);
    assert_eq!(leftovers, Vec::<String>::new());
    let rollouts = world.tidegate(&["rollout", "ls"]).expect(0);
    assert!(!rollouts.out.contains("observing"), "{}", rollouts.out);
}

fn change_the_function(world: &World, round: usize) {
    let path = "pipelines/quickstart/handler.py";
    let text = std::fs::read_to_string(world.repository().join(path)).expect("the function");
    world.write(path, &format!("{text}\n# revision {round}\n"));
    world.commit("Change the function");
}

fn quick_start() -> World {
    let world = World::with(&[("README.md", "A repository.\n")]);
    world.copy_from_package("pipelines", "pipelines");
    world.commit("The quick start");
    world
}

/// Temporary folders of dead processes, and half-written releases and snapshots.
fn leftovers(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![world.state()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the state").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(".tmp") || name.ends_with(".partial") {
                found.push(entry.path().display().to_string());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if folder.ends_with("scratch") {
                    found.push(entry.path().display().to_string());
                }
                open.push(entry.path());
            }
        }
    }
    found
}
