//! A registry that lets in who has the password only: with the sandbox, Docker and Podman, each through the real program. And the password, nowhere else.

mod beside;
mod named;
mod tale;

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tidegate::adapters::executor::Engine;

use crate::builder::{Layer, image, own_busybox};
use crate::engines;
use crate::registry::{Registry, registry};
use crate::support::{Seen, World};

const USER: &str = "ada";
const PASSWORD: &str = "w1th: a colon";
/// Of that, by bcrypt.
const HTPASSWD: &str = "ada:$2y$05$abcdefghijklmnopqrstuuMQaHNY8gdQnEaHh5aJpWw9uO.Z8cTWu\n";
const CLOSED: &str = "auth: {htpasswd: {realm: tests, path: FOLDER/users}}\n";

/// What a step runs in, and where a registry has to be to be on loopback for whoever pulls.
#[derive(Clone)]
enum Home {
    Sandbox,
    Engine(Box<Engine>),
}

impl Home {
    /// All that can be had here.
    fn all(test: &str) -> Vec<Self> {
        // Some ordinary user has no engine: root tells which are missing.
        let user = std::env::var_os("TIDEGATE_UNDER_TEST").is_some();
        let engines = engines::VARIABLES.into_iter().filter(|_| !user).filter_map(|variable| engines::engine_or_skip(variable, test));
        [Self::Sandbox].into_iter().chain(engines.map(|engine| Self::Engine(Box::new(engine)))).collect()
    }

    fn name(&self) -> &str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Engine(engine) => &engine.name,
        }
    }

    /// The process in whose network it pulls.
    fn puller(&self) -> Option<i32> {
        let Self::Engine(engine) = self else { return None };
        let socket = UnixStream::connect(&engine.socket).unwrap();
        Some(rustix::net::sockopt::socket_peercred(&socket).unwrap().pid.as_raw_nonzero().get())
    }

    /// A registry with a password, that has what this one has.
    fn closed(&self, open: &Registry) -> Registry {
        self.closed_to(open, HTPASSWD)
    }

    /// `users`: who is let in.
    fn closed_to(&self, open: &Registry, users: &str) -> Registry {
        let command = self.puller().map_or_else(
            || Command::new("docker-registry"),
            |pid| {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/proc/{pid}/ns/net")).arg("docker-registry");
                command
            },
        );
        let closed = Registry::begin(CLOSED, command).unwrap();
        closed.put("users", users);
        closed.copy_of(open);
        closed
    }

    /// A port of its loopback that nobody serves but us.
    fn listener(&self) -> TcpListener {
        let pid = self.puller();
        let bind = move || {
            if let Some(pid) = pid {
                let network = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
                move_into_link_name_space(std::os::fd::AsFd::as_fd(&network), Some(LinkNameSpaceType::Network)).unwrap();
            }
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
        };
        std::thread::spawn(bind).join().unwrap()
    }

    fn forget(&self, image: &str) {
        if let Self::Engine(engine) = self {
            engines::lines(engine, &["rmi", "--force", image]);
        }
    }

    fn run(&self, world: &World, pull: &str, environment: &[(&str, &OsStr)]) -> Command {
        let socket = match self {
            Self::Sandbox => None,
            Self::Engine(engine) => Some(engine.socket.to_string_lossy().into_owned()),
        };
        let mut arguments = vec!["run", "--pull", pull, "--executor", if socket.is_some() { "container" } else { "sandbox" }];
        arguments.extend(socket.iter().flat_map(|socket| ["--engine", socket]));
        let mut command = world.command(&arguments);
        command.envs(environment.iter().copied());
        command
    }
}

fn world(image: &str, script: &str) -> World {
    let file =
        format!("name: private\non: {{ manual: {{}} }}\nsteps:\n  inside:\n    image: {image}\n    run: {script}\n    retry: {{ attempts: 1 }}\n");
    World::with(&[(".tidegate/private.yaml", &file)])
}

fn basic(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

/// A folder for `DOCKER_CONFIG`.
fn configuration(world: &World, name: &str, text: &str) -> PathBuf {
    let folder = world.path(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.json"), text).unwrap();
    folder
}

fn auths(host: &str, user: &str, password: &str) -> String {
    serde_json::json!({"auths": {host: {"auth": basic(user, password)}}}).to_string()
}

/// A settings file that says where the password of a registry is.
fn settings(world: &World, host: &str, password: &str) -> PathBuf {
    let file = world.path("settings.yaml");
    std::fs::write(&file, format!("registries:\n  {host}: {{ user: {USER}, password: {password} }}\n")).unwrap();
    file
}

/// A helper as Docker calls them, that knows one registry. Answers a `PATH` with it.
fn helper(world: &World, host: &str) -> std::ffi::OsString {
    let folder = world.path("helpers");
    std::fs::create_dir_all(&folder).unwrap();
    let answer = serde_json::json!({"ServerURL": host, "Username": USER, "Secret": PASSWORD});
    let script = format!(
        "#!/bin/sh\nread -r asked\nif [ \"$1 $asked\" = 'get {host}' ]; then echo '{answer}'; else echo 'credentials not found in native keychain'; exit 1; fi\n"
    );
    std::fs::write(folder.join("docker-credential-story"), script).unwrap();
    std::fs::set_permissions(folder.join("docker-credential-story"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What is just being removed is not there.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// Files below a folder that have the password in them, in any spelling that it travels in.
fn holding(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|file| std::fs::read(file).is_ok_and(|bytes| tells(&bytes))).collect()
}

fn tells(bytes: &[u8]) -> bool {
    let spellings = [PASSWORD.to_owned(), basic(USER, PASSWORD), STANDARD.encode(PASSWORD)];
    spellings.iter().any(|spelling| bytes.windows(spelling.len()).any(|part| part == spelling.as_bytes()))
}

#[track_caller]
fn nowhere(world: &World, seen: &Seen) {
    assert!(!tells(seen.all().as_bytes()), "{}", seen.all());
    assert_eq!(holding(&world.state()), Vec::<PathBuf>::new());
}

fn seen(mut command: Command) -> Seen {
    Seen::of(&command.output().unwrap())
}

#[tokio::test]
async fn a_private_image_is_for_who_has_the_password_and_says_what_to_do_to_others() {
    let test = "private::a_private_image_is_for_who_has_the_password_and_says_what_to_do_to_others";
    let Some(open) = registry(test) else { return };
    let digest = open.push("own/app:1", &image(&[own_busybox(), Layer::default().file("which", "private\n")])).await;
    for home in Home::all(test) {
        let closed = home.closed(&open);
        let (host, name) = (closed.host(), closed.name("own/app:1"));
        let world = world(&name, "cat /which");
        let with = |folder: &Path, pull: &str| seen(home.run(&world, pull, &[("DOCKER_CONFIG", folder.as_os_str())]));

        let nobody = with(&configuration(&world, "nobody", "{}"), "missing").expect(4);
        let wrong = with(&configuration(&world, "wrong", &auths(&host, USER, "another")), "missing").expect(4);
        for (seen, says) in [(&nobody, "without credentials"), (&wrong, "does not take the credentials that are known for it")] {
            let said = seen.all();
            assert!(said.contains(says) && said.contains(&format!("docker login {host}")), "{}: {said}", home.name());
            assert!(said.contains("infrastructure") && !said.contains("private\n"), "{said}");
        }
        assert!(!wrong.all().contains(&basic(USER, "another")), "{}", wrong.all());
        let broken = with(&configuration(&world, "broken", "{"), "missing").expect(4);
        assert!(broken.all().contains(&format!("the credentials for {host} in Docker's configuration can not be used")), "{}", broken.all());

        let ways: [(&str, String); 3] = [
            ("login", auths(&host, USER, PASSWORD)),
            ("helper", serde_json::json!({"credHelpers": {&host: "story"}}).to_string()),
            ("store", serde_json::json!({"credsStore": "story", "auths": {&host: {}}}).to_string()),
        ];
        let path = helper(&world, &host);
        for (way, text) in ways {
            let folder = configuration(&world, way, &text);
            let seen = seen(home.run(&world, "always", &[("DOCKER_CONFIG", folder.as_os_str()), ("PATH", &path)])).expect(0);
            assert!(seen.all().contains("private"), "{} by {way}: {}", home.name(), seen.all());
            nowhere(&world, &seen);
            home.forget(&name);
        }
        let variable = auths(&host, USER, PASSWORD);
        let seen = seen(home.run(&world, "always", &[("DOCKER_AUTH_CONFIG", OsStr::new(&variable))])).expect(0);
        nowhere(&world, &seen);
        // The record says which one it was.
        let record = world.tidegate(&["--json", "runs", "show", "latest"]).expect(0).all();
        assert!(record.contains(&format!("\"digest\":\"{digest}\"")), "{}: {record}", home.name());
        nowhere(&world, &Seen { code: 0, out: record, err: String::new() });

        // What is there is nobody's to be asked for, with or without a registry; another look at the tag needs one.
        drop(closed);
        let nobody = configuration(&world, "nobody", "{}");
        for pull in ["missing", "never"] {
            with(&nobody, pull).expect(0).says("private");
        }
        let gone = with(&nobody, "always").expect(4);
        assert!(gone.all().contains("infrastructure"), "{}", gone.all());
        home.forget(&name);
        let never = with(&nobody, "never");
        match home {
            Home::Sandbox => assert_eq!(never.code, 0),
            Home::Engine(_) => assert!(never.expect(4).all().contains("--pull never forbids")),
        }
    }
}

#[tokio::test]
async fn while_it_runs_nobody_can_read_the_password_from_processes_or_from_the_engine() {
    let test = "private::while_it_runs_nobody_can_read_the_password_from_processes_or_from_the_engine";
    let Some(open) = registry(test) else { return };
    open.push("own/slow:1", &image(&[own_busybox()])).await;
    for (home, named) in Home::all(test).into_iter().flat_map(|home| [(home.clone(), false), (home, true)]) {
        let closed = home.closed(&open);
        let name = closed.name("own/slow:1");
        // Until somebody has looked: it is told so by its end.
        let world = world(&name, "echo begun; sleep 300");
        let mut command = if named {
            std::fs::write(world.path("password"), PASSWORD).unwrap();
            let settings = settings(&world, &closed.host(), &format!("{{ file: {} }}", world.path("password").display()));
            home.run(&world, "always", &[("TIDEGATE_CONFIG", settings.as_os_str())])
        } else {
            let folder = configuration(&world, "login", &auths(&closed.host(), USER, PASSWORD));
            home.run(&world, "always", &[("DOCKER_CONFIG", folder.as_os_str())])
        };
        let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let log = wait_for(|| {
            let run = std::fs::read_dir(world.state().join("runs")).ok()?.flatten().next()?.path();
            std::fs::read_to_string(run.join("inside.1.log")).ok().filter(|log| log.lines().any(|line| line == "begun"))
        });
        assert!(!tells(log.as_bytes()), "{log}");
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            // Their environments as well: a file was named, not what is in it.
            for what in ["cmdline", "environ"] {
                let said = std::fs::read(process.path().join(what)).unwrap_or_default();
                assert!(!tells(&said), "{}: {}", process.path().display(), String::from_utf8_lossy(&said));
            }
        }
        if let Home::Engine(engine) = &home {
            let own = engines::objects(engine).into_iter().filter(|object| {
                let told = engines::docker(engine, &["inspect", object]).stdout;
                assert!(!tells(&told), "{}", String::from_utf8_lossy(&told));
                String::from_utf8_lossy(&told).contains(&world.state().to_string_lossy().into_owned())
            });
            assert!(own.count() > 0, "{}", home.name());
        }
        assert_eq!(holding(&world.state()), Vec::<PathBuf>::new());
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
        child.wait().unwrap();
        nowhere(&world, &Seen::of(&child.wait_with_output().unwrap()));
        home.forget(&name);
    }
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited for too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}
