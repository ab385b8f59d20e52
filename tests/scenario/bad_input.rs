//! What people get wrong, and what they are told: what is wrong, where, and what to do. Nothing is left over.

use crate::packages::{fixture, zip_of};
use crate::story::{BY_HAND, FUNCTION, Tells as _, nothing_left, package, redacted, told};
use crate::support::World;

const OK: &str = "name: ok\nsteps:\n  greet: { run: echo committed }\n";

#[test]
fn a_folder_that_is_no_repository_or_has_no_commit() {
    let world = World::new();
    let mut seen = told(&world, &["run", "ok.yaml"]);
    world.git(&["init", "--quiet", "--initial-branch=main", "."]);
    seen += &told(&world, &["run", "ok.yaml"]);
    insta::assert_snapshot!(seen);
}

#[test]
fn files_that_are_no_pipelines() {
    let world = World::with(&[
        ("empty.yaml", ""),
        ("list.yaml", "- a\n- b\n"),
        ("other.yaml", "image: rust\nscript: cargo test\n"),
        ("text.yaml", "hello there\n"),
        ("syntax.yaml", "name: x\nsteps:\n  a: { run: echo\n"),
    ]);
    let files = ["nowhere.yaml", "empty.yaml", "list.yaml", "other.yaml", "text.yaml", "syntax.yaml", "../outside.yaml", "/etc/hostname"];
    let seen: String = files.iter().map(|file| told(&world, &["run", file])).collect();
    insta::assert_snapshot!(seen + &told(&world, &["run"]));
}

#[test]
fn pipelines_with_mistakes_in_them() {
    let world = World::with(&[
        ("unknown.yaml", "name: x\nsteps:\n  build:\n    runn: make\n    output: { a: b }\n"),
        ("cycle.yaml", "name: x\nsteps:\n  a: { run: 'true', needs: [c] }\n  b: { run: 'true', needs: [a] }\n  c: { run: 'true', needs: [b] }\n"),
        ("escape.yaml", "name: x\nsteps:\n  a: { run: 'true', outputs: { o: ../../etc/passwd } }\n"),
        ("later.yaml", "name: x\nsteps:\n  a: { run: 'true', cache: { registry: ~/.cargo/registry } }\n"),
    ]);
    let files = ["unknown.yaml", "cycle.yaml", "escape.yaml", "later.yaml"];
    let seen: String = files.iter().map(|file| told(&world, &["run", file])).collect();
    insta::assert_snapshot!(seen);
    world.tidegate(&["runs", "ls"]).expect(0).says("There are no runs yet");
}

#[test]
fn command_lines_that_do_not_fit() {
    let pipeline = "name: x\non: { manual: { params: { channel: { type: string, choices: [stable, beta] } } } }\nsteps:\n  build: { run: 'true' }\n  test: { run: 'true' }\n";
    let world = World::with(&[(".tidegate/x.yaml", pipeline)]);
    let lines: [&[&str]; 8] = [
        &["run", "--param", "channel=gamma"],
        &["run", "--param", "chanel=beta"],
        &["run", "--param", "channel"],
        &["run", "--param", "channel=beta", "--param", "channel=stable"],
        &["run", "--step", "biuld"],
        &["run", "--step", "deploy"],
        &["run", "--executor", "container", "--engine", "/no/such.sock"],
        &["run", "--host-tools", "/no/such/folder"],
    ];
    let seen: String = lines.iter().map(|line| told(&world, line)).collect();
    insta::assert_snapshot!(seen);
    world.tidegate(&["runs", "ls"]).expect(0).says("There are no runs yet");
}

#[test]
fn what_is_not_committed_is_not_run_unless_it_is_asked_for() {
    let world = World::with(&[("ok.yaml", OK)]);
    world.write("ok.yaml", &OK.replace("committed", "changed"));
    world.write("notes.txt", "not for git\n");
    world.write("new.yaml", OK);
    let commit = world.tidegate(&["run", "ok.yaml"]).expect(0).says("greet │ committed");
    assert!(!commit.all().contains("greet │ changed"));
    commit.says("the working tree differs (1 modified, 2 untracked) and is not looked at: --worktree takes it instead");
    world.tidegate(&["run", "ok.yaml", "--worktree"]).expect(0).says("greet │ changed").says("note: running the working tree: 1 modified");
    let new = world.tidegate(&["run", "new.yaml"]).expect(2);
    assert!(
        redacted(&world, &new.all()).contains("new.yaml is not in commit COMMIT") || new.all().contains("only in the working tree"),
        "{}",
        new.all()
    );
    new.says("commit it, or run the working tree with --worktree");
    world.tidegate(&["run", "new.yaml", "--worktree"]).expect(0);
    world.write(".tidegate/first.yaml", OK);
    world.tidegate(&["run"]).expect(2).says("commit them, or run the working tree with --worktree");
    world.tidegate(&["run", "--worktree"]).expect(0);
}

#[test]
fn outputs_that_are_not_there_or_lead_out() {
    let steps = "name: x
steps:
  forgotten: { run: 'mkdir dist && echo hi > dist/wrong.zip', outputs: { bundle: dist/function.zip } }
  link: { run: 'ln -s /etc/passwd stolen', outputs: { file: stolen } }
  behind: { run: 'ln -s /etc config', outputs: { file: config/passwd } }
  within: { run: 'mkdir out && ln -s ../../../etc/passwd out/stolen', outputs: { folder: out } }
  pipe: { run: mkfifo pipe, outputs: { file: pipe } }
";
    let world = World::with(&[("x.yaml", steps)]);
    let seen = world.tidegate(&["run", "x.yaml"]).expect(1);
    seen.tells("output bundle (dist/function.zip) was not made by the step; in dist there is: wrong.zip")
        .tells("output file (stolen) is a symbolic link (to /etc/passwd): an output is a file or a folder itself")
        .tells("output file (config/passwd) is behind a symbolic link (config -> /etc), which is not followed")
        .tells("output folder (out) has a symbolic link that leaves it: stolen -> ../../../etc/passwd")
        .tells("output file (pipe) is a FIFO");
    nothing_left(&world);
}

#[test]
fn what_can_not_be_deployed_is_said_before_anything_is_shifted() {
    let world = World::with(&[("by-hand.yaml", BY_HAND)]);
    let folder = world.path("packages");
    std::fs::create_dir(&folder).unwrap();
    let deploy = |artifact: &str| world.tidegate(&["deploy", "hello", "--file", "by-hand.yaml", "--artifact", artifact]);
    world.tidegate(&["deploy", "helo", "--file", "by-hand.yaml", "--artifact", "x"]).expect(2).says("did you mean \"hello\"?");
    deploy("nowhere.zip").expect(2).tells("--artifact nowhere.zip: No such file");
    deploy("by-hand.yaml").expect(1).tells("the artifact is not a zip that can be read").tells("make it with `zip -r function.zip bootstrap …`");
    let (zip, _) = zip_of(&folder, &[("bootstrap", FUNCTION.as_bytes(), true), ("../../../escaped", b"x", false)]);
    deploy(&zip.to_string_lossy())
        .expect(1)
        .tells("the zip's entry \"../../../escaped\" leads outside of the zip (..): make the zip from inside the folder")
        .tells("no traffic was shifted");
    assert!(!world.path("escaped").exists() && !world.state().join("escaped").exists());
    let (zip, _) = zip_of(&folder, &[("handler.py", b"x", false)]);
    deploy(&zip.to_string_lossy()).expect(1).tells("the zip has no file `bootstrap` at its top");
    let staging = std::fs::read_dir(world.state().join("local/staging")).unwrap().count();
    assert_eq!(staging, 0);
    nothing_left(&world);
}

#[test]
fn functions_that_do_not_come_up() {
    let world = World::with(&[("by-hand.yaml", BY_HAND)]);
    for (name, why, log) in [
        ("exits-at-start", "its process ended before it asked for an invocation", "no database at db.internal: giving up"),
        ("never-asks", "it did not ask for an invocation within DURATION", "thinking"),
        ("init-error", "Runtime.ImportError", ""),
    ] {
        let zip = package(&world, name, &std::fs::read(fixture(name).join("bootstrap")).unwrap());
        let seen = world.tidegate(&["deploy", "hello", "--file", "by-hand.yaml", "--artifact", &zip]).expect(1);
        let text = crate::story::flat(&redacted(&world, &seen.all().replace("10s", "10 s")));
        assert!(text.contains(why) && text.contains(log), "{text}");
        assert!(!seen.all().contains('\u{fffd}'), "no damaged text:\n{}", seen.all());
        assert!(!seen.all().contains("curl"), "nothing serves:\n{}", seen.all());
        seen.tells("no traffic was shifted").tells("What hello said: ");
    }
    nothing_left(&world);
}

#[test]
fn functions_that_come_up_and_do_not_work() {
    // Takes its work, and then: answers what is no HTTP, says nothing more, prints a gigabyte.
    let takes = |then: &str| {
        format!(
            "#!/usr/bin/env python3\nimport http.client, os, sys, time\n\ndef call(method, path, body=None):\n    connection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n    connection.request(method, '/2018-06-01/runtime/invocation/' + path, body)\n    answer = connection.getresponse()\n    answer.read()\n    return answer.headers['Lambda-Runtime-Aws-Request-Id']\n\nwhile True:\n    request = call('GET', 'next')\n    {then}\n    call('POST', request + '/response', b'{{\"statusCode\": \"very good\", \\xff')\n"
        )
    };
    let world = World::with(&[("by-hand.yaml", BY_HAND)]);
    for (name, then, note) in [
        ("garbage", "pass", "failed: Runtime.InvalidResponse: "),
        ("silent", "time.sleep(31416)", "timed out after 2s: the instance is killed"),
        ("gigabyte", "for _ in range(1000): sys.stdout.write('x' * 1000000)", "xxxxxxxx"),
    ] {
        let zip = package(&world, name, takes(then).as_bytes());
        let seen = world.tidegate(&["deploy", "hello", "--file", "by-hand.yaml", "--artifact", &zip]).expect(3);
        assert!(!seen.all().contains("curl"), "nothing serves:\n{}", seen.all());
        seen.tells("requests failed on the new release (100.0 %)").tells("Nothing serves now, as before").tells("What hello said: ");
        // Read at once: a function keeps its newest logs only.
        let logs = std::fs::read_dir(world.state().join("local/logs/hello")).unwrap().map(|log| std::fs::read(log.unwrap().path()).unwrap());
        let logs: Vec<Vec<u8>> = logs.collect();
        assert!(logs.iter().any(|log| String::from_utf8_lossy(log).contains(note)), "{name}: why it was no answer is in the function's log");
        let longest = logs.iter().map(Vec::len).max().unwrap();
        assert!(longest < 4 << 20, "a log of {longest} bytes");
    }
    nothing_left(&world);
}
