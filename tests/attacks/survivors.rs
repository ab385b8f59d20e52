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

#[test]
fn a_nursery_that_is_killed_takes_nothing_with_it_and_is_replaced_and_none_outlives_tidegate() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "survivors::the_orphan", "--ignored", "--nocapture"])
        .env("TIDEGATE_UNDER_TEST", program())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let nurseries: Vec<&str> = said.lines().filter_map(|line| line.split_once("its nursery is ").map(|(_, pid)| pid)).collect();
    assert_eq!(nurseries.len(), 2, "{said}");
    assert_ne!(nurseries[0], nurseries[1]);
    until(|| nurseries.iter().all(|pid| !std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("sandbox-init"))));
}

#[tokio::test]
#[ignore = "is started by the story above, as no other story may lose its nursery meanwhile"]
async fn the_orphan() {
    let mut first = Scene::new();
    first.spec.argv = ["/bin/sh", "-c", "read line < /run/go; echo $line"].map(str::to_owned).to_vec();
    let go = first.folder.path().join("go");
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o666), 0).unwrap();
    crate::support::give(&go);
    first.spec.read_only.push(sandbox::Bind { source: go.clone(), target: "/run/go".into() });
    let mut running = sandbox::spawn(&first.spec).await.unwrap();
    let nursery = the_nursery();
    println!("its nursery is {nursery}");
    rustix::process::kill_process(nursery, rustix::process::Signal::KILL).unwrap();
    until(|| std::fs::read_to_string(format!("/proc/{nursery}/stat")).unwrap().contains(") Z "));
    let second = Scene::new().run("echo well").await;
    assert_eq!((second.text.as_str(), second.ended.exit), ("well\n", Exit::Code(0)));
    println!("its nursery is {}", the_nursery());
    std::fs::write(&go, "on\n").unwrap();
    let mut said = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut running.output, &mut said).await.unwrap();
    assert_eq!((said.as_str(), running.wait().await.exit), ("on\n", Exit::Code(0)));
}

/// The child of this process that is not a zombie: there is one at a time.
fn the_nursery() -> rustix::process::Pid {
    let own = std::process::id();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mine = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_the_name = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        after_the_name.split(' ').nth(1) == Some(&own.to_string()) && !after_the_name.starts_with('Z')
    };
    let found: Vec<i32> = all.filter(mine).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    rustix::process::Pid::from_raw(found[0]).unwrap()
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
