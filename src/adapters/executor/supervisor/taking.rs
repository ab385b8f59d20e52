//! What a step leaves that has ended well is taken: whoever stops the step stops that too, and it has a deadline of its own.

use std::time::{Duration, Instant};

use super::around::Places;
use super::collect::{self, Collected, NotCollected};
use super::ending::Stopped;
use super::followers::Followers;
use super::infrastructure;
use super::log::Log;
use super::wish::Wish;
use crate::adapters::workspace::{Halt, Store};
use crate::model::invocation::InvocationSpec;
use crate::model::outcome::{Exit, Outcome};

/// How long it may go on behind the step's own deadline: so its end is an absolute time as well, which is known when the step begins.
const PATIENCE: Duration = Duration::from_secs(600);

/// Until when, by the step's own deadline. `None` is further away than the clock reaches.
pub(in super::super) fn until(deadline: Option<Instant>) -> Option<Instant> {
    deadline?.checked_add(PATIENCE)
}

/// What comes of that is what came of the step.
pub(in super::super) fn take(
    store: &Store,
    spec: &InvocationSpec,
    places: &Places,
    log: &mut Log,
    followers: &mut Followers,
    until: Option<Instant>,
) -> (Outcome, Collected) {
    let wish = Wish::until(followers, until);
    let halt = || wish.is_over();
    let outcome = match collect::all(store, spec, places, Halt(&halt)) {
        Ok(found) => return (Outcome::Succeeded, found),
        Err(NotCollected::Step(reason)) => Outcome::Failed { exit: Exit::None, reason },
        Err(NotCollected::Ours(reason)) => infrastructure(reason),
        Err(NotCollected::Halted) => halted(wish.stopped(), spec, log),
    };
    (outcome, Collected::default())
}

fn halted(stopped: Stopped, spec: &InvocationSpec, log: &mut Log) -> Outcome {
    if stopped == Stopped::TimedOut {
        let minutes = PATIENCE.as_secs() / 60;
        log.write(format!("[tidegate: {minutes} minutes after its timeout its outputs were not taken yet: leave less in them]\n").as_bytes());
        return Outcome::TimedOut { after_ms: u64::try_from(spec.timeout.saturating_add(PATIENCE).as_millis()).unwrap_or(u64::MAX) };
    }
    log.write(b"[tidegate: it was stopped while its outputs were taken]\n");
    Outcome::Cancelled { reason: "it was asked to stop".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;

    use super::*;
    use crate::model::id::{InvocationId, NodeId, RunId};
    use crate::model::invocation::{CaptureLimits, OutputDeclaration, default_grace};
    use crate::model::limits::{Network, Resources};

    struct Scene {
        folder: tempfile::TempDir,
        store: Store,
        spec: InvocationSpec,
        places: Places,
    }

    fn scene(outputs: &[&str]) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let places = Places { upper: at("upper"), answers: at("answers"), collecting: at("collecting"), lower: Vec::new() };
        [&places.upper, &places.answers].into_iter().for_each(|made| fs::create_dir(made).unwrap());
        fs::write(places.answers.join("values"), "").unwrap();
        let spec = InvocationSpec {
            id: InvocationId::of(&RunId::new("r"), &NodeId::new("a"), 1),
            run: RunId::new("r"),
            node: NodeId::new("a"),
            attempt: 1,
            script: String::new(),
            env: std::collections::BTreeMap::new(),
            layers: Vec::new(),
            outputs: outputs.iter().map(|path| OutputDeclaration { name: (*path).to_owned(), path: (*path).to_owned() }).collect(),
            image: None,
            build: None,
            services: Vec::new(),
            timeout: Duration::from_secs(7),
            network: Network::None,
            resources: Resources { cpu: None, memory: None, pids: None, disk: None },
            limits: CaptureLimits::default(),
            grace: default_grace(),
        };
        let store = Store::open(&at("state"), None).unwrap();
        Scene { folder, store, spec, places }
    }

    impl Scene {
        fn write(&self, name: &str, length: u64) {
            let path = self.places.upper.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create(path).unwrap().set_len(length).unwrap();
        }

        /// The outcome, and what was said; `far`: whoever follows it.
        fn take(&self, until: Option<Instant>, follow: impl FnOnce(&mut UnixStream)) -> (Outcome, String) {
            let (near, mut far) = UnixStream::pair().unwrap();
            let door = UnixListener::bind(self.folder.path().join("door")).unwrap();
            let mut followers = Followers::new(near, door, false).unwrap();
            follow(&mut far);
            let path = self.folder.path().join("log");
            let mut log = Log::make(&path, 1 << 20, 0).unwrap();
            let (outcome, _) = take(&self.store, &self.spec, &self.places, &mut log, &mut followers, until);
            (outcome, fs::read_to_string(path).unwrap())
        }

        fn files(&self, folder: PathBuf) -> Vec<PathBuf> {
            let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.retain(|path| path.file_name().is_some_and(|name| name != "lock"));
            files
        }

        /// What is in the store, and half in it.
        fn kept(&self) -> (usize, usize) {
            (self.files(self.folder.path().join("state/store/blobs")).len(), self.files(self.store.own().0.to_owned()).len())
        }
    }

    /// So large that it would be read for minutes.
    const LARGE: u64 = 3 << 30;

    #[test]
    fn whoever_stops_the_step_stops_the_taking_too_and_nothing_is_left_of_it() {
        let scene = scene(&["large"]);
        scene.write("large", LARGE);
        let (outcome, log) = scene.take(None, |far| far.write_all(&[1]).unwrap());
        assert_eq!(outcome, Outcome::Cancelled { reason: "it was asked to stop".to_owned() });
        assert_eq!(log, "[tidegate: it was stopped while its outputs were taken]\n");
        assert_eq!(scene.kept(), (0, 0));
    }

    #[test]
    fn it_has_an_absolute_deadline_of_its_own() {
        let scene = scene(&["large"]);
        scene.write("large", LARGE);
        let (outcome, log) = scene.take(Some(Instant::now()), |_| {});
        assert_eq!(outcome, Outcome::TimedOut { after_ms: 607_000 });
        assert!(log.contains("10 minutes after its timeout"), "{log}");
        assert_eq!(scene.kept(), (0, 0));
        let now = Instant::now();
        assert_eq!((until(Some(now)), until(None)), (Some(now + PATIENCE), None));
    }

    #[test]
    fn wherever_it_is_stopped_there_is_nothing_half_done() {
        for asked in 0..64_u32 {
            let scene = scene(&["folder", "again"]);
            scene.write("folder/one", 1 << 20);
            scene.write("folder/below/two", 3 << 18);
            fs::hard_link(scene.places.upper.join("folder/one"), scene.places.upper.join("again")).unwrap();
            let left = Cell::new(asked);
            let halt = || left.replace(left.get().saturating_sub(1)) == 0;
            let done = collect::all(&scene.store, &scene.spec, &scene.places, Halt(&halt));
            assert!(matches!(done, Ok(_) | Err(NotCollected::Halted)), "{asked}");
            assert_eq!(scene.kept().1, 0, "{asked}");
            // Three files of 8, 6 and 8 pieces: it is asked as often as it reads.
            assert!(if done.is_ok() { asked >= 22 } else { asked < 40 }, "{asked}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_anything_is_read() {
        let scene = scene(&["first", "last"]);
        scene.write("first/0", LARGE);
        scene.write("first/below/1", 5);
        scene.write("last", 1 << 40);
        let (outcome, _) = scene.take(None, |_| {});
        let Outcome::Failed { reason, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(reason, "output last (last) makes the outputs larger than their limit of 4294967296 bytes");
        assert_eq!(scene.kept(), (0, 0));
    }
}
