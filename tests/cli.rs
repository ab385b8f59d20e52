//! The command line as people and scripts meet it: colours, pipes, terminals, JSON, exit codes, help and completions.

#[path = "support/mod.rs"]
mod support;

use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use support::World;

// The second takes a moment, so that there is time for a picture.
const GOOD: &str = "name: small\non: { manual: {} }\nsteps:\n  one: { run: echo one }\n  two: { needs: [one], run: sleep 0.6 && echo two }\n";
const FAILS: &str = "name: fails\non: { manual: {} }\nsteps:\n  one: { run: 'echo oh no; exit 3' }\n";
const WRONG: &str = "name: wrong\non: { manual: {} }\nsteps:\n  one: { runs: echo one }\n";
const SLEEPS: &str = "name: sleeps\non: { manual: {} }\nsteps:\n  one: { run: echo ready && sleep 600 }\n";

fn world() -> World {
    World::with(&[("good.yaml", GOOD), ("fails.yaml", FAILS), ("wrong.yaml", WRONG), ("sleeps.yaml", SLEEPS)])
}

fn lines_of_json(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))).collect()
}

/// The binary on a terminal of 80 × 24, and all that it wrote there.
fn on_a_terminal(world: &World, variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    const TERMINAL: &str = "
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
while True:
    try:
        said = os.read(terminal, 65536)
    except OSError:
        break
    if not said:
        break
    os.write(1, said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let mut command = Command::new("python3");
    let tidegate = world.command(arguments);
    command.args(["-c", TERMINAL]).arg(tidegate.get_program()).args(tidegate.get_args());
    command.current_dir(world.repository()).env_clear();
    command.envs(tidegate.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let out = command.env("TERM", "xterm").envs(variables.iter().copied()).stdin(Stdio::null()).output().expect("python3");
    (out.status.code().expect("an exit code"), String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Sequences that set colours or weights.
fn is_coloured(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|after| after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
}

fn is_drawn_in_place(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|after| after.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('A'))
}

#[test]
fn a_terminal_gets_a_picture_and_colours_and_one_without_colours_the_same_picture() {
    let world = world();
    let (code, seen) = on_a_terminal(&world, &[], &["run", "good.yaml"]);
    assert_eq!(code, 0, "{seen}");
    assert!(is_coloured(&seen) && is_drawn_in_place(&seen), "{seen:?}");

    for (variables, option) in [(&[("NO_COLOR", "1")][..], "auto"), (&[], "never")] {
        let (code, seen) = on_a_terminal(&world, variables, &["run", "good.yaml", "--color", option]);
        assert_eq!(code, 0, "{seen}");
        assert!(!is_coloured(&seen), "{seen:?}");
        assert!(is_drawn_in_place(&seen), "without the moves of the cursor one picture would stand below the other: {seen:?}");
    }

    let (code, seen) = on_a_terminal(&world, &[("TERM", "dumb")], &["run", "good.yaml"]);
    assert_eq!(code, 0, "{seen}");
    assert!(!seen.contains('\x1b'), "a dumb terminal gets lines: {seen:?}");
    assert!(seen.contains("two     "), "{seen:?}");
}

#[test]
fn pipes_get_no_colours_unless_somebody_asks_for_them() {
    let world = world();
    for arguments in [&["run", "fails.yaml"][..], &["check", "wrong.yaml"], &["plan", "good.yaml"], &["doctor"], &["runs", "ls"]] {
        let seen = world.command(arguments).env("TERM", "xterm-256color").output().expect("the binary");
        let all = [seen.stdout, seen.stderr].concat();
        assert!(!all.contains(&0x1b), "{arguments:?}: {}", String::from_utf8_lossy(&all));
    }
    for arguments in [&["run", "fails.yaml", "--color", "always"][..], &["doctor", "--color=always"], &["plan", "good.yaml", "--color=always"]] {
        let seen = world.command(arguments).env("NO_COLOR", "1").output().expect("the binary");
        assert!(is_coloured(&String::from_utf8_lossy(&seen.stdout)), "{arguments:?}: what is asked for counts more than NO_COLOR");
    }
}

#[test]
fn a_reader_that_goes_away_changes_nothing_but_what_is_read() {
    let world = world();
    world.tidegate(&["run", "good.yaml"]).expect(0);
    let commands: [(&[&str], i32); 12] = [
        (&["run", "good.yaml"], 0),
        (&["run", "fails.yaml"], 1),
        (&["run", "good.yaml", "--json"], 0),
        (&["check", "good.yaml"], 0),
        (&["check", "wrong.yaml"], 2),
        (&["plan", "good.yaml"], 0),
        (&["schema"], 0),
        (&["completions", "bash"], 0),
        (&["runs", "ls"], 0),
        (&["runs", "show", "latest"], 0),
        (&["rollout", "ls"], 0),
        (&["--help"], 0),
    ];
    for (arguments, code) in commands {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let seen = world.command(arguments).stdout(writer).output().expect("the binary");
        let said = String::from_utf8_lossy(&seen.stderr);
        assert_eq!(seen.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{arguments:?}: {said}");

        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let both = world.command(arguments).stdout(writer.try_clone().expect("its copy")).stderr(writer).status().expect("the binary");
        assert_eq!(both.code(), Some(code), "{arguments:?} with 2>&1");
    }
}

#[test]
fn json_on_standard_output_is_nothing_but_json() {
    let world = world();
    world.write("untracked.txt", "a working tree that differs");
    let run = world.tidegate(&["run", "fails.yaml", "--json"]).expect(1);
    let facts = lines_of_json(&run.out);
    assert_eq!(facts.first().map(|fact| fact["number"].clone()), Some(1.into()));
    assert!(facts.iter().any(|fact| fact["fact"]["run"]["fact"] == "ended"), "{}", run.out);
    let shown = world.tidegate(&["runs", "show", "latest", "--json"]).expect(0);
    assert_eq!(lines_of_json(&shown.out), facts, "the journal's own entries, then and later");

    for arguments in [&["runs", "ls", "--json"][..], &["runs", "logs", "latest", "--json"], &["rollout", "ls", "--json"], &["scan", ".", "--json"]] {
        lines_of_json(&world.tidegate(arguments).expect(0).out);
    }
    for (arguments, code) in [(&["plan", "good.yaml", "--json"][..], 0), (&["check", "wrong.yaml", "--json"], 2), (&["schema"], 0)] {
        let seen = world.tidegate(arguments).expect(code);
        serde_json::from_str::<serde_json::Value>(&seen.out).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {}", seen.out));
    }
    let doctor = world.command(&["doctor", "--json"]).output().expect("the binary");
    lines_of_json(&String::from_utf8_lossy(&doctor.stdout));
}

#[test]
fn exit_codes_are_as_the_reference_says() {
    let world = world();
    world.tidegate(&["run", "good.yaml"]).expect(0);
    world.tidegate(&["run", "fails.yaml"]).expect(1).says("oh no");
    world.tidegate(&["run", "wrong.yaml"]).expect(2).says("did you mean");
    world.tidegate(&["run", "nowhere.yaml"]).expect(2).says("nowhere.yaml");
    world.tidegate(&["run", "good.yaml", "--no-such-option"]).expect(2);
    world.tidegate(&["runs", "show", "nobody"]).expect(2);
    world.tidegate(&["runs", "ls", "--state-dir", "/proc/nowhere"]).expect(0).says("no runs yet");
    world.tidegate(&["run", "good.yaml", "--state-dir", "/proc/nowhere"]).expect(4).says("--state-dir");
    world.tidegate(&["serve", "--state-dir", "/proc/nowhere"]).expect(4).says("state folder");
    let reference = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).expect("the reference");
    for code in [0, 1, 2, 3, 4, 130] {
        assert!(reference.contains(&format!("\n| {code} |")), "docs/cli.md has no exit code {code}");
    }
}

#[test]
fn ctrl_c_ends_a_run_and_says_so() {
    use std::io::{BufRead as _, BufReader, Read as _};
    let world = world();
    let mut child = world.start(&["run", "sleeps.yaml"]);
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert_ne!(out.read_line(&mut line).expect("a line"), 0, "it ended before its step was ready");
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).expect("Ctrl-C");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the rest");
    assert_eq!(child.wait().expect("its end").code(), Some(130), "{rest}");
    assert!(rest.contains("cancelled: Ctrl-C"), "{rest}");
}

#[test]
fn a_rollback_has_a_code_of_its_own_and_its_numbers_are_told_once() {
    let world = World::new();
    world.git(&["init", "--quiet", "--initial-branch=main", "."]);
    world.copy_from_package("pipelines", "pipelines");
    world.commit("The quick start");
    let seen = world.tidegate(&["run", "pipelines/quickstart.yaml", "--param", "fault=100%"]).expect(3);
    let summary = seen.out.split_once("\n\n").expect("lines, then a summary").1;
    assert_eq!(summary.matches("requests failed on the new release").count(), 1, "{summary}");
    assert!(summary.contains("rolled back, see below"), "{summary}");
    assert!(summary.contains("Nothing serves now"), "{summary}");
    let shown = world.tidegate(&["runs", "show", "latest"]).expect(0);
    assert!(shown.out.contains("requests failed on the new release"), "later as well: {}", shown.out);
}

#[test]
fn a_plan_is_of_what_run_would_run() {
    let world = world();
    let commit = world.commit("Second");
    world.write("good.yaml", &GOOD.replace("two", "three"));
    let seen = world.tidegate(&["plan", "good.yaml"]).expect(0);
    assert!(seen.out.contains(&commit[..8]) && seen.out.contains("two") && !seen.out.contains("three"), "{}", seen.out);
    assert!(seen.err.contains("--worktree"), "{}", seen.err);
    let seen = world.tidegate(&["plan", "good.yaml", "--worktree"]).expect(0);
    assert!(seen.out.contains("three"), "{}", seen.out);
}

#[test]
fn completions_know_every_subcommand() {
    let world = World::new();
    let names: Vec<String> = tidegate::cli::args::Arguments::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.tidegate(&["completions", shell]).expect(0).out;
        for name in &names {
            assert!(script.contains(name), "{shell} does not know {name}");
        }
    }
    let script = world.tidegate(&["completions", "bash"]).expect(0).out;
    std::fs::write(world.path("completions.bash"), script).expect("written");
    let status = Command::new("bash").arg("-n").arg(world.path("completions.bash")).status().expect("bash");
    assert!(status.success(), "bash takes it");
    world.tidegate(&["completions", "tcsh"]).expect(2).says("possible values");
}

fn every(command: &clap::Command, path: &str, each: &mut impl FnMut(&str, &clap::Command)) {
    for sub in command.get_subcommands() {
        let path = format!("{path} {}", sub.get_name());
        each(path.trim_start(), sub);
        every(sub, &path, each);
    }
}

#[test]
fn help_is_there_for_everything() {
    let world = World::new();
    let mut told = world.tidegate(&["--help"]).expect(0).out;
    every(&tidegate::cli::args::Arguments::command(), "", &mut |path, _| {
        let arguments: Vec<&str> = path.split(' ').chain(["--help"]).collect();
        let help = world.tidegate(&arguments).expect(0).out;
        told += &format!("\n===== {path}\n{help}");
    });
    insta::assert_snapshot!(told);
}

#[test]
fn the_reference_names_every_subcommand_and_option() {
    let reference = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")).expect("the reference");
    let mut missing = Vec::new();
    let mut look_for = |path: &str, command: &clap::Command| {
        if !path.is_empty() && !reference.contains(&format!("tidegate {path}")) {
            missing.push(path.to_owned());
        }
        let options = command.get_arguments().filter_map(|argument| argument.get_long());
        missing.extend(options.map(|long| format!("--{long}")).filter(|option| !reference.contains(option)).map(|option| format!("{path} {option}")));
    };
    let all = tidegate::cli::args::Arguments::command();
    look_for("", &all);
    every(&all, "", &mut look_for);
    assert!(missing.is_empty(), "docs/cli.md does not name {missing:?}");
}
