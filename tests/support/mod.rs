//! What stories need: a real repository made by real git, and the real binary with nothing of this machine's user in its environment.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// The real binary, or the copy of it that an ordinary user may run (support/users.rs).
pub fn program() -> PathBuf {
    std::env::var_os("TIDEGATE_UNDER_TEST").map_or_else(|| env!("CARGO_BIN_EXE_tidegate").into(), PathBuf::from)
}

/// A person's world: a home that is empty, a state folder, and a repository.
pub struct World {
    root: TempDir,
}

/// What the person saw.
pub struct Seen {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Seen {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "--- stdout ---\n{}\n--- stderr ---\n{}", self.out, self.err);
        self
    }

    /// Both streams: for assertions on what was said, wherever it was said.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.all().contains(text), "expected {text:?} in:\n--- stdout ---\n{}\n--- stderr ---\n{}", self.out, self.err);
        self
    }
}

impl World {
    pub fn new() -> Self {
        let world = Self { root: TempDir::with_prefix("tidegate-story-").expect("a temporary folder") };
        for folder in ["home", "repository", "state"] {
            std::fs::create_dir(world.root.path().join(folder)).expect("a folder in it");
        }
        world
    }

    /// A world whose repository has one commit of these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let world = Self::new();
        world.git(&["init", "--quiet", "--initial-branch=main", "."]);
        for (path, text) in files {
            world.write(path, text);
        }
        world.commit("First");
        world
    }

    pub fn repository(&self) -> PathBuf {
        self.root.path().join("repository")
    }

    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    pub fn write(&self, path: &str, text: &str) {
        self.write_bytes(path, text.as_bytes());
    }

    pub fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let full = self.repository().join(path);
        std::fs::create_dir_all(full.parent().expect("a parent")).expect("folders");
        std::fs::write(full, bytes).expect("a file");
    }

    /// The same files as in a folder of this package.
    pub fn copy_from_package(&self, from: &str, to: &str) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
        let target = self.repository().join(to);
        std::fs::create_dir_all(target.parent().expect("a parent")).expect("folders");
        let status = Command::new("cp").arg("-a").arg(&source).arg(&target).status().expect("cp");
        assert!(status.success(), "cp {} {}", source.display(), target.display());
    }

    pub fn commit(&self, subject: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", subject]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=A. Person", "-c", "user.email=person@example.com"])
            .args(arguments)
            .current_dir(self.repository())
            .env("HOME", self.root.path().join("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The real binary, in the repository, with a scrubbed environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(self.repository())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.root.path().join("home"))
            .env("TIDEGATE_STATE_DIR", self.state())
            .env("TERM", "dumb")
            .stdin(Stdio::null());
        command
    }

    pub fn tidegate(&self, arguments: &[&str]) -> Seen {
        Seen::of(&self.command(arguments).output().expect("the binary"))
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary")
    }

    /// Command lines of living processes that have this world's state folder in their arguments or environment.
    pub fn processes(&self) -> Vec<String> {
        let mark = self.state().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let pid = entry.file_name();
            if !pid.to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            let read =
                |name: &str| std::fs::read(entry.path().join(name)).map(|b| String::from_utf8_lossy(&b).replace('\0', " ")).unwrap_or_default();
            let (line, environment) = (read("cmdline"), read("environ"));
            if line.contains(&mark) || environment.contains(&mark) {
                found.push(format!("{} {line}", pid.to_string_lossy()));
            }
        }
        found
    }

    /// Mounts of this mount namespace below this world.
    pub fn mounts(&self) -> Vec<String> {
        let mark = self.root.path().to_string_lossy().into_owned();
        std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo").lines().filter(|line| line.contains(&mark)).map(str::to_owned).collect()
    }
}
