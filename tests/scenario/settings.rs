//! What the owner of a machine decides holds: limits over all processes, required protections, prices; and a file that others could change decides nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Seen, World};

/// Says when it begins and when it ends, on the clock that all share.
const SPAN: &str = "echo begin $(date +%s%N); sleep 0.3; echo end $(date +%s%N)";

fn pipeline(steps: &str) -> String {
    format!("name: story\non: {{ manual: {{}} }}\nsteps:\n{steps}")
}

/// A repository with the pipelines, and a settings file.
fn story(settings: &str, pipelines: &[(&str, &str)]) -> World {
    let files: Vec<(String, String)> = pipelines.iter().map(|(name, steps)| (format!(".tidegate/{name}.yaml"), pipeline(steps))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let world = World::with(&files);
    std::fs::write(world.path("settings.yaml"), settings).expect("settings");
    world
}

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.command(arguments);
    command.env("TIDEGATE_CONFIG", world.path("settings.yaml"));
    command
}

fn tidegate(world: &World, arguments: &[&str]) -> Seen {
    let output = command(world, arguments).output().expect("the binary");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Seen { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

fn start(world: &World, pipeline: &str) -> Child {
    command(world, &["run", &format!(".tidegate/{pipeline}.yaml")]).stdout(std::process::Stdio::null()).spawn().expect("the binary")
}

#[track_caller]
fn ends_well(child: &mut Child) {
    assert!(child.wait().expect("it ends").success());
}

/// Waits for something that is about to be; only a hanging test lets it run out.
#[track_caller]
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6000 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came");
}

/// Logs of this step, of all runs.
fn logs(world: &World, step: &str) -> Vec<String> {
    let runs = std::fs::read_dir(world.state().join("runs")).into_iter().flatten().flatten();
    let log = |run: PathBuf| std::fs::read_to_string(run.join(format!("{step}.1.log"))).ok();
    runs.filter_map(|run| log(run.path())).collect()
}

/// When it began and ended.
fn span(log: &str) -> Option<(u64, u64)> {
    let at = |word: &str| log.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
    Some((at("begin")?, at("end")?))
}

#[track_caller]
fn one_after_the_other(mut spans: Vec<(u64, u64)>) {
    spans.sort_unstable();
    for pair in spans.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two at once: {spans:?}");
    }
}

/// How many stand in the queue: who waits, who holds.
fn queue(world: &World) -> (usize, usize) {
    let names: Vec<String> = std::fs::read_dir(world.state().join("admission"))
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    let count = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
    (count(".waits"), count(".holds"))
}

#[test]
fn processes_that_share_a_machine_share_its_limit() {
    let steps = format!("  one: {{ run: {SPAN:?} }}\n  two: {{ run: {SPAN:?} }}\n");
    let world = story("limits: { machine: 1 }\n", &[("story", &steps)]);
    let mut runs = [start(&world, "story"), start(&world, "story"), start(&world, "story")];
    runs.iter_mut().for_each(|run| ends_well(run));
    let spans: Vec<_> = [logs(&world, "one"), logs(&world, "two")].concat().iter().map(|log| span(log).expect("both ends")).collect();
    assert_eq!(spans.len(), 6);
    one_after_the_other(spans);
    assert_eq!(queue(&world), (0, 0), "nobody stands there any more");
}

#[test]
fn a_limit_of_two_lets_two_run_at_once() {
    let both = "  one: { run: sleep 600 }\n  two: { run: sleep 600 }\n  three: { run: sleep 600 }\n";
    let world = story("limits: { machine: 3, pipeline: 2 }\n", &[("story", both)]);
    let mut run = command(&world, &["run", "--parallel", "3"]).stdout(std::process::Stdio::null()).spawn().expect("it");
    until(|| (queue(&world) == (1, 2)).then_some(()));
    kill_process(Pid::from_child(&run), Signal::INT).expect("a polite stop");
    assert_eq!(run.wait().expect("it ends").code(), Some(130));
}

#[test]
fn a_step_is_limited_over_all_runs_without_any_settings() {
    let steps = format!("  alone: {{ run: {SPAN:?}, concurrency: 1 }}\n");
    let world = story("", &[("story", &steps)]);
    let mut runs = [start(&world, "story"), start(&world, "story"), start(&world, "story")];
    runs.iter_mut().for_each(|run| ends_well(run));
    let spans: Vec<_> = logs(&world, "alone").iter().map(|log| span(log).expect("both ends")).collect();
    assert_eq!(spans.len(), 3);
    one_after_the_other(spans);
}

#[test]
fn who_comes_first_is_first_and_a_dead_one_is_not_waited_for() {
    let (first, span_of) = ("  holder: { run: sleep 600 }\n", |name: &str| format!("  {name}: {{ run: {SPAN:?} }}\n"));
    let world = story(
        "limits: { machine: 1 }\n",
        &[("holder", first), ("dead", &span_of("dead")), ("second", &span_of("second")), ("third", &span_of("third"))],
    );
    let waiting = |n| until(|| (queue(&world) == (n, 1)).then_some(()));
    let mut holder = start(&world, "holder");
    waiting(0);
    let mut dead = start(&world, "dead");
    waiting(1);
    let mut second = start(&world, "second");
    waiting(2);
    dead.kill().expect("kill -9");
    dead.wait().expect("it is dead");
    let mut third = start(&world, "third");
    // The dead one's ticket is taken away by whoever looks next.
    until(|| (queue(&world) == (2, 1)).then_some(()));
    kill_process(Pid::from_child(&holder), Signal::INT).expect("a polite stop");
    assert_eq!(holder.wait().expect("it ends").code(), Some(130));
    ends_well(&mut second);
    ends_well(&mut third);
    let of = |step: &str| span(&logs(&world, step)[0]).expect("both ends");
    assert!(of("second").1 <= of("third").0, "{:?} {:?}", of("second"), of("third"));
    assert_eq!(logs(&world, "dead"), [""; 0]);

    // Waiting for room is time in the queue.
    let shown = tidegate(&world, &["runs", "ls", "--json", "--limit", "10"]).expect(0);
    let runs: Vec<Value> = shown.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut seen = 0;
    for run in runs.iter().filter(|run| run["outcome"] == "succeeded") {
        let facts = tidegate(&world, &["runs", "show", run["run"].as_str().expect("an id"), "--json"]).expect(0);
        let facts: Vec<Value> = facts.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let find = |word: &str| facts.iter().find(|entry| entry["fact"]["run"]["fact"] == word).unwrap_or_else(|| panic!("no {word} in {facts:#?}"));
        let at = |word: &str| find(word)["at"].as_u64().expect("a moment");
        let queued = find("invocation-ended")["fact"]["run"]["record"]["phases"]["queued_us"].as_u64().expect("its time in the queue");
        assert!(queued >= at("invocation-started") - at("node-queued") && queued > 0, "{queued} of {}", at("invocation-started") - at("node-queued"));
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn a_step_keeps_its_room_when_its_tidegate_is_killed_and_gives_it_back_when_it_ends() {
    let long = "  long: { run: \"echo begin $(date +%s%N); sleep 4; echo end $(date +%s%N)\" }\n";
    let world = story("limits: { machine: 1 }\n", &[("long", long), ("next", &format!("  next: {{ run: {SPAN:?} }}\n"))]);
    let mut tidegate = start(&world, "long");
    until(|| logs(&world, "long").first().filter(|log| log.contains("begin")).map(drop));
    tidegate.kill().expect("kill -9");
    tidegate.wait().expect("it is dead");
    let mut next = start(&world, "next");
    ends_well(&mut next);
    let (long, next) = (span(&logs(&world, "long")[0]).expect("it went on to its end"), span(&logs(&world, "next")[0]).expect("both ends"));
    one_after_the_other(vec![long, next]);
    assert!(long.0 < next.0);
    assert_eq!(queue(&world), (0, 0));
}

#[test]
fn a_run_that_holds_itself_up_takes_no_room_from_others() {
    let world = story(
        "limits: { machine: 2 }\n",
        &[
            ("serial", "  one: { run: sleep 600 }\n  two: { run: sleep 600 }\n  three: { run: sleep 600 }\n"),
            ("other", "  other: { run: \"true\" }\n"),
        ],
    );
    let mut serial = command(&world, &["run", ".tidegate/serial.yaml", "--parallel", "1"]).stdout(std::process::Stdio::null()).spawn().expect("it");
    until(|| (queue(&world) == (0, 1)).then_some(()));
    tidegate(&world, &["run", ".tidegate/other.yaml"]).expect(0);
    kill_process(Pid::from_child(&serial), Signal::INT).expect("a polite stop");
    assert_eq!(serial.wait().expect("it ends").code(), Some(130));
}

#[test]
fn a_settings_file_with_a_mistake_starts_nothing_and_says_where_it_is() {
    let world = story("require: [nonsense, seccmp]\nlimit: { machine: 1 }\n", &[("story", "  one: { run: \"true\" }\n")]);
    let seen = tidegate(&world, &["run"]).expect(2).says("settings.yaml:1:11").says("did you mean \"seccomp\"?").says("did you mean \"limits\"?");
    assert!(seen.all().contains("\"nonsense\" is none of the words"), "{}", seen.all());
    assert_eq!(logs(&world, "one"), [""; 0]);
    // Where it is looked at, it is looked at closely too.
    tidegate(&world, &["doctor"]).expect(4).says("did you mean \"limits\"?");
    tidegate(&world, &["run", "--config", "nowhere.yaml"]).expect(2).says("nowhere.yaml can not be read");
}

#[test]
fn settings_that_others_could_write_are_not_used() {
    let world = story("require: []\n", &[("story", "  one: { run: \"true\" }\n")]);
    let file = world.path("settings.yaml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("its mode");
    tidegate(&world, &["run"]).expect(2).says("may be written by others").says("chmod go-w");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    tidegate(&world, &["run"]).expect(0);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(12_345), None).expect("another owner");
        tidegate(&world, &["run"]).expect(2).says("belongs to another user");
    }
}

#[test]
fn the_usual_place_is_looked_into_and_doctor_says_so() {
    let world = story("", &[("story", "  one: { run: \"true\" }\n")]);
    world.tidegate(&["doctor", "--json"]).says("home/.config/tidegate/settings.yaml would be used if it were there");
    let folder = world.path("home/.config/tidegate");
    std::fs::create_dir_all(&folder).expect("folders");
    std::fs::write(folder.join("settings.yaml"), "require: [seccomp, no-such-wall]\n").expect("settings");
    world.tidegate(&["run"]).expect(2).says("home/.config/tidegate/settings.yaml:1:20");
    std::fs::write(folder.join("settings.yaml"), "require: [user-namespace, seccomp]\nwarm: off\n").expect("settings");
    world.tidegate(&["run"]).expect(0);
    world.tidegate(&["doctor"]).says("user-namespace, seccomp: all there");
}

#[test]
fn nothing_runs_where_a_required_protection_is_missing() {
    if !rustix::process::geteuid().is_root() {
        skip("nothing_runs_where_a_required_protection_is_missing", "only root can take the control groups away in a mount namespace of its own");
        return;
    }
    let world = story("require: [seccomp, cgroup]\n", &[("story", "  one: { run: echo ran, resources: { memory: 64MiB } }\n")]);
    let without_groups = |arguments: &[&str]| {
        let bare = command(&world, &[]);
        let binary = bare.get_program().to_owned();
        let script =
            "awk '$0 ~ / - cgroup/ || $5 == \"/sys/fs/cgroup\" {print $5}' /proc/self/mountinfo | sort -r | xargs -n1 umount -l; exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(binary).args(arguments).current_dir(world.repository()).env_clear();
        for (name, value) in bare.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let output = command.output().expect("unshare");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Seen { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    };
    let seen = without_groups(&["run"]).expect(4).says("the settings require what this machine does not give: cgroup-memory");
    assert!(!seen.all().contains("seccomp"), "{}", seen.all());
    assert_eq!(logs(&world, "one"), [""; 0], "it has not begun");
    without_groups(&["run", "--allow-unisolated"]).expect(4);
    without_groups(&["doctor"]).expect(4).says("cgroup-memory");
    // It is the settings that stop it, and nothing else.
    std::fs::write(world.path("settings.yaml"), "require: [seccomp]\n").expect("settings");
    without_groups(&["run"]).expect(0);
}

#[test]
fn what_a_run_took_and_cost_is_told_to_people_and_programs() {
    let work = "  build: { run: \"i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done > it; exit 0\", resources: { memory: 512MiB } }\n  flaky: { run: \"exit 3\", retry: { attempts: 2, on: [failed], delay: 0s } }\n";
    let world = story("prices: { gb_second: 0.5, request: 0.25, currency: EUR }\n", &[("story", work)]);
    tidegate(&world, &["run"]).expect(1);
    tidegate(&world, &["runs", "show", "latest"]).expect(0).says("GB-s").says("EUR").says("flaky #1").says("flaky #2");

    let usage = tidegate(&world, &["runs", "usage", "latest", "--json"]).expect(0);
    let lines: Vec<Value> = usage.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 4, "three attempts and their sum: {}", usage.out);
    let build = lines.iter().find(|line| line["step"] == "build").expect("the step");
    let milliseconds = build["run_us"].as_u64().expect("a time").div_ceil(1000);
    let decimal = |value: &Value| value.as_str().expect("a decimal in text").parse::<f64>().expect("a number");
    assert!((decimal(&build["gb_seconds"]) - 0.5 * milliseconds as f64 / 1000.0).abs() < 1e-6, "{build}");
    let sum = &lines[3];
    assert_eq!((&sum["invocations"], &sum["currency"]), (&Value::from(3), &Value::from("EUR")));
    assert!((decimal(&sum["cost"]) - 0.75 - decimal(&sum["gb_seconds"]) * 0.5).abs() < 1e-6, "{sum}");

    tidegate(&world, &["run"]).expect(1);
    let all = tidegate(&world, &["runs", "usage", "--json"]).expect(0);
    let all: Value = serde_json::from_str(&all.out).expect("one repository, one line");
    assert_eq!((&all["runs"], &all["invocations"], &all["repository"]), (&Value::from(2), &Value::from(6), &Value::from("repository")));
    tidegate(&world, &["runs", "usage", "--of", "nobody"]).expect(2).says("there are no runs of a repository \"nobody\"");
    std::fs::write(world.path("settings.yaml"), "").expect("settings");
    assert!(!tidegate(&world, &["runs", "usage"]).expect(0).out.contains("EUR"));
}

/// Said to whoever counts the tests: this one was not run.
fn skip(name: &str, why: &str) {
    eprintln!("skipped: {name}: {why}");
    if let Some(file) = std::env::var_os("TIDEGATE_TEST_SKIPS") {
        use std::io::Write as _;
        let written = std::fs::File::options().append(true).open(file).and_then(|mut file| writeln!(file, "{name}\t{why}"));
        written.expect("the list of skipped tests");
    }
}
