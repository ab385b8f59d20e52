//! `tidegate serve` as a process: started, listened to, ended.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A state folder, a settings file and two ports.
pub struct Place {
    folder: tempfile::TempDir,
    pub gateway: SocketAddr,
    pub server: SocketAddr,
}

impl Place {
    pub fn new() -> Self {
        // Ports that are free now; nobody else asks for these numbers in between.
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (gateway, server) = (free(), free());
        let place = Self { folder: tempfile::tempdir().unwrap(), gateway: gateway.local_addr().unwrap(), server: server.local_addr().unwrap() };
        std::fs::create_dir(place.state()).unwrap();
        std::fs::set_permissions(place.state(), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::write(place.settings(), format!("server: {{ listen: \"{}\" }}\n", place.server)).unwrap();
        place
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }
    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("settings.yaml")
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The arguments of a `serve` here.
    pub fn arguments(&self) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let words = ["serve", "--listen", &self.gateway.to_string(), "--state-dir", &text(self.state()), "--config", &text(self.settings())];
        words.map(str::to_owned).into()
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(self.arguments()).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    pub fn serve(&self) -> Serve {
        Serve::start(self.command())
    }
}

pub struct Serve {
    child: Child,
    pub lines: Vec<String>,
}

impl Serve {
    /// Returns when it serves.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| line == "Ctrl-C ends it.") {
                return Self { child, lines };
            }
        }
        panic!("it ended with {} after {lines:?}", child.wait().unwrap())
    }

    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn end(mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.child.wait().unwrap().code()
    }

    /// The exit code, when it has ended by itself.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A test that can not run here says so to ./test.
pub fn skip(test: &str, reason: &str) {
    use std::io::Write as _;
    let path = std::env::var_os("TIDEGATE_TEST_SKIPS").map(PathBuf::from);
    let path = path.unwrap_or_else(|| Path::new("/dev/stderr").to_owned());
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    writeln!(file, "{test}\t{reason}").unwrap();
}
