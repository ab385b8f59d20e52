//! A sandbox with a workspace, and what its process said.

use std::collections::BTreeMap;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidegate::adapters::sandbox::{self, Ended, Isolation, NetworkOf, Overlay, Protection, SandboxSpec};
use tokio::io::AsyncReadExt as _;

pub struct Scene {
    pub folder: TempDir,
    pub spec: SandboxSpec,
}

pub struct Said {
    pub text: String,
    pub ended: Ended,
}

pub use crate::ordinary::program;

/// Processes of this machine whose command line has this in it.
pub fn processes(marker: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))).collect()
}

/// A number of seconds to sleep that nobody else sleeps.
pub fn marker() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("9{}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Says that a test can not run here.
pub fn skip(name: &str, reason: &str) {
    use std::io::Write as _;
    let Some(list) = std::env::var_os("TIDEGATE_TEST_SKIPS") else { panic!("{name}: {reason}") };
    writeln!(std::fs::OpenOptions::new().append(true).open(list).unwrap(), "{name}\t{reason}").unwrap();
}

/// Gives a folder to whoever the sandbox's process is outside.
pub fn give(path: &Path) {
    if let Some(uid) = sandbox::outer_uid() {
        chown(path, Some(uid), Some(uid)).unwrap();
    }
}

impl Scene {
    /// A commit with one file, `readme`.
    pub fn new() -> Self {
        sandbox::set_program(program());
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            give(&path);
            path
        };
        let (commit, upper, work) = (at("commit"), at("upper"), at("work"));
        std::fs::write(commit.join("readme"), "hello\n").unwrap();
        give(&commit.join("readme"));
        let spec = SandboxSpec {
            isolation: Isolation::Full,
            argv: Vec::new(),
            env: BTreeMap::from([("PATH".to_owned(), sandbox::TOOL_PATH.to_owned())]),
            root: None,
            cwd: "/workspace".into(),
            hostname: "tidegate".to_owned(),
            overlay: Some(Overlay { lower: vec![commit], upper, work, target: "/workspace".into() }),
            read_only: Vec::new(),
            writable: Vec::new(),
            tmp_size: 16 << 20,
            network: NetworkOf::Own,
            listen: None,
            limits: sandbox::Limits::default(),
            required: Vec::new(),
            lifted: Vec::new(),
        };
        Self { folder, spec }
    }

    /// The same in Python, for system calls that no shell offers. `call(name, …)` answers the error's name, or what it returned. `attempt` says what came of
    /// it; `reach` also takes it for success that the kernel was asked and has it not, or gives it to nobody.
    pub async fn python(&mut self, script: &str) -> Said {
        let prelude = "import ctypes, errno, os, signal, socket, sys\nlibc = ctypes.CDLL(None, use_errno=True)\ndef call(name, *args):\n    answer = getattr(libc, name)(*args)\n    return errno.errorcode[ctypes.get_errno()] if answer == -1 else answer\n\
            libc.syscall.restype = ctypes.c_long\ndef syscall(number, *args):\n    return call('syscall', *(ctypes.c_long(arg) if type(arg) is int else arg for arg in (number, *args)))\n\
            def attempt(act):\n    try:\n        answer = act()\n    except OSError as error:\n        answer = errno.errorcode[error.errno]\n    print('succeeded' if type(answer) is not str else answer)\n\
            def reach(act):\n    attempt(lambda: (lambda answer: None if answer in MISSING else answer)(act()))\nMISSING = 'ENOSYS', 'EAFNOSUPPORT', 'EACCES', 'ENOENT'\n";
        std::fs::write(self.folder.path().join("commit/attack.py"), format!("{prelude}{script}")).unwrap();
        self.run("exec python3 attack.py").await
    }

    pub async fn run(&mut self, script: &str) -> Said {
        self.spec.argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let mut running = sandbox::spawn(&self.spec).await.unwrap();
        let mut text = Vec::new();
        running.output.read_to_end(&mut text).await.unwrap();
        let ended = running.wait().await;
        Said { text: String::from_utf8_lossy(&text).into_owned(), ended }
    }
}

/// What a script says without the walls, and with all of them.
pub async fn without_and_with(lifted: &[Protection], script: &str) -> (String, String) {
    let mut open = Scene::new();
    open.spec.lifted = lifted.to_vec();
    (open.python(script).await.text, Scene::new().python(script).await.text)
}

/// One attack, one test: the script, the walls in its way, and what is answered when they stand.
macro_rules! attacks {
    ($($name:ident: $lifted:expr, $script:expr => $refused:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            #[allow(unused_imports, reason = "some of what is attacked no wall can be taken down for")]
            use tidegate::adapters::sandbox::Protection::*;
            let (without, with) = $crate::support::without_and_with(&$lifted, $script).await;
            assert_eq!((without.as_str(), with.as_str()), ("succeeded\n", concat!($refused, "\n")));
        }
    )*};
}
pub(crate) use attacks;

/// Attacks that more than one wall stops, of which the kernel's own can not be taken down: refused without ours as well.
macro_rules! refused_twice {
    ($($name:ident: $lifted:expr, $script:expr => $refused:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            use tidegate::adapters::sandbox::Protection::*;
            let (without, with) = $crate::support::without_and_with(&$lifted, $script).await;
            assert!(!without.is_empty() && !without.contains("succeeded"), "{without}");
            assert_eq!(with.as_str(), concat!($refused, "\n"));
        }
    )*};
}
pub(crate) use refused_twice;
