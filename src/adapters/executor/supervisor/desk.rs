//! Tidegate's side of invocations: it lets a supervisor be born for each, asks it, follows it, and reads what came of it. It owns nothing of them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::super::{Standing, Watcher};
use super::follow::{self, Tail};
use super::infrastructure;
use super::place::{self, Known, Place};
use super::request::{Request, Way};
use crate::adapters::sandbox;
use crate::adapters::workspace::Store;
use crate::model::id::{NodeId, RunId};
use crate::model::invocation::{InvocationRecord, InvocationResult, InvocationSpec};

/// As many are tried for one invocation, each taking over from the one before.
const SUPERVISORS: usize = 5;

#[derive(Debug)]
pub(in super::super) struct Desk {
    state: PathBuf,
    store: Store,
    /// The executor's, for the record of what nobody else can say.
    name: &'static str,
}

impl Desk {
    /// `state`: the state folder, which `store` is in.
    pub(in super::super) fn new(state: &Path, store: Store, name: &'static str) -> Self {
        Self { state: state.to_owned(), store, name }
    }

    pub(in super::super) fn place(&self, run: &RunId, node: &NodeId, attempt: u32) -> Place {
        Place::of(&self.state, run, node, attempt)
    }

    /// `warm`: a sandbox that waits will do.
    pub(in super::super) async fn invoke(&self, spec: InvocationSpec, way: Way, warm: bool, log: &Path, watcher: Watcher) -> InvocationResult {
        let place = self.place(&spec.run, &spec.node, spec.attempt);
        let lock = match place.make() {
            Ok(lock) => lock,
            // It was begun before: it is not begun again.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return self.lost(true, "there is a record of it already"),
            Err(error) => return self.lost(false, format!("its record {} can not be made: {error}", place.path().display())),
        };
        let scratch = self.store.fresh_name();
        match self.ask(&place, lock, spec, way, warm, &scratch, log) {
            Ok(control) => {
                let result = self.follow(&place, control, log, watcher).await;
                // A supervisor that was killed can not; every other removes it itself.
                if let crate::model::outcome::Outcome::Infrastructure { .. } = result.outcome {
                    let store = self.store.clone();
                    let _ = tokio::task::spawn_blocking(move || store.take_away(&scratch)).await;
                }
                result
            }
            Err(error) => {
                // Nobody has been told of it.
                let _ = place.remove();
                self.lost(false, format!("its supervisor could not be started: {error}"))
            }
        }
    }

    pub(in super::super) async fn resume(&self, run: &RunId, node: &NodeId, attempt: u32, log: &Path, watcher: Watcher) -> InvocationResult {
        let place = self.place(run, node, attempt);
        match place.known() {
            Known::Ended(result) => *result,
            Known::Lost { started } => self.lost(started, "nobody was left to say how it ended"),
            Known::Living => match place.connect() {
                Ok(control) => self.follow(&place, control, log, watcher).await,
                // It has ended between the two.
                Err(_) => self.outcome_of(&place),
            },
        }
    }

    pub(in super::super) fn standing(&self, run: &RunId, node: &NodeId, attempt: u32) -> Standing {
        match self.place(run, node, attempt).known() {
            Known::Living => Standing::Living,
            Known::Ended(result) => Standing::Ended(result),
            Known::Lost { started } => Standing::Ended(Box::new(self.lost(started, "nobody was left to say how it ended"))),
        }
    }

    pub(in super::super) fn forget(&self, run: &RunId, node: &NodeId, attempt: u32) {
        // What can not be removed now is swept later.
        let _ = self.place(run, node, attempt).remove();
    }

    pub(in super::super) fn recorded(&self) -> io::Result<Vec<String>> {
        place::recorded(&self.state)
    }

    pub(in super::super) fn sweep(&self, runs: &[String]) -> io::Result<usize> {
        place::sweep(&self.state, runs)
    }

    /// Lets a supervisor be born, and asks it. From here on the invocation is its own.
    #[expect(clippy::too_many_arguments, reason = "each is another one's to know")]
    fn ask(&self, place: &Place, lock: File, spec: InvocationSpec, way: Way, warm: bool, scratch_name: &str, log: &Path) -> io::Result<UnixStream> {
        let asked_us = sandbox::monotonic_us();
        let (own, scratch) = self.store.own();
        let scratch = scratch.ok_or_else(|| io::Error::other("the scratch folder is closed"))?;
        let request = Request {
            asked_us,
            spec,
            way,
            host_path: std::env::var_os("PATH").map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
            state: self.state.clone(),
            own: own.to_owned(),
            scratch: scratch_name.to_owned(),
            owner: sandbox::outer_uid(),
            place: place.path().to_owned(),
            log: log.to_owned(),
        };
        let (control, far) = UnixStream::pair()?;
        sandbox::supervisor(&[far.as_fd(), lock.as_fd(), scratch], warm)?;
        drop(far);
        sandbox::write_message(&control, &request)?;
        Ok(control)
    }

    /// To its end, also when another supervisor has to see to that.
    async fn follow(&self, place: &Place, mut control: UnixStream, log: &Path, watcher: Watcher) -> InvocationResult {
        let Watcher { log: mut sink, cancel } = watcher;
        let mut tail = Tail::default();
        for _ in 0..SUPERVISORS {
            if let Err(error) = follow::until_the_end(control, log, &mut tail, &mut *sink, cancel.clone()).await {
                return self.lost(true, format!("it could not be followed: {error}"));
            }
            control = match place.known() {
                Known::Lost { .. } => match self.adopt(place) {
                    Ok(Some(control)) => control,
                    _ => break,
                },
                // Somebody else was faster.
                Known::Living => match place.connect() {
                    Ok(control) => control,
                    Err(_) => break,
                },
                Known::Ended(_) => break,
            };
        }
        self.outcome_of(place)
    }

    /// Lets a second supervisor go on with what has outlived the first, if there is such a thing. `None` when there is not.
    pub(in super::super) fn adopt(&self, place: &Place) -> io::Result<Option<UnixStream>> {
        let Some(request) = place.plan().and_then(|plan| serde_json::from_slice::<Request>(&plan).ok()) else { return Ok(None) };
        let Some(lock) = place.take_over()? else { return Ok(None) };
        let (own, ours) = self.store.own();
        let theirs = if own == request.own { None } else { Some(Store::lock_of(&request.own)?) };
        let Some(scratch) = theirs.as_ref().map(File::as_fd).or(ours) else { return Ok(None) };
        let (control, far) = UnixStream::pair()?;
        sandbox::supervisor(&[far.as_fd(), lock.as_fd(), scratch], false)?;
        drop(far);
        sandbox::write_message(&control, &request)?;
        Ok(Some(control))
    }

    /// Of one whose supervisor has closed its socket.
    fn outcome_of(&self, place: &Place) -> InvocationResult {
        match place.known() {
            Known::Ended(result) => *result,
            Known::Lost { started } => self.lost(started, "its supervisor was killed; is the machine out of memory?"),
            Known::Living => self.lost(true, "its supervisor does not answer"),
        }
    }

    pub(in super::super) fn lost(&self, started: bool, why: impl ToString) -> InvocationResult {
        InvocationResult {
            outcome: infrastructure(why),
            record: InvocationRecord { executor: self.name.to_owned(), started, ..InvocationRecord::default() },
            artifacts: Vec::new(),
            values: std::collections::BTreeMap::new(),
            layer: None,
        }
    }
}
