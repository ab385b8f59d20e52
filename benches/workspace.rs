//! A private workspace of a commit with 5,000 files and 100 MB, beside what others do for one: `cargo bench --bench workspace [-- ROUNDS]`.
//!
//! All ways take turns. Ours is measured twice: the workspace alone (its snapshot found, its layers made, and mounted), and with everything around it, as a
//! whole sandbox that runs `/bin/true` in it. In each, the step could change any file at once. Removing it again is measured as well.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::quantile;
use tidegate::adapters::sandbox::{self, Isolation, Limits, NetworkOf, Overlay, SandboxSpec};
use tidegate::adapters::workspace::{self, Store};
use tidegate::model::id::CommitId;
use tidegate::model::outcome::Exit;
use tokio::io::AsyncReadExt as _;

const FILES: usize = 5_000;
const SIZE: usize = 20_000;
const DEAR: usize = 4;
const FOLDERS: usize = 100;

fn main() {
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(12);
    sandbox::set_program(env!("CARGO_BIN_EXE_tidegate"));
    println!("A private workspace of {FILES} files, {} MB; {rounds} rounds, interleaved.\n", FILES * SIZE / 1_000_000);
    println!("| way | state on | make it, median ms | remove it, median ms | × the first row |\n|---|---|---:|---:|---:|");
    for (place, folder) in common::places() {
        let bench = Bench::new(folder.path());
        let mut ways = ways();
        if !rustix::process::geteuid().is_root() {
            println!("| {}: missing, as only root can mount it outside of a sandbox | | | | |", ways.remove(0).name);
        }
        bench.first_sight();
        for round in 0..rounds {
            // What takes seconds is not measured as often as what takes milliseconds.
            for way in ways.iter_mut().filter(|way| !way.dear || round % DEAR == 0) {
                sandbox::set_warm(way.warm);
                let begun = Instant::now();
                let made = (way.make)(&bench);
                way.made.push(begun.elapsed());
                let begun = Instant::now();
                (way.remove)(&bench, &made);
                way.removed.push(begun.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        print(&mut ways, &place);
    }
}

struct Way {
    name: &'static str,
    warm: bool,
    dear: bool,
    make: fn(&Bench) -> PathBuf,
    remove: fn(&Bench, &Path),
    made: Vec<Duration>,
    removed: Vec<Duration>,
}

fn ways() -> Vec<Way> {
    let way = |name, warm, make, remove| Way { name, warm, dear: false, make, remove, made: Vec::new(), removed: Vec::new() };
    let dear = |name, make, remove| Way { dear: true, ..way(name, false, make, remove) };
    vec![
        way("Tidegate: the workspace", false, |bench| bench.mounted(), Bench::unmounted),
        dear("Tidegate: the first one of a commit (its snapshot is written)", Bench::first, removed),
        way("Tidegate: a whole sandbox with it, cold, `/bin/true`", false, Bench::sandboxed, removed),
        way("Tidegate: the same, warm", true, Bench::sandboxed, removed),
        dear("`git worktree add --detach`", Bench::worktree, Bench::worktree_removed),
        dear("`git clone --local`", Bench::clone, removed),
        dear("`cp -a` of a checkout", Bench::copy, removed),
    ]
}

fn print(ways: &mut [Way], place: &str) {
    let base = quantile(&mut ways[0].made, 0.5);
    for way in ways {
        let made = quantile(&mut way.made, 0.5);
        println!("| {} | {place} | {made:.2} | {:.2} | {:.1} |", way.name, quantile(&mut way.removed, 0.5), made / base);
    }
}

struct Bench {
    folder: PathBuf,
    repository: PathBuf,
    commit: CommitId,
    store: Store,
    counter: std::cell::Cell<u32>,
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn removed(_: &Bench, made: &Path) {
    workspace::remove(made).expect("it can be removed");
}

impl Bench {
    fn new(folder: &Path) -> Self {
        let repository = folder.join("repository");
        fs::create_dir(&repository).expect("a folder");
        let mut noise = fastrand::Rng::with_seed(7);
        for number in 0..FILES {
            let below = repository.join(format!("folder-{}", number % FOLDERS));
            fs::create_dir_all(&below).expect("a folder");
            let line = |noise: &mut fastrand::Rng| format!("{:016x} = {:016x}\n", noise.u64(..), noise.u64(..));
            let text: String = std::iter::repeat_with(|| line(&mut noise)).take(SIZE / 36 + 1).collect();
            fs::write(below.join(format!("file-{number}")), &text[..SIZE]).expect("a file");
        }
        git(&repository, &["init", "--quiet", "--initial-branch=main", "."]);
        git(&repository, &["add", "--all"]);
        git(&repository, &["commit", "--quiet", "--message", "First"]);
        let commit = CommitId::new(git(&repository, &["rev-parse", "HEAD"]).trim());
        let state = folder.join("state");
        fs::create_dir(&state).expect("a folder");
        let store = Store::open(&state, sandbox::outer_uid()).expect("a store");
        Self { folder: folder.to_owned(), repository, commit, store, counter: std::cell::Cell::new(0) }
    }

    fn fresh(&self) -> PathBuf {
        self.counter.set(self.counter.get() + 1);
        self.folder.join(format!("fresh-{}", self.counter.get()))
    }

    /// That a step in the workspace sees all of it.
    fn first_sight(&self) {
        let (spec, made) = self.spec("find . -type f | wc -l");
        let (said, _) = said(&spec);
        assert_eq!(said.trim(), FILES.to_string());
        removed(self, &made);
    }

    fn layers(&self) -> (Overlay, PathBuf) {
        let snapshot = self.store.snapshot(&self.repository, &self.commit).expect("a snapshot");
        let scratch = self.store.scratch().expect("scratch space");
        let tree = scratch.folder(&self.store, "tree").expect("a folder");
        let (upper, work) =
            (scratch.folder(&self.store, "tree/upper").expect("a folder"), scratch.folder(&self.store, "tree/work").expect("a folder"));
        // The bench removes it itself.
        std::mem::forget(scratch);
        (Overlay { lower: vec![snapshot.path], upper, work, target: "/workspace".into() }, tree)
    }

    fn mounted(&self) -> PathBuf {
        let (overlay, tree) = self.layers();
        let at = tree.join("at");
        fs::create_dir(&at).expect("a folder");
        let path = |path: &Path| path.display().to_string();
        let options = format!("volatile,lowerdir={},upperdir={},workdir={}", path(&overlay.lower[0]), path(&overlay.upper), path(&overlay.work));
        let options = std::ffi::CString::new(options).expect("no zero byte");
        rustix::mount::mount("overlay", &at, "overlay", rustix::mount::MountFlags::empty(), options.as_c_str()).expect("only root can mount it here");
        tree
    }

    fn unmounted(&self, tree: &Path) {
        rustix::mount::unmount(tree.join("at"), rustix::mount::UnmountFlags::DETACH).expect("it can be unmounted");
        removed(self, tree.parent().expect("the scratch space"));
    }

    /// Another store, that has not seen the commit.
    fn first(&self) -> PathBuf {
        let state = self.fresh();
        fs::create_dir(&state).expect("a folder");
        let store = Store::open(&state, sandbox::outer_uid()).expect("a store");
        store.snapshot(&self.repository, &self.commit).expect("a snapshot");
        drop(store);
        state
    }

    fn spec(&self, script: &str) -> (SandboxSpec, PathBuf) {
        let (overlay, tree) = self.layers();
        let argv = if script == "/bin/true" { vec![script.to_owned()] } else { ["/bin/sh", "-c", script].map(str::to_owned).to_vec() };
        let spec = SandboxSpec {
            isolation: Isolation::Full,
            argv,
            env: BTreeMap::from([("PATH".to_owned(), sandbox::TOOL_PATH.to_owned())]),
            root: None,
            cwd: "/workspace".into(),
            hostname: "tidegate".to_owned(),
            overlay: Some(overlay),
            read_only: Vec::new(),
            writable: Vec::new(),
            tmp_size: 1 << 30,
            network: NetworkOf::Own,
            listen: None,
            limits: Limits { memory_bytes: Some(4 << 30), cpu_millis: None, pids: Some(4096), file_bytes: Some(16 << 30) },
            required: Vec::new(),
            lifted: Vec::new(),
        };
        (spec, tree.parent().expect("the scratch space").to_owned())
    }

    fn sandboxed(&self) -> PathBuf {
        let (spec, made) = self.spec("/bin/true");
        assert_eq!(said(&spec).1, Exit::Code(0));
        made
    }

    fn worktree(&self) -> PathBuf {
        let path = self.fresh();
        git(&self.repository, &["worktree", "add", "--quiet", "--detach", &path.display().to_string()]);
        path
    }

    fn worktree_removed(&self, path: &Path) {
        git(&self.repository, &["worktree", "remove", "--force", &path.display().to_string()]);
    }

    fn clone(&self) -> PathBuf {
        let path = self.fresh();
        git(&self.folder, &["clone", "--quiet", "--local", "repository", &path.display().to_string()]);
        path
    }

    fn copy(&self) -> PathBuf {
        let path = self.fresh();
        let checkout = self.store.snapshot(&self.repository, &self.commit).expect("a snapshot").path;
        run(Command::new("cp").arg("-a").arg(checkout).arg(&path));
        path
    }
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=A. Person", "-c", "user.email=person@example.com"]).args(arguments).current_dir(at);
    run(command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null"))
}

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
}

fn said(spec: &SandboxSpec) -> (String, Exit) {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let mut running = sandbox::spawn(spec).await.expect("a sandbox");
            let mut said = String::new();
            running.output.read_to_string(&mut said).await.expect("its output");
            (said, running.wait().await.exit)
        })
    })
}
