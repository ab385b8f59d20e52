//! Where the program comes from, and what is not taken for it: the script as a runner runs it, against a mirror on this machine.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest as _, Sha256};

use crate::rig::action;

/// A folder served over HTTP, until the test ends.
pub struct Mirror {
    pub folder: tempfile::TempDir,
    pub url: String,
}

impl Mirror {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let root = folder.path().to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        break;
                    }
                    head.extend(byte);
                }
                let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
                let _ = match std::fs::read(root.join(path)) {
                    Ok(body) => write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len())
                        .and_then(|()| stream.write_all(&body)),
                    Err(_) => write!(stream, "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
                };
            }
        });
        Self { folder, url }
    }

    pub fn archive(&self) -> String {
        format!("tidegate-0.1.0-{}-linux.tar.gz", std::env::consts::ARCH)
    }

    /// A release with the real program, and its digest.
    fn release(&self) -> String {
        let folder = self.folder.path().join("v0.1.0");
        std::fs::create_dir_all(&folder).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_tidegate"));
        let mut tar = Command::new("tar");
        tar.args(["--create", "--gzip", "--dereference", "--file"]).arg(folder.join(self.archive()));
        let packed = tar.arg("--directory").arg(program.parent().unwrap()).arg("tidegate").status().unwrap();
        assert!(packed.success());
        let digest = digest(&folder.join(self.archive()));
        std::fs::write(folder.join("SHA256SUMS"), format!("{}  other.tar.gz\n{digest}  {}\n", "0".repeat(64), self.archive())).unwrap();
        digest
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("v0.1.0").join(name)
    }
}

pub fn digest(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub struct Installed {
    output: Output,
    pub said: String,
    path: Option<String>,
}

/// A PATH of its own: what the script needs, and a gh that says yes or no where there is to be one.
pub fn install(url: &str, script: &Path, inputs: &[(&str, &str)], gh: Option<bool>) -> Installed {
    let place = tempfile::tempdir().unwrap().keep();
    let programs = place.join("bin");
    std::fs::create_dir(&programs).unwrap();
    for name in [
        "bash",
        "env",
        "mktemp",
        "uname",
        "curl",
        "sha256sum",
        "cut",
        "awk",
        "tar",
        "gzip",
        "chmod",
        "dirname",
        "basename",
        "od",
        "tr",
        "cargo",
        "rustc",
        "cc",
        "ld",
        "as",
    ] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|folder| folder.join(name)).find(|path| path.exists());
        if let Some(found) = found {
            std::os::unix::fs::symlink(found, programs.join(name)).unwrap();
        }
    }
    if let Some(yes) = gh {
        let gh = programs.join("gh");
        std::fs::write(&gh, format!("#!/bin/sh\necho \"asked: $*\"\nexit {}\n", i32::from(!yes))).unwrap();
        std::fs::set_permissions(&gh, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(script);
    command.env_clear().env("PATH", &programs).env("RUNNER_TEMP", &place);
    command.envs(
        [("INSTALL", "release"), ("BINARY", ""), ("VERSION", "0.1.0"), ("SHA256", ""), ("PROVENANCE", "auto"), ("RELEASES", url)]
            .map(|(name, value)| (format!("INPUT_{name}"), value)),
    );
    for home in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        command.envs(std::env::var_os(home).map(|value| (home, value)));
    }
    command.envs(inputs.iter().map(|(name, value)| (format!("INPUT_{name}"), *value)));
    command.env("GITHUB_OUTPUT", place.join("output")).env("GITHUB_PATH", place.join("path"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let path = std::fs::read_to_string(place.join("output")).ok().and_then(|text| text.lines().nth(1).map(str::to_owned));
    Installed { output, said, path }
}

impl Installed {
    #[track_caller]
    pub fn works(&self) -> &Self {
        assert!(self.output.status.success(), "{}", self.said);
        let path = self.path.as_ref().expect("its path");
        let said = Command::new(path).arg("--version").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), format!("tidegate {}\n", env!("CARGO_PKG_VERSION")));
        self
    }

    #[track_caller]
    pub fn refused(&self, why: &str) {
        assert_eq!(self.output.status.code(), Some(2), "{}", self.said);
        let errors: Vec<&str> = self.said.lines().filter(|line| line.starts_with("::error title=tidegate::")).collect();
        assert!(matches!(errors.as_slice(), [only] if only.contains(why)), "expected {why:?}: {}", self.said);
        assert_eq!(self.path, None);
    }
}

#[test]
fn a_release_is_taken_when_checksum_and_provenance_hold() {
    let mirror = Mirror::new();
    let digest = mirror.release();
    let script = action().join("install.sh");
    let get = |inputs: &[(&str, &str)], gh| install(&mirror.url, &script, inputs, gh);
    let installed = get(&[], Some(true));
    installed.works();
    assert!(installed.said.contains(&digest), "{}", installed.said);
    let asked = "attestation verify ";
    let policy = "--repo tidegate/tidegate --signer-workflow tidegate/tidegate/.github/workflows/release.yml --source-ref refs/tags/v0.1.0";
    assert!(installed.said.contains(asked) && installed.said.contains(policy), "{}", installed.said);

    get(&[], Some(false)).refused("gh does not confirm");
    get(&[("SHA256", &digest)], Some(false)).refused("gh does not confirm");
    get(&[], None).refused("gh is not on this runner");
    get(&[("PROVENANCE", "require"), ("SHA256", &digest)], None).refused("gh is not on this runner");
    let pinned = get(&[("SHA256", &digest)], None);
    assert!(pinned.works().said.contains("the provenance was not verified, the digest that the workflow names was"), "{}", pinned.said);
    let skipped = get(&[("PROVENANCE", "skip")], None);
    assert!(skipped.works().said.contains("::warning title=tidegate::the provenance of Tidegate 0.1.0 was not verified"), "{}", skipped.said);
}

#[test]
fn what_is_not_the_release_is_not_taken() {
    let mirror = Mirror::new();
    let digest = mirror.release();
    let script = action().join("install.sh");
    let get = |inputs: &[(&str, &str)]| install(&mirror.url, &script, inputs, Some(true));
    get(&[("SHA256", &"1".repeat(64))]).refused("is not what it should be");
    get(&[("SHA256", "abc")]).refused("expected 64 lower-case hex digits");
    get(&[("VERSION", "0.9.9")]).refused("can not be downloaded");
    get(&[("VERSION", "../../evil")]).refused("expected one such as 0.1.0");
    get(&[("VERSION", "1.0.0\n::add-path::/evil")]).refused("expected one such as 0.1.0");
    get(&[("PROVENANCE", "never")]).refused("expected auto, require or skip");
    get(&[("INSTALL", "magic")]).refused("expected release or source");
    // A name that only ends like it, and one that is a pattern.
    std::fs::write(mirror.path("SHA256SUMS"), format!("{digest}  evil-{}\n", mirror.archive())).unwrap();
    get(&[]).refused("has no digest for");
    // Over a network that anybody may read and write.
    let open = install("http://releases.example.com", &script, &[], Some(true));
    open.refused("can not be downloaded");
    // Another file under the same name.
    mirror.release();
    let mut bytes = std::fs::read(mirror.path(&mirror.archive())).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(mirror.path(&mirror.archive()), bytes).unwrap();
    get(&[]).refused("is not what it should be");
}

#[test]
fn a_program_that_is_there_is_taken_if_it_is_tidegate() {
    let script = action().join("install.sh");
    install("", &script, &[("BINARY", env!("CARGO_BIN_EXE_tidegate"))], None).works();
    install("", &script, &[("BINARY", "/bin/true")], None).refused("is not Tidegate");
    install("", &script, &[("BINARY", "/etc/passwd")], None).refused("is not a program");
    install("", &script, &[("BINARY", "/nowhere\n::add-path::/evil")], None).refused("/nowhere%0A::add-path::/evil is not a program");
}

/// The real cargo builds what stands around the action: here a small package, as the whole takes minutes.
#[test]
fn from_source_it_is_what_stands_around_the_action() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("actions/tidegate");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["install.sh", "say.sh"] {
        std::fs::copy(action().join(name), folder.join(name)).unwrap();
    }
    install("", &folder.join("install.sh"), &[("INSTALL", "source")], None).refused("needs the whole repository around the action");
    std::fs::create_dir(place.path().join("src")).unwrap();
    std::fs::write(place.path().join("Cargo.toml"), "[package]\nname = \"tidegate\"\nversion = \"0.1.0\"\nedition = \"2024\"\n").unwrap();
    std::fs::write(place.path().join("Cargo.lock"), "version = 4\n\n[[package]]\nname = \"tidegate\"\nversion = \"0.1.0\"\n").unwrap();
    std::fs::write(place.path().join("src/main.rs"), "fn main() { println!(\"tidegate {}\", env!(\"CARGO_PKG_VERSION\")) }\n").unwrap();
    install("", &folder.join("install.sh"), &[("INSTALL", "source")], None).works();
    std::fs::write(place.path().join("src/main.rs"), "fn main() { syntax error }\n").unwrap();
    install("", &folder.join("install.sh"), &[("INSTALL", "source")], None).refused("could not be built");
}

#[test]
fn the_version_that_is_installed_is_the_one_that_this_is() {
    let text = std::fs::read_to_string(action().join("action.yml")).unwrap();
    let version = format!("default: \"{}\"", env!("CARGO_PKG_VERSION"));
    let (_, after) = text.split_once("\n  version:\n").unwrap();
    assert!(after.lines().nth(1).unwrap().trim() == version, "{after}");
}
