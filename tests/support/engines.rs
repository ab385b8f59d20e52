//! Container engines that ./test has started, or found, and what they have in them.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};
use tidegate::adapters::executor::Engine;

/// busybox and links to it.
pub const IMAGE: &str = "tidegate-test-busybox:1";

/// The variables that name their sockets.
pub const VARIABLES: [&str; 2] = ["TIDEGATE_TEST_DOCKER", "TIDEGATE_TEST_PODMAN"];

/// That of an engine which runs as the ordinary user of stories that are told again. Nobody else can use it: what root makes is closed to it.
pub const ROOTLESS: &str = "TIDEGATE_TEST_PODMAN_ROOTLESS";

/// All that can be had. For tests that have others to run over: one of the suite's own says which are missing.
pub fn all() -> Vec<Engine> {
    let own = std::env::var_os("TIDEGATE_UNDER_TEST").map(|_| ROOTLESS);
    VARIABLES.into_iter().chain(own).filter_map(engine).collect()
}

/// Those of root only: an ordinary user's has no lists of hosts, as its networks are not ours to enter (docs/executors.md).
pub fn of_root() -> Vec<Engine> {
    VARIABLES.into_iter().filter_map(engine).collect()
}

pub fn engine(variable: &str) -> Option<Engine> {
    let socket = std::env::var_os(variable)?;
    // The ordinary user of some stories may not use it.
    rustix::fs::access(PathBuf::from(&socket), rustix::fs::Access::WRITE_OK).ok()?;
    let ask = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(Engine::at(&PathBuf::from(socket))).expect("an engine that answers")
    };
    // A test has a runtime already.
    Some(std::thread::spawn(ask).join().expect("its answer"))
}

/// The engine, or a line in the list of what was skipped.
pub fn engine_or_skip(variable: &str, test: &str) -> Option<Engine> {
    let found = engine(variable);
    if found.is_none() {
        let why = std::env::var(format!("{variable}_MISSING")).unwrap_or_else(|_| format!("{variable} names no engine's socket"));
        skip(test, &why);
    }
    found
}

/// A line in the list of what was skipped.
pub fn skip(test: &str, why: &str) {
    match std::env::var_os("TIDEGATE_TEST_SKIPS") {
        None => eprintln!("skipped: {test}: {why}"),
        Some(list) => {
            let mut list = std::fs::OpenOptions::new().append(true).open(list).expect("the list of skipped tests");
            writeln!(list, "{test}\t{why}").expect("a line in it");
        }
    }
}

/// The usual client, which knows nothing of Tidegate.
pub fn docker(engine: &Engine, arguments: &[&str]) -> Output {
    static CLIENT: OnceLock<String> = OnceLock::new();
    let client = CLIENT.get_or_init(|| std::env::var("TIDEGATE_TEST_DOCKER_CLIENT").unwrap_or_else(|_| "docker".to_owned()));
    let socket = format!("unix://{}", engine.socket.display());
    Command::new(client).args(["--host", &socket]).args(arguments).output().expect("the docker client")
}

/// What an engine says, line by line.
pub fn lines(engine: &Engine, arguments: &[&str]) -> Vec<String> {
    let output = docker(engine, arguments);
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Containers and volumes that are labelled as some Tidegate's, with their state folders' labels.
pub fn objects(engine: &Engine) -> Vec<String> {
    let label = "label=dev.tidegate.state";
    let mut found = lines(engine, &["ps", "--all", "--no-trunc", "--filter", label, "--format", "{{.Names}}"]);
    found.extend(lines(engine, &["volume", "ls", "--filter", label, "--format", "{{.Name}}"]));
    found
}

/// The control groups in which containers of a state folder's steps are counted.
pub fn groups(state: &Path) -> Vec<PathBuf> {
    let (secret, place) = (std::fs::read(state.join("identity")).unwrap(), std::fs::metadata(state).unwrap());
    let digest = Sha256::new().chain_update(secret).chain_update(format!(" {} {}", place.dev(), place.ino())).finalize();
    let prefix: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let below = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect::<Vec<_>>();
    let top = Path::new("/sys/fs/cgroup");
    let mut found: Vec<PathBuf> = below(top).iter().flat_map(|hierarchy| below(hierarchy)).chain(below(top)).collect();
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("tidegate.{prefix}_"))));
    found
}
