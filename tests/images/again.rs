//! `tidegate runs replay` of steps in images: in what the image was then, whatever its name stands for now.

use crate::builder::{Layer, Made, busybox, image};
use crate::registry::registry;
use crate::support::{Seen, World};
use crate::terminal::at_a_terminal;

fn saying(word: &str) -> Made {
    image(&[busybox(), Layer::default().program("bin/says", format!("#!/bin/sh\necho {word}\n"))])
}

fn world(image: &str) -> World {
    let step = format!("  inside:\n    image: {image}\n    run: |\n      says\n      kept=variable\n      cd /tmp\n      ls /nowhere\n");
    World::with(&[(".tidegate/story.yaml", &format!("name: story\non: {{ manual: {{}} }}\nsteps:\n{step}"))])
}

/// Without what is said of pulls.
fn said(seen: &Seen) -> String {
    seen.out.lines().filter(|line| !line.starts_with("[tidegate: ")).map(|line| format!("{line}\n")).collect()
}

/// Until it is gone: whoever has just shown a step's end may hold its image for a moment yet.
fn prune(world: &World) {
    let begun = std::time::Instant::now();
    loop {
        world.tidegate(&["images", "prune", "--keep", "1MiB"]).expect(0);
        let left = world.tidegate(&["images", "ls"]).expect(0).out;
        if !left.contains("/app:1") {
            return;
        }
        assert!(begun.elapsed().as_secs() < 60, "{left}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_step_goes_again_in_the_image_that_its_name_stood_for() {
    let Some(registry) = registry("again::a_step_goes_again_in_the_image_that_its_name_stood_for") else { return };
    let digest = registry.push("app:1", &saying("first")).await;
    let world = world(&registry.name("app:1"));
    world.tidegate(&["run"]).expect(1);
    registry.push("app:1", &saying("second")).await;
    let replay = || world.tidegate(&["runs", "replay", "latest"]);
    let again = replay().expect(1);
    assert_eq!(said(&again), "first\nls: /nowhere: No such file or directory\n");
    // Only then the image was pulled: what that says is not the step's.
    assert_eq!(again.err.matches(", as recorded").count(), 2, "{}", again.err);

    prune(&world);
    let again = replay().expect(1).says(&format!("pulling {}@{digest}", registry.name("app")));
    assert_eq!(said(&again), "first\nls: /nowhere: No such file or directory\n");
    assert_eq!(again.err.matches(", as recorded").count(), 2, "{}", again.err);

    prune(&world);
    drop(registry);
    replay().expect(4).says(&digest).says("can not be reached");
    // What it is called now is another image, and another story.
    assert_eq!(world.tidegate(&["runs", "ls", "--json"]).expect(0).out.lines().count(), 1);
}

#[tokio::test]
async fn a_shell_stands_in_the_image_where_the_script_stopped() {
    let Some(registry) = registry("again::a_shell_stands_in_the_image_where_the_script_stopped") else { return };
    registry.push("app:1", &saying("first")).await;
    let world = world(&registry.name("app:1"));
    world.tidegate(&["run"]).expect(1);
    registry.push("app:1", &saying("second")).await;
    prune(&world);
    let talk = [
        ("at: ls /nowhere", ""),
        ("$ ", "echo =$kept=$(pwd)=$(says)=; ls /usr; echo $((6*7)) > /bin/more; cat /bin/more; exit\n"),
        ("=variable=/tmp=first=\r\n", ""),
        ("/usr: No such file", ""),
        ("42\r\n", ""),
    ];
    let (code, seen) = at_a_terminal(&world, &["runs", "replay", "latest", "--shell"], &talk);
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("pulling ") && seen.ends_with("RESTORED"), "{seen}");
    assert_eq!(world.mounts(), Vec::<String>::new());
    // What was written to the image is gone.
    let replayed = world.tidegate(&["runs", "replay", "latest"]).expect(1);
    assert_eq!(said(&replayed), "first\nls: /nowhere: No such file or directory\n");
}
