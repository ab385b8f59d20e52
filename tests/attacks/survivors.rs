//! Attempts to outlive the step, and what is left when tidegate itself is killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use tidegate::adapters::sandbox::{self, Isolation};
use tidegate::model::outcome::Exit;

use crate::support::{Scene, marker, processes, program};

#[tokio::test]
async fn what_is_left_in_the_background_dies_with_the_step() {
    for isolation in [Isolation::Full, Isolation::None] {
        let sleep = marker();
        let mut scene = Scene::new();
        scene.spec.isolation = isolation;
        let said = scene
            .run(&format!(
                "setsid nohup sleep {sleep} & (setsid sh -c 'trap \"\" TERM HUP; sleep {sleep}; sleep {sleep}' &); (while :; do :; done) & exit 3"
            ))
            .await;
        assert_eq!(said.ended.exit, Exit::Code(3));
        assert_eq!(processes(&sleep), Vec::<u32>::new());
    }
}

#[tokio::test]
async fn a_sandbox_that_is_dropped_dies() {
    let sleep = marker();
    let mut scene = Scene::new();
    scene.spec.argv = ["/bin/sleep", &sleep].map(str::to_owned).to_vec();
    let running = sandbox::spawn(&scene.spec).await.unwrap();
    // A process that has just been exec'd has no command line for a moment.
    until(|| processes(&sleep).len() == 1);
    drop(running);
    until(|| processes(&sleep).is_empty());
}

#[test]
fn killing_tidegate_leaves_no_process_and_no_mount() {
    for isolation in ["full", "none"] {
        let sleep = marker();
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "survivors::the_victim", "--ignored", "--nocapture"])
            .env("TIDEGATE_UNDER_TEST", program())
            .env("VICTIM", format!("{isolation} {sleep}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let state = lines.map_while(Result::ok).find_map(|line| line.split_once("the sandbox runs in ").map(|(_, state)| state.to_owned())).unwrap();
        until(|| processes(&sleep).len() == 3); // The shell and its two sleepers.
        victim.kill().unwrap();
        victim.wait().unwrap();
        until(|| processes(&sleep).is_empty());
        // The scene's folder lives on, as its guard was killed; what was mounted on it does not.
        assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&state));
        tidegate::adapters::workspace::remove(state.as_ref()).unwrap();
    }
}

#[tokio::test]
#[ignore = "is started by the story above, to be killed"]
async fn the_victim() {
    let told = std::env::var("VICTIM").unwrap();
    let (isolation, sleep) = told.split_once(' ').unwrap();
    let mut scene = Scene::new();
    scene.spec.isolation = if isolation == "full" { Isolation::Full } else { Isolation::None };
    scene.spec.argv = ["/bin/sh", "-c", &format!("setsid sleep {sleep} & sleep {sleep} & echo ready; wait")].map(str::to_owned).to_vec();
    let mut running = sandbox::spawn(&scene.spec).await.unwrap();
    let mut said = [0; 6];
    tokio::io::AsyncReadExt::read_exact(&mut running.output, &mut said).await.unwrap();
    while processes(sleep).len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("the sandbox runs in {}", scene.folder.path().display());
    running.wait().await;
}

/// Waits for what must come; the harness's patience is the limit.
fn until(holds: impl Fn() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not happen within 30 seconds");
}
