//! `tidegate runs replay`: a step once more as it was, and a shell where it stopped, at a real terminal.

use std::path::PathBuf;

use crate::support::{Seen, World};
use crate::terminal::at_a_terminal;

const PIPELINE: &str = r#"
name: story
on: { manual: {} }
env: { ODD: "tab\tbell\a\e[31m", PLAIN: plain }
steps:
  makes:
    run: |
      mkdir -p made/in; echo contents > made/in/it; chmod +x made/in/it; ln -s it made/in/link
      echo "word=it's; \$(touch /tmp/was-run) \`x\`" >> "$TIDEGATE_OUTPUT"
    outputs: { made: made, one: made/in/it }
  fails:
    needs: [makes]
    run: |
      echo begun
      cd made/in
      kept='a variable'
      echo ${{ steps.makes.outputs.word }}
      test "$(cat link)" = contents
      ls /nowhere
      echo never
  good: { run: 'echo good; echo $TIDEGATE_INVOCATION' }
"#;

fn story() -> World {
    let world = World::with(&[(".tidegate/story.yaml", PIPELINE), ("file", "of the commit\n")]);
    world.tidegate(&["run"]).expect(1);
    world
}

fn replay(world: &World, more: &[&str]) -> Seen {
    world.tidegate(&[&["runs", "replay", "latest"], more].concat())
}

/// The layer that a step left, as a folder of the store.
fn layer(world: &World) -> PathBuf {
    let layers = std::fs::read_dir(world.state().join("store/layers")).expect("layers").filter_map(Result::ok);
    layers.map(|entry| entry.path()).next().expect("a layer")
}

#[track_caller]
/// A moment after the end: what was written is removed when nobody waits for it any more.
fn nothing_is_left(world: &World) {
    let count = |folder: &str| match std::fs::read_dir(world.state().join(folder)) {
        Ok(entries) => entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir()).count(),
        Err(_) => 0,
    };
    let left = || (count("scratch"), count("invocations"));
    for _ in 0..600 {
        if left() == (0, 0) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(left(), (0, 0));
    assert_eq!(world.mounts(), Vec::<String>::new());
}

#[test]
fn a_step_goes_again_as_it_went_and_its_run_stays_as_it_is() {
    let world = story();
    let before = world.tidegate(&["runs", "show", "latest", "--json"]).expect(0).out;
    let log = world.tidegate(&["runs", "logs", "latest", "fails"]).expect(0).out;
    assert!(log.contains("it's; $(touch /tmp/was-run) `x`"), "{log}");
    let seen = replay(&world, &[]).expect(1);
    assert_eq!(seen.out, log, "without a name it is the one that failed");
    assert_eq!(seen.err.matches(", as recorded").count(), 2, "{}", seen.err);
    replay(&world, &["good"]).expect(0).says("outcome: succeeded, as recorded");
    let json = replay(&world, &["good", "--json"]).expect(0).out;
    let last: serde_json::Value = serde_json::from_str(json.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["same_outcome"], &last["same_log"]), (&true.into(), &true.into()), "{json}");
    assert_eq!(world.tidegate(&["runs", "show", "latest", "--json"]).expect(0).out, before);
    assert_eq!(world.tidegate(&["runs", "ls", "--json"]).expect(0).out.lines().count(), 1);
    nothing_is_left(&world);
}

#[test]
fn what_goes_otherwise_now_is_said() {
    let world =
        World::with(&[(".tidegate/story.yaml", "name: s\non: { manual: {} }\nsteps:\n  now: { run: 'cat /proc/sys/kernel/random/uuid; exit 3' }\n")]);
    world.tidegate(&["run"]).expect(1);
    replay(&world, &[]).expect(1).says("failed with exit code 3, as recorded").says("; recorded: sha256:");
}

#[test]
fn who_is_not_clear_about_the_step_is_told_which_there_are() {
    let two = "name: s\non: { manual: {} }\nsteps:\n  one: { run: exit 1, matrix: { os: [a, b] } }\n  well: { run: 'true' }\n  later: { needs: [one], run: 'true' }\n";
    let world = World::with(&[(".tidegate/story.yaml", two)]);
    replay(&world, &[]).expect(2).says("there is no run");
    world.tidegate(&["run"]).expect(1);
    replay(&world, &[]).expect(2).says("several steps failed; name one: one[os=a], one[os=b]");
    replay(&world, &["one"]).expect(2).says("name one of them");
    replay(&world, &["nobody"]).expect(2).says("it has one[os=a], one[os=b], well, later");
    replay(&world, &["later"]).expect(2).says("has not ended once");
    replay(&world, &["one[os=b]"]).expect(1).says("as recorded");
    replay(&world, &["well", "--shell"]).expect(2).says("needs a terminal");
}

#[test]
fn what_is_not_what_it_was_is_not_used() {
    let world = story();
    let (layer, file) = (layer(&world), "made/in/it");
    let other = |world: &World, what: &str| replay(world, &[]).expect(4).says("what makes left for this step is not to be had").says(what);
    std::fs::write(layer.join("made/more"), "more").expect("one more file");
    other(&world, "is not what was recorded");
    std::fs::remove_file(layer.join("made/more")).expect("taken away");
    std::fs::write(layer.join("beside"), "more").expect("one more file");
    other(&world, "was not recorded");
    std::fs::remove_file(layer.join("beside")).expect("taken away");
    replay(&world, &[]).expect(1).says("as recorded");
    // A link to a file of the same contents elsewhere is another thing.
    std::fs::rename(layer.join(file), world.path("aside")).expect("taken away");
    std::os::unix::fs::symlink(world.path("aside"), layer.join(file)).expect("a link");
    other(&world, "is not");
    std::fs::remove_file(layer.join(file)).expect("taken away");
    std::fs::write(layer.join(file), "Contents\n").expect("other contents");
    other(&world, "is not what was recorded");
    std::fs::remove_dir_all(&layer).expect("gone");
    other(&world, "is not there any more");
    nothing_is_left(&world);
}

#[test]
fn the_commit_is_taken_from_the_repository_whatever_became_of_its_snapshot() {
    let world =
        World::with(&[(".tidegate/story.yaml", "name: s\non: { manual: {} }\nsteps:\n  reads: { run: cat file }\n"), ("file", "of the commit\n")]);
    world.tidegate(&["run"]).expect(0);
    let boots = std::fs::read_dir(world.state().join("snapshots")).expect("snapshots").filter_map(Result::ok);
    let tree = std::fs::read_dir(boots.map(|boot| boot.path()).next().expect("a boot")).expect("trees").filter_map(Result::ok).next();
    std::fs::write(tree.expect("a tree").path().join("file"), "changed\n").expect("changed");
    world.write("file", "later\n");
    world.commit("Later");
    let seen = replay(&world, &["reads"]).expect(0);
    assert_eq!(seen.out, "of the commit\n");
    let elsewhere = World::with(&[("a", "b")]);
    let there = elsewhere.repository();
    replay(&world, &["reads", "-C", there.to_str().expect("a path")]).expect(4).says("name it with -C DIR");
    world.tidegate(&["run", "--worktree"]).expect(0);
    replay(&world, &["reads"]).expect(4).says("working tree");
}

/// Processes of steps of the world's only run.
fn steps_of(world: &World) -> usize {
    let listed = world.tidegate(&["runs", "ls", "--json"]).expect(0).out;
    let run: serde_json::Value = serde_json::from_str(listed.lines().next().expect("a run")).expect("JSON");
    let mark = format!("TIDEGATE_RUN={}", run["run"].as_str().expect("its id"));
    let environments = std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| std::fs::read(entry.ok()?.path().join("environ")).ok());
    environments.filter(|all| all.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())).count()
}

#[test]
fn a_shell_stands_where_the_script_stopped() {
    let world = story();
    let before = world.tidegate(&["runs", "show", "latest", "--json"]).expect(0).out;
    let talk = [
        ("stopped with exit code 2 at: ls /nowhere", ""),
        ("(tidegate) $ ", "echo \"=$kept=$PLAIN=$(pwd)=$(stty size)=\"\n"),
        (
            "=a variable=plain=/workspace/made/in=33 77=",
            "printf %s \"$ODD\" | od -An -c | tr -d ' '; cat link; test -e /tmp/was-run || echo not run\n",
        ),
        ("tab\\tbell\\a033[31m", ""),
        ("contents\r\nnot run\r\n(tidegate) $ ", "sh -c 'echo in=$((1+1)); exec sleep 1000'\n"),
        // Only when it has the terminal: an interrupt before that is the shell's.
        ("in=2\r\n", "\u{3}"),
        ("(tidegate) $ ", "echo still=$((6*7))\n"),
        // Nothing can be typed into it from inside.
        ("still=42", "python3 -c \"import fcntl; fcntl.ioctl(0, 0x5412, b'x')\"\n"),
        ("Operation not permitted", "setsid nohup sleep 987 >/dev/null 2>&1 & exit\n"),
    ];
    let (code, seen) = at_a_terminal(&world, &["runs", "replay", "latest", "--shell"], &talk);
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("contents\r\nnot run") && !seen.contains("never") && seen.ends_with("RESTORED"), "{seen}");
    assert_eq!(steps_of(&world), 0, "nothing outlives the shell");
    assert_eq!(world.tidegate(&["runs", "show", "latest", "--json"]).expect(0).out, before);
    nothing_is_left(&world);
}

#[test]
fn a_step_that_went_well_waits_before_its_first_command() {
    let world = story();
    let talk = [("Nothing of the step has run yet", ""), ("(tidegate) $ ", "sh -eu /run/tidegate/script; exit\n"), ("good", "")];
    let (code, seen) = at_a_terminal(&world, &["runs", "replay", "latest", "good", "--shell"], &talk);
    assert_eq!(code, Some(0), "{seen}");
}

#[test]
fn a_script_that_can_not_be_held_is_followed_by_a_shell() {
    let script = "name: s\non: { manual: {} }\nsteps:\n  own: { run: \"trap 'echo tidied' EXIT; touch left; exit 5\" }\n";
    let world = World::with(&[(".tidegate/story.yaml", script)]);
    world.tidegate(&["run"]).expect(1);
    let talk = [("tidied", ""), ("ended with code 5 and could not be held", ""), ("(tidegate) $ ", "ls; exit\n"), ("left", "")];
    let (code, seen) = at_a_terminal(&world, &["runs", "replay", "latest", "--shell"], &talk);
    assert_eq!(code, Some(0), "{seen}");
}

#[test]
fn a_shell_dies_with_its_tidegate() {
    let world = story();
    let talk = [("(tidegate) $ ", "trap '' HUP TERM; (setsid sleep 988 &); echo in\u{69}t=$((1+1))\n"), ("init=2", "KILL")];
    let (_, seen) = at_a_terminal(&world, &["runs", "replay", "latest", "--shell"], &talk);
    assert!(seen.contains("init=2"), "{seen}");
    for _ in 0..600 {
        if steps_of(&world) == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(steps_of(&world), 0);
    // What it had on disk, the next start removes.
    replay(&world, &["good"]).expect(0);
    nothing_is_left(&world);
}
