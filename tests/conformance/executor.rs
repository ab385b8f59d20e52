//! What every executor does, whether it isolates or not, for root and for an ordinary user. A new one is one more line in `every_executor`; what it does not do
//! like the others is named there, in its `Ways`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tidegate::adapters::executor::{AnyExecutor, ContainerExecutor, Engine, Executor, LogSink, Pull, SandboxExecutor, Standing, Watcher};
use tidegate::adapters::sandbox::{self, Isolation};
use tidegate::adapters::workspace::{Store, stored};
use tidegate::core::usage::Usage;
use tidegate::model::artifact::ArtifactKind;
use tidegate::model::invocation::{CaptureLimits, InvocationResult, InvocationSpec, OutputDeclaration};
use tidegate::model::limits::Resources;
use tidegate::model::outcome::{Exit, Outcome};
use tokio::sync::watch;

use crate::engines;
use crate::image::In;
use crate::step::step;
use crate::users::program;

/// The one place that names executors. One that needs what this machine has not (a container engine) says so in `$TIDEGATE_TEST_SKIPS`, and is left out.
pub fn every_executor() -> Vec<Scene> {
    sandbox::set_program(program());
    let sandboxed = |isolation| {
        move |state: &Path, store, required| AnyExecutor::Sandbox(SandboxExecutor::new(state, store, Vec::new(), isolation).requiring(required))
    };
    let mut all = vec![
        Scene::new("sandbox", Ways::ALL, sandboxed(Isolation::Full)),
        // The layers are copied to where the step writes.
        Scene::new("unisolated", Ways { knows_what_it_wrote: false, ..Ways::ALL }, sandboxed(Isolation::None)),
    ];
    if crate::image::is_possible() {
        let in_image = |state: &Path, store: Store, required| {
            crate::image::import(state, &store);
            AnyExecutor::Sandbox(SandboxExecutor::new(state, store, Vec::new(), Isolation::Full).requiring(required))
        };
        all.push(Scene::new("image in sandbox", Ways { image: Some(crate::image::NAME), ..Ways::ALL }, in_image));
    }
    all.extend(engines::all().into_iter().map(Scene::in_engine));
    all
}

/// What an executor can, and another one may not.
#[derive(Debug, Clone, Copy)]
struct Ways {
    /// Tells what a step itself wrote from what it was given: it counts what is discarded.
    knows_what_it_wrote: bool,
    /// What a step runs is a process of this machine below its supervisor.
    runs_below_its_supervisor: bool,
    /// Sees what a step read from and wrote to storage.
    counts_storage: bool,
    /// Knows what a step took of memory and processors.
    counts_usage: bool,
    /// Tells a process that was killed from one that ended with a number.
    knows_signals: bool,
    /// Is asked by each step, and not once for all, whether it has the protections that are insisted on.
    insists_for_each_step: bool,
    /// What its steps run in.
    image: Option<&'static str>,
}

impl Ways {
    const ALL: Self = Self {
        knows_what_it_wrote: true,
        runs_below_its_supervisor: true,
        counts_storage: true,
        counts_usage: true,
        knows_signals: true,
        insists_for_each_step: true,
        image: None,
    };
    /// An engine passes on a number when a container ends; and what it read and wrote is counted with version 2 of control groups only.
    const ENGINE: Self = Self {
        runs_below_its_supervisor: false,
        counts_storage: false,
        knows_signals: false,
        insists_for_each_step: false,
        image: Some(engines::IMAGE),
        ..Self::ALL
    };
}

/// An executor with a state folder of its own.
pub struct Scene {
    pub name: &'static str,
    ways: Ways,
    pub state: TempDir,
    make: Box<Make>,
    pub executor: In,
}

/// An executor with this state folder and store, that insists on these protections.
type Make = dyn Fn(&Path, Store, Vec<String>) -> AnyExecutor;

#[test]
fn as_an_ordinary_user_every_executor_does_the_same() {
    crate::users::again_as_an_ordinary_user(&["executor::"]);
}

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl LogSink for Log {
    fn write(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

impl Log {
    pub fn watched(&self, cancel: watch::Receiver<bool>) -> Watcher {
        Watcher { log: Box::new(self.clone()), cancel }
    }

    pub async fn says(&self, text: &str) {
        while !self.text().contains(text) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

pub fn spec(script: &str) -> InvocationSpec {
    step("build", script)
}

fn declare(name: &str, path: &str) -> OutputDeclaration {
    OutputDeclaration { name: name.to_owned(), path: path.to_owned() }
}

impl Scene {
    fn new(name: &'static str, ways: Ways, make: impl Fn(&Path, Store, Vec<String>) -> AnyExecutor + 'static) -> Self {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), sandbox::outer_uid()).unwrap();
        let executor = In { executor: make(state.path(), store, Vec::new()), image: ways.image };
        Self { name, ways, executor, make: Box::new(make), state }
    }

    pub fn in_engine(engine: Engine) -> Self {
        let name = match engine.name.starts_with("Podman") {
            true if !rustix::process::geteuid().is_root() => "rootless Podman",
            true => "Podman",
            false => "Docker",
        };
        let make =
            move |state: &Path, store: Store, _| AnyExecutor::Container(ContainerExecutor::new(state, store, engine.clone(), Pull::Never).unwrap());
        // Its workspace is a copy, and nobody counts what its containers take.
        let is_roots = name != "rootless Podman";
        let counts_storage = is_roots && !Path::new("/sys/fs/cgroup/blkio").exists();
        Self::new(name, Ways { knows_what_it_wrote: is_roots, counts_usage: is_roots, counts_storage, ..Ways::ENGINE }, make)
    }

    /// As the shell says it, where the executor only hears a number.
    fn killed_by(&self, signal: i32, words: &str) -> (Exit, String) {
        if self.ways.knows_signals {
            return (Exit::Signal(signal), format!("was killed by signal {signal} ({words})"));
        }
        let code = 128 + signal;
        (Exit::Code(code), format!("exited with {code}: it, or a command in it, was ended by signal {signal} ({words})"))
    }

    /// A commit's tree.
    fn commit(&self, files: &[(&str, &str)]) -> PathBuf {
        let tree = self.state.path().join("commit");
        for (path, text) in files {
            let file = tree.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
        }
        give(&tree);
        tree
    }

    /// Every run in here is of the same invocation: it is forgotten as soon as it has ended.
    pub async fn run(&self, spec: InvocationSpec) -> (InvocationResult, String) {
        let log = Log::default();
        let (_keep, cancel) = watch::channel(false);
        let (run, node, attempt) = (spec.run.clone(), spec.node.clone(), spec.attempt);
        let result = self.executor.invoke(spec, &self.log(), log.watched(cancel)).await;
        assert_eq!(std::fs::read_to_string(self.log()).unwrap_or_default(), log.text(), "what is shown is what is kept");
        let _ = std::fs::remove_file(self.log());
        self.executor.forget(&run, &node, attempt);
        (result, log.text())
    }

    fn forget(&self) {
        let asked = spec("");
        self.executor.forget(&asked.run, &asked.node, asked.attempt);
    }

    /// The record of the only invocation.
    fn record(&self) -> PathBuf {
        let only = |folder: PathBuf| std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        only(only(self.state.path().join("invocations")))
    }

    /// The file with what the step says.
    pub fn log(&self) -> PathBuf {
        self.state.path().join("log")
    }

    async fn fails(&self, script: &str, outputs: &[OutputDeclaration]) -> String {
        let (result, _) = self.run(InvocationSpec { outputs: outputs.to_vec(), ..spec(script) }).await;
        assert!(result.artifacts.is_empty() && result.layer.is_none(), "a step that failed has no outputs");
        match result.outcome {
            Outcome::Failed { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Returns when an output is being taken: it stands beside the invocation's folder until it has a name in the store.
    async fn takes_something(&self) {
        while !self.look_for_leftovers().iter().any(|name| name.starts_with("blob-")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What is left in the folder where invocations write, besides the lock of this process: a moment after the result is there, nothing.
    pub fn leftovers(&self) -> Vec<String> {
        for _ in 0..200 {
            if self.look_for_leftovers().is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.look_for_leftovers()
    }

    fn look_for_leftovers(&self) -> Vec<String> {
        let process =
            std::fs::read_dir(self.state.path().join("scratch")).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
        std::fs::read_dir(process).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).filter(|name| name != "lock").collect()
    }
}

pub fn processes_with(command: &str) -> Vec<u32> {
    let says = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).starts_with(command));
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(says).collect()
}

/// The supervisor of the invocation in which a process with this command line runs: a child of the nursery, which is a child of this test.
fn supervisor_above(command: &str) -> rustix::process::Pid {
    let parent = |pid: u32| -> u32 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok()).unwrap()
    };
    let mut pid = std::iter::repeat_with(|| processes_with(command)).find_map(|found| found.first().copied()).unwrap();
    while parent(parent(pid)) != std::process::id() {
        pid = parent(pid);
    }
    rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

fn give(path: &Path) {
    if let Some(uid) = sandbox::outer_uid() {
        std::os::unix::fs::lchown(path, Some(uid), Some(uid)).unwrap();
    }
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

/// An engine is asked before anything runs: what its containers have does not depend on the step.
#[test]
fn an_engine_says_which_protections_its_containers_have() {
    for engine in engines::all() {
        assert!(engine.holds("seccomp") && engine.holds("no-capabilities"), "{engine:?}");
        // Version 1 of control groups is root's: what an ordinary user's engine says of them is not believed.
        let groups = rustix::process::geteuid().is_root() || !Path::new("/sys/fs/cgroup/memory").exists();
        assert_eq!(engine.holds("cgroup-memory"), groups, "{engine:?}");
        assert!(!engine.holds("landlock") && !engine.holds("no-such-wall"), "{engine:?}");
    }
}

#[tokio::test]
async fn a_step_does_not_begin_where_a_protection_that_is_required_is_missing() {
    for mut scene in every_executor().into_iter().filter(|scene| scene.ways.insists_for_each_step) {
        let store = Store::open(scene.state.path(), sandbox::outer_uid()).unwrap();
        let missing = "no-such-wall";
        scene.executor.executor = (scene.make)(scene.state.path(), store, vec![missing.to_owned()]);
        let (result, log) = scene.run(spec("echo begun")).await;
        match result.outcome {
            Outcome::Infrastructure { reason } => assert!(reason.contains(missing) && reason.contains("not begun"), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert!(!result.record.started && log.is_empty(), "{log}");
    }
}

#[tokio::test]
async fn a_step_sees_its_layers_and_leaves_its_outputs_for_the_next() {
    for scene in every_executor() {
        let commit = scene.commit(&[("src/main", "code"), ("readme", "old"), ("keep/a", "1"), ("keep/b", "2")]);
        let script = r#"
            cat src/main; echo
            mkdir -p dist/bin; echo program > dist/bin/app; chmod 6755 dist/bin/app; echo note > dist/note; ln -s bin/app dist/latest
            echo new > readme; rm keep/a; echo rubbish > rubbish
            echo version=7 >> "$TIDEGATE_OUTPUT"
        "#;
        let outputs = vec![declare("bundle", "dist"), declare("readme", "readme"), declare("kept", "keep"), declare("app", "dist/bin/app")];
        let first = InvocationSpec { layers: vec![commit.clone()], outputs, ..spec(script) };
        let (result, log) = scene.run(first).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}", scene.name);
        assert_eq!(log, "code\n");
        assert_eq!(result.values, BTreeMap::from([("version".to_owned(), "7".to_owned())]));
        let kinds: Vec<_> = result.artifacts.iter().map(|artifact| (artifact.name.as_str(), artifact.kind, artifact.size)).collect();
        assert_eq!(
            kinds,
            [
                ("bundle", ArtifactKind::Folder, 13),
                ("readme", ArtifactKind::File, 4),
                ("kept", ArtifactKind::Folder, 1),
                ("app", ArtifactKind::File, 8)
            ]
        );
        if scene.ways.knows_what_it_wrote {
            assert_eq!(result.record.discarded.files, 1, "the rubbish");
        }
        assert_eq!(scene.leftovers(), Vec::<String>::new());
        assert_eq!(std::fs::read_to_string(commit.join("readme")).unwrap(), "old", "the commit is never written to");
        assert!(result.record.phases.total_us() > 0 && (result.record.peak_memory_bytes.is_some_and(|peak| peak > 0) == scene.ways.counts_usage));

        let layer = result.layer.unwrap();
        let script =
            "cat readme dist/latest; ls -l dist/bin/app | cut -c1-10; ls dist keep; test ! -e rubbish; echo more >> dist/note; cat dist/note";
        let (result, log) = scene.run(InvocationSpec { layers: vec![commit, layer.clone()], ..spec(script) }).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
        assert_eq!(log, "new\nprogram\n-rwxr-xr-x\ndist:\nbin\nlatest\nnote\n\nkeep:\na\nb\nnote\nmore\n");
        assert_eq!(std::fs::read_to_string(layer.join("dist/note")).unwrap(), "note\n", "an output is never written to again");
    }
}

/// Also of a step that fails: who finds something usually does.
#[tokio::test]
async fn what_a_step_found_and_says_is_kept_however_it_ends() {
    for scene in every_executor() {
        for (end, exit) in [("exit 0", None), ("exit 3", Some(Exit::Code(3)))] {
            let script = format!(r#"printf '{{"version": "2.1.0"}}' > "$TIDEGATE_FINDINGS"; echo '# Said' >> "$TIDEGATE_SUMMARY"; {end}"#);
            let (result, log) = scene.run(spec(&script)).await;
            match exit {
                None => assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}", scene.name),
                Some(code) => assert!(matches!(result.outcome, Outcome::Failed { exit, .. } if exit == code), "{}: {:?}", scene.name, result.outcome),
            }
            let file = result.record.found.file.as_ref().unwrap_or_else(|| panic!("{}: {:?}", scene.name, result.record.found));
            assert_eq!(std::fs::read_to_string(stored(scene.state.path(), file)).unwrap(), r#"{"version": "2.1.0"}"#);
            assert_eq!((result.record.found.problem, result.record.summary.text.as_str()), (None, "# Said\n"));
        }
        let (silent, _) = scene.run(spec("true")).await;
        assert!(silent.record.found.is_empty() && silent.record.summary.is_empty(), "{}", scene.name);
        assert_eq!(scene.leftovers(), Vec::<String>::new());
    }
}

/// Whatever stands in the place of these files is neither followed nor waited for, nor held against the step.
#[tokio::test]
async fn what_is_no_file_of_findings_changes_nothing_but_that_it_is_said() {
    for scene in every_executor() {
        for (make, why) in [
            ("ln -s /etc/passwd \"$file\"", "is no longer a file"),
            ("mkfifo \"$file\"", "is no longer a file"),
            ("mkdir \"$file\"", "is no longer a file"),
            ("true", "can not be read any more"),
        ] {
            let script = format!("for file in \"$TIDEGATE_FINDINGS\" \"$TIDEGATE_SUMMARY\"; do rm \"$file\"; {make}; done");
            let (result, log) = scene.run(spec(&script)).await;
            assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}", scene.name);
            let (found, summary) = (&result.record.found, &result.record.summary);
            assert!(found.file.is_none() && summary.text.is_empty(), "{}: {found:?} {summary:?}", scene.name);
            for problem in [&found.problem, &summary.problem] {
                assert!(problem.as_ref().is_some_and(|problem| problem.contains(why)), "{}: {make}: {problem:?}", scene.name);
            }
        }
        // A gibibyte of nothing, and words that are no text.
        let script = r#"truncate -s 1G "$TIDEGATE_FINDINGS"; printf 'a\377b' > "$TIDEGATE_SUMMARY"; truncate -s 1G "$TIDEGATE_SUMMARY""#;
        let (result, log) = scene.run(spec(script)).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}", scene.name);
        assert!(result.record.found.problem.unwrap().contains("is longer than its limit of 16 MiB"), "{}", scene.name);
        let summary = result.record.summary;
        assert!(summary.text.starts_with("a\u{fffd}b\0"), "{}", scene.name);
        assert_eq!((summary.text.len(), summary.dropped_bytes), ((64 << 10) + 2, (1 << 30) - (64 << 10)), "{}", scene.name);
        assert_eq!(scene.leftovers(), Vec::<String>::new());
    }
}

/// A step may make files beside its answers: they are written to disk like all others.
#[tokio::test]
async fn what_is_written_beside_the_answers_counts() {
    for scene in every_executor() {
        let resources = Resources { cpu: None, memory: None, pids: None, disk: Some(4 << 20) };
        let script = r#"for n in 1 2 3; do head -c 3000000 /dev/zero > "$TIDEGATE_SUMMARY.$n"; done"#;
        let (result, log) = scene.run(InvocationSpec { resources, ..spec(script) }).await;
        let Outcome::Failed { reason, .. } = &result.outcome else { panic!("{}: {:?}: {log}", scene.name, result.outcome) };
        assert!(reason.starts_with("wrote more than its limit of 4 MiB"), "{}: {reason}", scene.name);
    }
}

#[tokio::test]
async fn the_environment_is_what_the_step_declares_and_nothing_else() {
    for scene in every_executor() {
        let env = BTreeMap::from([("GREETING".to_owned(), "hello $(id)".to_owned()), ("TIDEGATE_STEP".to_owned(), "another".to_owned())]);
        let (_, log) = scene.run(InvocationSpec { env, ..spec("env | cut -d= -f1 | grep -vx SHLVL | sort | tr '\\n' ' '; echo; echo \"$GREETING $TIDEGATE_RUN $TIDEGATE_STEP $CI\"; cd; pwd >/dev/null; command -v tidegate >/dev/null") }).await;
        let expected = "CI GREETING HOME LANG PATH PWD TIDEGATE TIDEGATE_ATTEMPT TIDEGATE_FINDINGS TIDEGATE_INVOCATION TIDEGATE_OUTPUT TIDEGATE_RUN TIDEGATE_STEP TIDEGATE_SUMMARY TMPDIR \nhello $(id) r1 build true\n";
        assert_eq!(log, expected);
    }
}

#[tokio::test]
async fn a_step_that_fails_says_how() {
    for scene in every_executor() {
        let killed = scene.killed_by(11, "segmentation fault");
        for (script, exit, reason) in [
            ("exit 3", Exit::Code(3), "exited with 3"),
            ("echo before; false; echo not reached", Exit::Code(1), "exited with 1"),
            ("echo $undefined", Exit::Code(2), "exited with 2"),
            ("kill -SEGV $$", killed.0, killed.1.as_str()),
            ("no-such-tool", Exit::Code(127), "exited with 127: a command was not found (no-such-tool)"),
        ] {
            let reason = match scene.ways.image {
                _ if exit != Exit::Code(127) => reason.to_owned(),
                Some(image) => format!("{reason}; docker.io/library/{image} does not have it"),
                None => format!("{reason}; install it on this machine"),
            };
            let (result, log) = scene.run(spec(script)).await;
            assert_eq!(result.outcome, Outcome::Failed { exit, reason }, "{script}: {log}");
            assert!(!log.contains("not reached"));
        }
        assert_eq!(scene.leftovers(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_output_that_is_not_what_it_should_be_is_refused_by_name() {
    for scene in every_executor() {
        let bundle = |path: &str| [declare("bundle", path)];
        for (script, path, reason) in [
            ("mkdir dist; touch dist/other notes", "dist/app", "output bundle (dist/app) was not made by the step; in dist there is: other"),
            ("true", "dist/app", "output bundle (dist/app) was not made by the step; in the workspace there is: nothing"),
            ("true", "../../etc/passwd", "output bundle (../../etc/passwd) leaves the workspace: name a path inside, without `..`"),
            ("true", "/etc/passwd", "output bundle (/etc/passwd) leaves the workspace: name a path inside, without `..`"),
            ("ln -s /etc/shadow app", "app", "output bundle (app) is a symbolic link (to /etc/shadow): an output is a file or a folder itself"),
            (
                "ln -s /etc dist",
                "dist/shadow",
                "output bundle (dist/shadow) is behind a symbolic link (dist -> /etc), which is not followed: write to a folder",
            ),
            (
                "mkdir dist; ln -s ../../../etc/shadow dist/x",
                "dist",
                "output bundle (dist) has a symbolic link that leaves it: x -> ../../../etc/shadow",
            ),
            ("mkfifo app", "app", "output bundle (app) is a FIFO: an output is a file or a folder"),
            ("mkdir dist; mkfifo dist/app", "dist", "output bundle (dist) has a FIFO in it: app"),
            ("truncate -s 8G app", "app", "output bundle (app) makes the outputs larger than their limit of 4294967296 bytes"),
        ] {
            assert_eq!(scene.fails(script, &bundle(path)).await, reason, "{script}");
        }
        assert_eq!(
            scene.fails("echo oops >> \"$TIDEGATE_OUTPUT\"", &[]).await.split(" (").next().unwrap(),
            "line 1 of $TIDEGATE_OUTPUT is not key=value: oops"
        );
        let swapped = scene.fails("rm \"$TIDEGATE_OUTPUT\"; ln -s /etc/passwd \"$TIDEGATE_OUTPUT\"", &[]).await;
        assert!(swapped.starts_with("$TIDEGATE_OUTPUT is no longer a file"), "{swapped}");
        assert_eq!(scene.leftovers(), Vec::<String>::new());
    }
}

/// Links whose words stay inside and which, followed one through another, do not: whoever made folders "in the output" through one made them on the host.
#[tokio::test]
async fn an_output_below_a_link_of_another_output_makes_nothing_on_the_host() {
    for scene in every_executor() {
        let outside = tempfile::tempdir().unwrap();
        give(outside.path());
        let target = outside.path().display();
        let script = format!("mkdir -p d; ln -s . d/l; ln -s l/l/l/l/l/l/l/l/l/l/l/l/../../../../../../../../../../../..{target} d/up");
        let planted = [declare("first", "d"), declare("second", "d/up/planted/deeper/file")];
        scene.fails(&script, &planted).await;
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "a folder was made on the host");
        let told = scene.fails("mkdir -p d/e; ln -s . d/l; ln -s l/.. d/e/up", &[declare("first", "d")]).await;
        assert!(told.contains("has a symbolic link that leaves it"), "{told}");
        assert_eq!(scene.leftovers(), [""; 0]);
    }
}

/// Every layer that holds the empty file is one more link to it, and file systems have only so many.
#[tokio::test]
async fn a_file_that_everybody_has_can_be_an_output_however_often_it_was_one() {
    // What is stored is the same whoever made it.
    let scene = every_executor().swap_remove(0);
    let commit = scene.commit(&[("readme", "x")]);
    let made = |script: &str| InvocationSpec { layers: vec![commit.clone()], outputs: vec![declare("it", "it")], ..spec(script) };
    assert_eq!(scene.run(made("mkdir it; : > it/a")).await.0.outcome, Outcome::Succeeded);
    let blob = std::fs::read_dir(scene.state.path().join("store/blobs")).unwrap().next().unwrap().unwrap().path();
    let links = scene.state.path().join("links");
    std::fs::create_dir(&links).unwrap();
    let _ = (0..70_000).try_for_each(|n| std::fs::hard_link(&blob, links.join(n.to_string())));
    let (result, log) = scene.run(made("mkdir it; : > it/b")).await;
    assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
    assert!(result.layer.unwrap().join("it/b").is_file());
}

/// What others need is laid below them by its name: two layers of one name must be the same to the last bit.
#[tokio::test]
async fn a_layer_is_never_mistaken_for_another_one() {
    for scene in every_executor() {
        let commit = scene.commit(&[("readme", "x")]);
        let with = |script: &str, layers: Vec<PathBuf>, outputs: Vec<OutputDeclaration>| InvocationSpec { layers, outputs, ..spec(script) };
        let made = async |script: &str, output: &str| {
            let (result, log) = scene.run(with(script, vec![commit.clone()], vec![declare("it", output)])).await;
            assert_eq!(result.outcome, Outcome::Succeeded, "{log}");
            result.layer.unwrap()
        };
        let plain = made("echo 'echo hi' > tool", "tool").await;
        let program = made("echo 'echo hi' > tool; chmod +x tool", "tool").await;
        assert_ne!(plain, program);
        let (result, log) = scene.run(with("./tool", vec![commit.clone(), program], Vec::new())).await;
        assert_eq!((result.outcome, log.as_str()), (Outcome::Succeeded, "hi\n"));

        // A file that says what a folder's listing says has its digest.
        let forged = made(r#"printf 'file "a" false sha256:%s\n' "$(printf x | sha256sum | cut -c-64)" > it"#, "it").await;
        let folder = made("mkdir it; printf x > it/a", "it").await;
        assert_ne!(forged, folder);
        assert!(folder.join("it").is_dir());
    }
}

#[tokio::test]
async fn a_deadline_and_a_cancellation_kill_everything() {
    for scene in every_executor() {
        let script = "setsid sh -c 'sleep 1000' & (sleep 1000 &) ; echo started; sleep 1000";
        // Whether it says so within its deadline is the machine's business.
        let (result, _) = scene.run(InvocationSpec { timeout: Duration::from_millis(300), ..spec(script) }).await;
        assert_eq!(result.outcome, Outcome::TimedOut { after_ms: 300 });

        let log = Log::default();
        let (cancel, cancelled) = watch::channel(false);
        let asking = async {
            log.says("started").await;
            cancel.send(true).unwrap();
        };
        let file = scene.log();
        let (result, ()) = tokio::join!(scene.executor.invoke(spec(script), &file, log.watched(cancelled)), asking);
        assert!(matches!(result.outcome, Outcome::Cancelled { .. }));
        scene.forget();
        assert_eq!(scene.leftovers(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn whoever_is_told_to_end_may_tidy_up_and_whoever_does_not_end_is_killed() {
    for scene in every_executor() {
        // Also what has left the session and the process group hears it. (So do the sleeps: a shell may see one of them killed before it hears itself.)
        let tidy = "trap 'wait; echo tidied up; exit 0' TERM; setsid nohup sh -c 'trap \"echo so did I; exit 0\" TERM; : > ready; while :; do sleep 0.01 || :; done' & until [ -e ready ]; do sleep 0.01 || :; done; while :; do sleep 0.01 || :; done";
        let (result, log) = scene.run(InvocationSpec { timeout: Duration::from_secs(3), ..spec(tidy) }).await;
        // Ending well does not make it any less late.
        assert_eq!(result.outcome, Outcome::TimedOut { after_ms: 3000 });
        assert!(log.contains("tidied up\n") && log.contains("so did I\n"), "{log}");
        assert!(result.record.phases.run_us < 13_000_000, "nobody waits for a grace that nobody needs: {:?}", result.record.phases);

        let stubborn = "trap '' TERM HUP INT; setsid nohup sh -c 'trap \"\" TERM; while :; do sleep 1000; done' & while :; do sleep 1000; done";
        let (timeout, grace) = (Duration::from_millis(200), Duration::from_millis(300));
        let (result, _) = scene.run(InvocationSpec { timeout, grace, ..spec(stubborn) }).await;
        assert_eq!(result.outcome, Outcome::TimedOut { after_ms: 200 });
        assert!(result.record.phases.run_us >= 450_000, "it had its grace: {:?}", result.record.phases);
        assert_eq!(scene.leftovers(), Vec::<String>::new());
    }
}

/// Files of holes, as long as a file may be: whoever reads them all has a quarter of a terabyte to read.
const HOLES: &str = "mkdir -p big; n=0; while [ $n -lt 16 ]; do truncate -s 15G big/$n; n=$((n + 1)); done";

#[tokio::test]
async fn a_step_can_be_stopped_while_its_outputs_are_taken() {
    for scene in every_executor() {
        let log = Log::default();
        let (stop, cancel) = watch::channel(false);
        let limits = CaptureLimits { outputs: u64::MAX, ..CaptureLimits::default() };
        let asked = InvocationSpec { outputs: vec![declare("big", "big")], limits, ..spec(HOLES) };
        let file = scene.log();
        let invoked = scene.executor.invoke(asked, &file, log.watched(cancel));
        tokio::pin!(invoked);
        tokio::select! {
            result = &mut invoked => panic!("{}: nobody has stopped it: {result:?} {}", scene.name, log.text()),
            () = scene.takes_something() => {}
        }
        stop.send_replace(true);
        let result = invoked.await;
        assert_eq!(result.outcome, Outcome::Cancelled { reason: "it was asked to stop".to_owned() }, "{}", scene.name);
        assert_eq!(log.text(), "[tidegate: it was stopped while its outputs were taken]\n");
        assert!(result.artifacts.is_empty() && result.layer.is_none());
        scene.forget();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(scene.leftovers(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_output_without_end_is_refused_before_anything_is_read() {
    for scene in every_executor() {
        // What may be written is counted by what it takes on disk.
        let resources = Resources { cpu: None, memory: None, pids: None, disk: Some(2 << 40) };
        let limits = CaptureLimits { outputs: 1 << 39, ..CaptureLimits::default() };
        let outputs = vec![declare("big", "big"), declare("huge", "huge")];
        let asked = InvocationSpec { outputs, limits, resources, ..spec(&format!("{HOLES}; truncate -s 1024G huge")) };
        let (result, log) = scene.run(asked).await;
        let Outcome::Failed { reason, .. } = result.outcome else { panic!("{}: {:?} {log}", scene.name, result.outcome) };
        assert_eq!(reason, "output huge (huge) makes the outputs larger than their limit of 549755813888 bytes", "{}", scene.name);
        assert_eq!(scene.leftovers(), Vec::<String>::new());
    }
}

/// Processor time by the step's own clock, so that no machine is too fast for it; memory that one process has at once.
#[tokio::test]
async fn what_a_step_took_is_counted_to_its_end_also_when_there_was_hardly_anything_of_it() {
    for scene in every_executor() {
        let memory = "dd if=/dev/zero of=/dev/null bs=64M count=1 status=none";
        let before = "_ ".repeat(13);
        let processor = format!("while read -r {before} user system _ < /proc/self/stat; [ $((user + system)) -lt 30 ]; do :; done");
        let (result, log) = scene.run(spec(&format!("{memory}; {processor}"))).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}", scene.name);
        let record = result.record;
        if !scene.ways.counts_usage {
            assert_eq!((record.cpu_us(), record.peak_memory_bytes), (None, None), "what nobody counted is not nothing");
            continue;
        }
        assert!(record.cpu_us() >= Some(300_000) && record.peak_memory_bytes >= Some(64 << 20), "{}: {record:?}", scene.name);
        let (result, _) = scene.run(spec("exit 0")).await;
        assert!(result.record.cpu_us() > Some(0) && result.record.peak_memory_bytes > Some(0), "{}: {:?}", scene.name, result.record);
        let usage = Usage::of(&result.record, None).unwrap();
        assert!(usage.gb_seconds().is_some() && usage.unmeasured == u64::from(!scene.ways.counts_storage), "{usage:?}");
    }
}

#[tokio::test]
async fn what_a_step_read_and_wrote_is_counted_also_for_what_it_left_behind() {
    for scene in every_executor() {
        let (result, _) = scene.run(spec("dd if=/dev/zero of=big bs=1M count=8 status=none; sync big")).await;
        if !scene.ways.counts_storage {
            assert_eq!((result.record.read_bytes, result.record.written_bytes), (None, None), "what nobody counted is not nothing");
            continue;
        }
        assert_eq!(result.outcome, Outcome::Succeeded);
        let place = std::process::Command::new("stat").args(["-f", "-c", "%T"]).arg(scene.state.path()).output().unwrap();
        if String::from_utf8_lossy(&place.stdout).trim() != "tmpfs" {
            assert!(result.record.written_bytes >= Some(8 << 20), "{:?}", result.record);
        }
    }
}

#[tokio::test]
async fn a_step_whose_supervisor_was_killed_is_nobodys_fault_and_says_that_it_had_begun() {
    // The ordinary user tells this story at the same time.
    let sleep = format!("9{}", std::process::id());
    for scene in every_executor() {
        if !scene.ways.runs_below_its_supervisor {
            continue;
        }
        let log = Log::default();
        let killing = async {
            log.says("started").await;
            let supervisor = supervisor_above(&format!("sleep\x00{sleep}"));
            rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
        };
        let (_keep, cancel) = watch::channel(false);
        let file = scene.log();
        let (result, ()) = tokio::join!(scene.executor.invoke(spec(&format!("echo started; sleep {sleep}")), &file, log.watched(cancel)), killing);
        assert!(matches!(result.outcome, Outcome::Infrastructure { .. }), "{result:?}");
        assert!(result.record.started, "what it did until then can have had effects");
        assert!(processes_with(&format!("sleep\x00{sleep}")).is_empty(), "what it ran has ended with it");
        assert_eq!(scene.leftovers(), Vec::<String>::new());
        scene.forget();
        std::fs::remove_file(&file).unwrap();
        let (result, _) = scene.run(InvocationSpec { image: Some("Not A Name".to_owned()), ..spec("true") }).await;
        assert!(!result.record.started);
    }
}

/// Who has the lock of the record of this state folder's only invocation.
pub fn lock_holders(state: &Path) -> Vec<i32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let records = state.join("invocations");
    let holds = |pid: &i32| {
        std::fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|open| {
            open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).any(|target| target.starts_with(&records) && target.ends_with("lock"))
        })
    };
    pids.filter(holds).collect()
}

#[tokio::test]
async fn a_container_whose_supervisor_was_killed_is_gone_on_with_and_nothing_is_lost() {
    for scene in every_executor().into_iter().filter(|scene| !scene.ways.runs_below_its_supervisor) {
        let script =
            "echo begun; n=0; while [ $n -lt 30 ]; do sleep 0.1; n=$((n+1)); echo line $n; done; echo kept > it; echo v=1 >> \"$TIDEGATE_OUTPUT\"";
        let asked =
            InvocationSpec { outputs: vec![declare("it", "it")], env: BTreeMap::from([("TOKEN".to_owned(), "s3cr3t".to_owned())]), ..spec(script) };
        let log = Log::default();
        let killing = async {
            for line in ["line 3\n", "line 6\n"] {
                log.says(line).await;
                let [supervisor] = lock_holders(scene.state.path())[..] else { panic!("one supervisor") };
                let plan = std::fs::read_to_string(scene.record().join("plan")).unwrap();
                assert!(!plan.contains("s3cr3t"), "{plan}");
                rustix::process::kill_process(rustix::process::Pid::from_raw(supervisor).unwrap(), rustix::process::Signal::KILL).unwrap();
            }
        };
        let (_keep, cancel) = watch::channel(false);
        let file = scene.log();
        let (result, ()) = tokio::join!(scene.executor.invoke(asked, &file, log.watched(cancel)), killing);
        assert_eq!(result.outcome, Outcome::Succeeded, "{}", log.text());
        let lines: String = (1..=30).map(|n| format!("line {n}\n")).collect();
        assert_eq!(log.text(), format!("begun\n{lines}"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), log.text());
        assert_eq!((result.values["v"].as_str(), result.artifacts.len(), result.record.started), ("1", 1, true));
        scene.forget();
        assert_eq!(scene.leftovers(), [""; 0]);
        let AnyExecutor::Container(executor) = &scene.executor.executor else { panic!("a container") };
        assert_eq!(executor.tidy().await.unwrap(), 0, "nothing was left to tidy up");
    }
}

#[tokio::test]
async fn an_invocation_goes_on_without_whoever_asked_for_it_and_is_never_begun_twice() {
    for scene in every_executor() {
        let script = "echo begun; n=0; while [ $n -lt 40 ]; do sleep 0.05; n=$((n+1)); done; echo line of $n; echo kept > it; exit 0";
        let asked = InvocationSpec { outputs: vec![declare("it", "it")], ..spec(script) };
        let file = scene.log();
        let first = Log::default();
        {
            let (_keep, cancel) = watch::channel(false);
            let following = scene.executor.invoke(asked.clone(), &file, first.watched(cancel));
            tokio::select! {
                _ = following => panic!("it has not ended yet"),
                () = first.says("begun") => {}
            }
        }
        // Whoever asked has let go of it.
        assert!(matches!(scene.executor.standing(&asked.run, &asked.node, 1), Standing::Living));
        let (_keep, cancel) = watch::channel(false);
        let again = scene.executor.invoke(asked.clone(), &file, Log::default().watched(cancel.clone())).await;
        assert!(matches!(again.outcome, Outcome::Infrastructure { .. }) && again.record.started, "not begun again: {again:?}");

        let second = Log::default();
        let result = scene.executor.resume(&asked.run, &asked.node, 1, &file, second.watched(cancel.clone())).await;
        assert_eq!(result.outcome, Outcome::Succeeded);
        assert_eq!(result.artifacts.len(), 1);
        assert_eq!(second.text(), "begun\nline of 40\n", "whoever comes later is shown all of it");
        // And anybody after that, until it is forgotten.
        let third = scene.executor.resume(&asked.run, &asked.node, 1, &file, Log::default().watched(cancel)).await;
        assert_eq!(third, result);
        assert_eq!(scene.executor.recorded().unwrap(), ["r1"]);
        assert!(matches!(scene.executor.standing(&asked.run, &asked.node, 1), Standing::Ended(kept) if *kept == result));
        assert_eq!(scene.executor.sweep(&["r1".to_owned()]).unwrap(), 0);
        let lost = scene.executor.standing(&asked.run, &asked.node, 1);
        assert!(matches!(lost, Standing::Ended(lost) if lost.record.started), "in doubt it had begun");
        assert_eq!(scene.leftovers(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn whoever_comes_later_can_stop_it() {
    for scene in every_executor() {
        let asked = spec("echo begun; sleep 1000");
        let (file, log) = (scene.log(), Log::default());
        {
            let (_keep, cancel) = watch::channel(false);
            tokio::select! {
                _ = scene.executor.invoke(asked.clone(), &file, log.watched(cancel)) => panic!("it has not ended yet"),
                () = log.says("begun") => {}
            }
        }
        let (_keep, cancel) = watch::channel(true);
        let result = scene.executor.resume(&asked.run, &asked.node, 1, &file, log.watched(cancel)).await;
        assert!(matches!(result.outcome, Outcome::Cancelled { .. }), "{result:?}");
    }
}

#[tokio::test]
async fn a_deadline_holds_when_nobody_follows() {
    for scene in every_executor() {
        let asked = InvocationSpec { timeout: Duration::from_millis(400), ..spec("echo begun; sleep 1000") };
        let (file, log) = (scene.log(), Log::default());
        {
            let (_keep, cancel) = watch::channel(false);
            tokio::select! {
                _ = scene.executor.invoke(asked.clone(), &file, log.watched(cancel)) => panic!("it has not ended yet"),
                () = log.says("begun") => {}
            }
        }
        while matches!(scene.executor.standing(&asked.run, &asked.node, 1), Standing::Living) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let Standing::Ended(result) = scene.executor.standing(&asked.run, &asked.node, 1) else { panic!("it lives") };
        assert_eq!(result.outcome, Outcome::TimedOut { after_ms: 400 });
        assert_eq!(scene.leftovers(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_step_that_says_too_much_is_cut_and_counted() {
    for scene in every_executor() {
        let limits = CaptureLimits { log: 1000, ..CaptureLimits::default() };
        let (result, log) = scene.run(InvocationSpec { limits, ..spec("head -c 100000000 /dev/zero") }).await;
        assert_eq!(result.outcome, Outcome::Succeeded);
        assert_eq!((result.record.log_bytes, result.record.log_dropped_bytes), (1000, 99_999_000));
        assert!(log.ends_with("[tidegate: the log is longer than its limit of 1000 bytes; the rest is counted and dropped]\n"));
    }
}

/// Lines in it. For the gibibyte of docs/executors.md: 120,000,000.
fn flood() -> u64 {
    std::env::var("TIDEGATE_TEST_FLOOD").ok().and_then(|lines| lines.parse().ok()).unwrap_or(1_000_000)
}

#[tokio::test]
async fn a_flood_is_kept_to_the_last_byte_and_in_order() {
    let lines = flood();
    for scene in every_executor() {
        // Both streams, and an end right behind the last word.
        let half = lines / 2;
        let script = format!("seq 1 {half}; seq {} {lines} >&2; exit 0", half + 1);
        let file = scene.log();
        let limits = CaptureLimits { log: 2 << 30, ..CaptureLimits::default() };
        let asked = InvocationSpec { limits, timeout: Duration::from_secs(600), ..spec(&script) };
        let (_keep, cancel) = watch::channel(false);
        let nobody = Watcher { log: Box::new(Nobody), cancel };
        let begun = std::time::Instant::now();
        let result = scene.executor.invoke(asked, &file, nobody).await;
        assert_eq!(result.outcome, Outcome::Succeeded);
        let mut lines_read = 0;
        for line in std::io::BufRead::lines(std::io::BufReader::new(std::fs::File::open(&file).unwrap())) {
            lines_read += 1;
            assert_eq!(line.unwrap(), lines_read.to_string());
        }
        assert_eq!(lines_read, lines);
        eprintln!("{}: {} bytes in {:?}", scene.name, result.record.log_bytes, begun.elapsed());
        scene.forget();
    }
}

struct Nobody;

impl LogSink for Nobody {
    fn write(&mut self, _: &[u8]) {}
}

#[tokio::test]
async fn a_step_that_says_one_word_and_ends_at_once_is_heard() {
    for scene in every_executor() {
        for _ in 0..5 {
            let (result, log) = scene.run(spec("echo word; exit 3")).await;
            assert_eq!((result.outcome.word(), log.as_str()), ("failed", "word\n"));
        }
    }
}

#[tokio::test]
async fn a_step_that_closes_its_output_is_still_waited_for_and_still_has_a_deadline() {
    for scene in every_executor() {
        let (result, _) = scene.run(InvocationSpec { timeout: Duration::from_millis(200), ..spec("exec >&- 2>&-; sleep 1000") }).await;
        assert_eq!(result.outcome, Outcome::TimedOut { after_ms: 200 });
    }
}

#[tokio::test]
async fn what_can_not_be_had_is_refused_before_anything_runs() {
    for scene in every_executor() {
        let (result, log) = scene.run(InvocationSpec { image: Some("Not A Name".to_owned()), ..spec("echo ran") }).await;
        assert!(matches!(result.outcome, Outcome::Infrastructure { ref reason } if reason.contains("image")), "{result:?}");
        assert_eq!(log, "");
    }
}
