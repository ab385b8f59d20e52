//! Tidegate's side of invocations: it lets a supervisor be born for each, asks it, follows it, and reads what came of it. It owns nothing of them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::{Standing, Watcher, Way};
use super::follow::{self, Tail};
use super::infrastructure;
use super::place::{self, Known, Place};
use super::request::{Home, Request};
use crate::adapters::sandbox;
use crate::adapters::workspace::Store;
use crate::model::id::{NodeId, RunId};
use crate::model::invocation::{InvocationRecord, InvocationResult, InvocationSpec};
use crate::model::outcome::Outcome;

/// As many are tried for one invocation, each taking over from the one before.
const SUPERVISORS: usize = 5;

/// What goes to a supervisor beside places.
pub(in super::super) struct Asked {
    pub(in super::super) spec: InvocationSpec,
    pub(in super::super) home: Home,
    pub(in super::super) way: Way,
    /// Bytes that are in the log already.
    pub(in super::super) said: u64,
    /// How much of its time is over.
    pub(in super::super) took: Duration,
    /// Ends when nobody follows it any more.
    pub(in super::super) for_followers: bool,
    /// A sandbox that waits will do.
    pub(in super::super) warm: bool,
}

/// The records of one state folder's invocations, and who is asked for more of them.
#[derive(Debug)]
pub struct Desk {
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

    /// `Err` where it must not be begun.
    pub(in super::super) fn admit(&self, place: &Place) -> Result<File, Box<InvocationResult>> {
        place.make().map_err(|error| {
            // It was begun before: it is not begun again.
            let again = error.kind() == io::ErrorKind::AlreadyExists;
            let why = format!("its record {} can not be made: {error}", place.path().display());
            Box::new(if again { self.lost(true, "there is a record of it already") } else { self.lost(false, why) })
        })
    }

    pub(in super::super) async fn invoke(&self, place: Place, lock: File, asked: Asked, log: &Path, watcher: Watcher) -> InvocationResult {
        let (scratch, said) = (self.store.fresh_name(), asked.said);
        match self.ask(&place, lock, asked, &scratch, log) {
            Ok(control) => {
                let result = self.follow(&place, control, log, said, watcher).await;
                // A supervisor that was killed can not; every other removes it itself.
                if let Outcome::Infrastructure { .. } = result.outcome {
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
                Ok(control) => self.follow(&place, control, log, 0, watcher).await,
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

    /// The places of all invocations of which something lives.
    pub(in super::super) fn held(&self) -> io::Result<Vec<PathBuf>> {
        place::held(&self.state)
    }

    /// Lets a supervisor be born, and asks it. From here on the invocation is its own.
    fn ask(&self, place: &Place, lock: File, asked: Asked, scratch_name: &str, log: &Path) -> io::Result<UnixStream> {
        let asked_us = sandbox::monotonic_us();
        let (own, scratch) = self.store.own();
        let scratch = scratch.ok_or_else(|| io::Error::other("the scratch folder is closed"))?;
        let request = Request {
            asked_us,
            spec: asked.spec,
            home: asked.home,
            chosen: asked.way.to_string(),
            said: asked.said,
            took: asked.took,
            host_path: std::env::var_os("PATH").map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
            state: self.state.clone(),
            own: own.to_owned(),
            scratch: scratch_name.to_owned(),
            owner: sandbox::outer_uid(),
            place: place.path().to_owned(),
            log: log.to_owned(),
            for_followers: asked.for_followers,
        };
        let (control, far) = UnixStream::pair()?;
        sandbox::supervisor(&[far.as_fd(), lock.as_fd(), scratch], asked.warm)?;
        drop(far);
        sandbox::write_message(&control, &request)?;
        Ok(control)
    }

    /// To its end, also when another supervisor has to see to that.
    async fn follow(&self, place: &Place, mut control: UnixStream, log: &Path, said: u64, watcher: Watcher) -> InvocationResult {
        let Watcher { log: mut sink, cancel } = watcher;
        let mut tail = Tail::after(said);
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
        self.without(infrastructure(why), started)
    }

    /// What came of one of which nobody has written it down.
    pub(in super::super) fn without(&self, outcome: Outcome, started: bool) -> InvocationResult {
        InvocationResult {
            outcome,
            record: InvocationRecord { executor: self.name.to_owned(), started, ..InvocationRecord::default() },
            artifacts: Vec::new(),
            values: std::collections::BTreeMap::new(),
            layer: None,
        }
    }
}
