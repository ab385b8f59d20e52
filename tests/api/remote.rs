//! The command line against a server: what it says is what it says of the same state folder.

use std::process::{Command, Output, Stdio};

use tidegate::model::access::Scope;

use crate::bench::Bench;

struct Person<'a> {
    bench: &'a Bench,
    home: tempfile::TempDir,
}

impl<'a> Person<'a> {
    fn new(bench: &'a Bench) -> Self {
        let home = tempfile::tempdir().expect("a home");
        // The prices of the bench, for what is said without a server.
        std::fs::write(home.path().join("settings.yaml"), "prices: { gb_second: 0.0000166667, currency: USD }\n").expect("written");
        Self { bench, home }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(arguments).env_clear().env("HOME", self.home.path()).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    fn here(&self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        command.arg("--state-dir").arg(self.bench.story.state.root()).arg("--config").arg(self.home.path().join("settings.yaml"));
        said(&command.output().expect("it runs"))
    }

    fn there(&self, arguments: &[&str], token: &str) -> String {
        said(&self.command(arguments).env("TIDEGATE_SERVER", self.bench.url("")).env("TIDEGATE_TOKEN", token).output().expect("it runs"))
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}---\n{}[exit {:?}]", text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn a_server_says_what_the_state_folder_says() {
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    let person = Person::new(&bench);
    let commands: [&[&str]; 17] = [
        &["runs", "ls"],
        &["runs", "ls", "--limit", "2"],
        &["runs", "ls", "--json"],
        &["runs", "show", "aa01"],
        &["runs", "show", "aa02"],
        &["runs", "show", "latest"],
        &["runs", "show", "aa01", "--json"],
        &["runs", "logs", "aa01"],
        &["runs", "logs", "aa01", "test"],
        &["runs", "logs", "aa01", "--json"],
        &["runs", "logs", "aa01", "--follow"],
        &["runs", "logs", "aa02", "--follow", "--json"],
        &["runs", "logs", "aa01", "deploy"],
        &["runs", "usage"],
        &["runs", "usage", "aa01"],
        &["runs", "show", "zz"],
        &["rollout", "ls"],
    ];
    for arguments in commands {
        let here = person.here(arguments);
        assert_eq!(person.there(arguments, &token), here, "{arguments:?}");
        assert!(!here.contains("can not be reached"), "{here}");
    }
    let delivery = "72d3162e-cc78-11e3-81ab-000000000003";
    let deliveries: [&[&str]; 9] = [
        &["deliveries", "ls"],
        &["deliveries", "ls", "--limit", "2"],
        &["deliveries", "ls", "--state", "waiting"],
        &["deliveries", "ls", "--event", "push"],
        &["deliveries", "ls", "--event", "release"],
        &["deliveries", "ls", "--json"],
        &["deliveries", "show", delivery],
        &["deliveries", "show", delivery, "--json"],
        &["deliveries", "show", "72d3162e-cc78-11e3-81ab-000000000000"],
    ];
    for arguments in deliveries {
        let here = person.here(arguments);
        assert!(here.ends_with("[exit Some(0)]"), "{arguments:?}: {here}");
        assert_eq!(person.there(arguments, &bench.token(&[Scope::Admin])), here, "{arguments:?}");
    }
    // The messages are the same in meaning; which command lists what there is, is said here.
    for arguments in [
        ["runs", "show", "aa"],
        ["runs", "usage", "none"],
        ["rollout", "show", "none"],
        ["deliveries", "show", "none"],
        ["deliveries", "show", "72d3162e"],
    ] {
        let there = person.there(&arguments, &bench.token(&[Scope::Admin]));
        assert!(there.ends_with("[exit Some(2)]"), "{arguments:?}: {there}");
        assert!(person.here(&arguments).ends_with("[exit Some(2)]"), "{arguments:?}");
    }
}

#[test]
fn what_is_done_there_gets_there_and_what_is_not_allowed_is_said() {
    let bench = Bench::new();
    let (reader, runner) = (bench.token(&[Scope::Read]), bench.token(&[Scope::Run]));
    let person = Person::new(&bench);
    let refused = person.there(&["runs", "rerun", "aa01"], &reader);
    assert!(refused.contains("needs the scope run") && refused.ends_with("[exit Some(2)]"), "{refused}");
    let asked = person.there(&["runs", "rerun", "aa01", "--failed"], &runner);
    assert!(asked.starts_with("asked for: new1\n") && asked.ends_with("[exit Some(0)]"), "{asked}");
    assert_eq!(bench.commands().len(), 1);
    assert!(person.there(&["runs", "cancel", "aa01"], &runner).contains("has ended already (failed)"));
    assert!(person.here(&["runs", "cancel", "aa01"]).contains("has ended already (failed)"));
    assert!(person.here(&["runs", "rerun", "aa01"]).contains("it is not recorded which tree"));
    let here_only = person.there(&["runs", "rerun", "aa01", "--parallel", "2"], &runner);
    assert!(here_only.contains("leave out all but --failed and --step") && here_only.ends_with("[exit Some(2)]"), "{here_only}");
    let wrong = person.there(&["runs", "ls"], "tgp_wrong");
    assert!(wrong.contains("expected a token") && wrong.ends_with("[exit Some(2)]") && !wrong.contains("tgp_wrong"), "{wrong}");
    for arguments in [
        &["run"][..],
        &["serve"],
        &["doctor"],
        &["deploy", "f", "--artifact", "x"],
        &["images", "ls"],
        &["tokens", "ls"],
        &["runs", "replay", "aa01"],
    ] {
        let there = person.there(arguments, &runner);
        assert!(there.contains("works on this machine: leave out --server") && there.ends_with("[exit Some(2)]"), "{arguments:?}: {there}");
    }
}

#[test]
fn a_token_is_not_sent_where_others_can_read_it() {
    let bench = Bench::new();
    let person = Person::new(&bench);
    let open = person.command(&["runs", "ls", "--server", "http://ci.example.com"]).env("TIDEGATE_TOKEN", "tgp_x").output().expect("it runs");
    let open = said(&open);
    assert!(open.contains("is not over TLS") && open.ends_with("[exit Some(2)]"), "{open}");
    // Nobody listens there; it was tried.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let closed = said(&person.command(&["runs", "ls", "--server", &closed]).output().expect("it runs"));
    assert!(closed.contains("can not be reached") && closed.ends_with("[exit Some(4)]"), "{closed}");
}

#[test]
fn a_server_that_sends_the_token_elsewhere_does_not_get_its_way() {
    use std::io::{Read as _, Write as _};
    let bench = Bench::new();
    let person = Person::new(&bench);
    let (bad, other) = (std::net::TcpListener::bind("127.0.0.1:0").expect("a port"), std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    let (at, to) = (bad.local_addr().expect("an address"), other.local_addr().expect("an address"));
    other.set_nonblocking(true).expect("set");
    let redirecting = std::thread::spawn(move || {
        let (mut stream, _) = bad.accept().expect("a client");
        let _ = stream.read(&mut [0; 4096]);
        let _ =
            write!(stream, "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{to}/api/v1/runs\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    });
    let answer =
        said(&person.command(&["runs", "ls", "--server", &format!("http://{at}")]).env("TIDEGATE_TOKEN", "tgp_x").output().expect("it runs"));
    redirecting.join().expect("it redirected");
    assert!(answer.contains("sends on to another address") && answer.ends_with("[exit Some(2)]"), "{answer}");
    assert!(other.accept().is_err(), "the other one was asked");
}

#[test]
fn a_token_is_kept_for_one_server_and_for_nobody_elses_eyes() {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let token = bench.token(&[Scope::Read]);
    let person = Person::new(&bench);
    let login = |token: &str| {
        let mut child =
            person.command(&["login", &bench.url("")]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        child.stdin.take().expect("its input").write_all(token.as_bytes()).expect("written");
        said(&child.wait_with_output().expect("it ends"))
    };
    assert!(login("tgp_wrong\n").ends_with("[exit Some(2)]"));
    let kept = login(&format!("{token}\n"));
    assert!(kept.contains("knows you as token t0") && !kept.contains(&token), "{kept}");
    let folder = person.home.path().join(".config/tidegate/servers");
    let file = std::fs::read_dir(&folder).expect("listed").next().expect("a file").expect("a file").path();
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let ls = || said(&person.command(&["runs", "ls", "--server", &bench.url("")]).output().expect("it runs"));
    assert!(ls().contains("bb03"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("set");
    assert!(ls().contains("others may look into"));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("set");
    let forgotten = said(&person.command(&["login", &bench.url(""), "--forget"]).output().expect("it runs"));
    assert!(forgotten.contains("is forgotten"), "{forgotten}");
    assert!(ls().contains("expected a token"));
}

/// What one of the two has put back waits for the other as well.
#[test]
fn a_delivery_is_replayed_from_afar_as_from_here() {
    let bench = Bench::new();
    let person = Person::new(&bench);
    let admin = bench.token(&[Scope::Admin]);
    let id = |n: u64| format!("72d3162e-cc78-11e3-81ab-{n:012}");
    let strip = |said: String, n: u64| said.replace(&id(n), "ID");
    let here = strip(person.here(&["deliveries", "replay", &id(1)]), 1);
    let there = strip(person.there(&["deliveries", "replay", &id(2)], &admin), 2);
    assert_eq!(there, here);
    assert!(here.ends_with("[exit Some(0)]") && here.contains("waits again"), "{here}");
    for n in [1, 2] {
        let again = person.here(&["deliveries", "replay", &id(n)]);
        assert!(again.contains("waits already"), "{again}");
        assert_eq!(person.there(&["deliveries", "replay", &id(n)], &admin), again);
    }
    let waiting = person.there(&["deliveries", "ls", "--state", "waiting"], &admin);
    assert!((0..3).all(|n| waiting.contains(&id(n))) && !waiting.contains(&id(3)), "{waiting}");
    let refused = person.there(&["deliveries", "replay", &id(3)], &bench.token(&[Scope::Read]));
    assert!(!refused.ends_with("[exit Some(0)]"), "{refused}");
}
