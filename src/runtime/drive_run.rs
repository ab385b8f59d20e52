//! The loop around a `Run`.
//!
//! ```text
//!   input ──▶ Run::handle ──▶ facts ──▶ journal ──▶ effects ──▶ executor, rollouts ─┐
//!     ▲                                                                              │
//!     └──────────────────────────── inbox ◀──────────────────────────────────────────┘
//! ```
//! Knows nothing of what is shown or of how a rollout goes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::adapters::executor::{AnyExecutor, Executor as _, Watcher};
use crate::adapters::journal::{AnyJournal, Journal as _, JournalError};
use crate::adapters::mailbox::{Letter, Mailbox};
use crate::adapters::state::{StateError, StateFolder};
use crate::core::plan::Plan;
use crate::core::run::{Effect, IllegalInput, Input, Kept, NodeState, PlanError, Rules, Run};
use crate::core::turn::Turn;
use crate::model::fact::{Entry, Fact, RolloutFact, RolloutOutcome, RunFact, Stream};
use crate::model::id::{InvocationId, NodeId, RolloutId, RunId};
use crate::model::invocation::InvocationResult;
use crate::model::outcome::{Exit, Outcome, RunOutcome};
use crate::model::settings::Limits;
use crate::model::time::Timestamp;

use super::admission::Rooms;
use super::logs::StepLog;
use super::observer::Observer;
use super::recorder::Recorder;
use super::rollouts::Rollouts;
use super::words::{self, Ears};
use super::{clock, condition, found, invocation};

/// What a run is performed with.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub journal: AnyJournal,
    pub executor: Arc<AnyExecutor>,
    pub rollouts: Rollouts,
    pub observer: Observer,
    pub state: StateFolder,
    /// The commit's tree: the lowest layer of every workspace.
    pub snapshot: std::path::PathBuf,
    /// Invocations at once, over all that use the state folder.
    pub limits: Limits,
    /// Invocations at once of a run.
    pub parallel: NonZeroUsize,
}

/// Why a run could not be driven to its end. What was journaled until then stays true.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    State(#[from] StateError),
    /// Somebody else goes on with all of it.
    #[error("another process goes on with the run")]
    Adopted,
    /// A bug of ours, not of the user.
    #[error("internal error: {0}")]
    Machine(Box<IllegalInput>),
}

/// Somebody who wants the run to stop, and why; `None` while nobody does.
pub type Stop = watch::Receiver<Option<String>>;

/// What of a run is gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// All of it, to its end.
    Run,
    /// Only what has begun; then it ends as interrupted.
    Leave,
}

/// What a run takes over from an earlier one.
pub type KeptNodes = Vec<(NodeId, RunId, Kept)>;

/// Runs a plan to its end; of `kept` nodes only what they left.
pub async fn drive(around: &Surroundings, id: RunId, plan: Plan, kept: KeptNodes, stop: Stop) -> Result<RunOutcome, DriveError> {
    let at = clock::now();
    let (mut hands, inbox) = Hands::new(around, id.clone(), &plan, 0)?;
    let (run, turn) = hands.asking(Rest::Run, |rules| Run::start_again(id, plan, kept, rules, at))?;
    hands.drive(run, turn, at, inbox, Rest::Run, stop).await
}

/// Goes on with a run whose process has died; `written` is how many facts it has. What it had begun is followed to its end, never begun again.
pub async fn go_on(around: &Surroundings, mut run: Run, written: u64, rest: Rest, stop: Stop) -> Result<RunOutcome, DriveError> {
    let at = clock::now();
    let (mut hands, inbox) = Hands::new(around, run.id().clone(), run.plan(), written)?;
    hands.queued = run.nodes().filter_map(|(node, state)| Some((node.id.clone(), queued_since(state)?))).collect();
    for (node, attempt) in run.under_way() {
        hands.resume(node, attempt);
    }
    for (node, rollout) in run.deploying().into_iter().filter(|_| rest == Rest::Run) {
        match rollout {
            Some(rollout) => hands.follow(node, rollout),
            None => {
                let outcome = RolloutOutcome::Failed { reason: "Tidegate died as its rollout was about to start".to_owned() };
                let _ = hands.answers.send(Input::RolloutEnded { node, outcome });
            }
        }
    }
    let input = if rest == Rest::Leave && run.under_way().is_empty() { Input::Interrupted } else { Input::Tick };
    let turn = hands.asking(rest, |rules| run.handle(input, rules, at)).map_err(|illegal| DriveError::Machine(Box::new(illegal)))?;
    hands.drive(run, turn, at, inbox, rest, stop).await
}

/// Of a rollout that has ended by now.
async fn rollout_outcome(journal: &AnyJournal, rollout: &RolloutId) -> Result<Option<RolloutOutcome>, JournalError> {
    let entries = journal.read(&Stream::Rollout(rollout.clone())).await?;
    let ended = |entry: &Entry| if let Fact::Rollout(RolloutFact::Ended { outcome }) = &entry.fact { Some(outcome.clone()) } else { None };
    Ok(entries.iter().rev().find_map(ended))
}

/// How often somebody looks whether a rollout has ended that recovery goes on with.
const ROLLOUT_LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// Until a rollout has ended that recovery has taken back or goes on with.
async fn rollout_end(around: &Surroundings, rollout: &RolloutId, mut aborted: watch::Receiver<bool>) -> RolloutOutcome {
    let stuck = |reason: String| RolloutOutcome::Stuck { reason };
    loop {
        // Asked before the journal is: who is not under way any more has written its end.
        let under_way = around.rollouts.is_under_way(rollout);
        match rollout_outcome(&around.journal, rollout).await {
            Ok(Some(outcome)) => return outcome,
            Ok(None) if under_way => {}
            Ok(None) => return stuck("its process died, and it could not be taken back".to_owned()),
            Err(error) => return stuck(error.to_string()),
        }
        let told = async { aborted.wait_for(|aborted| *aborted).await.is_ok() };
        if let Ok(true) = tokio::time::timeout(ROLLOUT_LOOK, told).await {
            let _ = around.rollouts.mailbox().post(rollout, Letter::Abort);
            tokio::time::sleep(ROLLOUT_LOOK).await;
        }
    }
}

fn queued_since(state: &NodeState) -> Option<Timestamp> {
    if let NodeState::Queued { since, .. } = state { Some(*since) } else { None }
}

async fn sleep_until(moment: Option<Timestamp>) {
    match moment {
        Some(moment) => tokio::time::sleep(clock::until(moment)).await,
        None => std::future::pending().await,
    }
}

/// How often letters are looked for.
const LETTERS: Duration = Duration::from_millis(200);

/// By whoever started it, or by a letter.
async fn asked_to_stop(stop: &mut Stop, letters: &Mailbox, run: &RunId, already: bool) -> String {
    if already {
        return std::future::pending().await;
    }
    tokio::select! {
        reason = wish_to_stop(stop) => reason,
        reason = letter_to_stop(letters, run) => reason,
    }
}

async fn wish_to_stop(stop: &mut Stop) -> String {
    if let Ok(reason) = stop.wait_for(Option::is_some).await {
        return reason.clone().unwrap_or_default();
    }
    std::future::pending().await
}

/// Looks before it waits: a run that is never idle for long is stopped as well.
async fn letter_to_stop(letters: &Mailbox, run: &RunId) -> String {
    loop {
        if let Some(reason) = letters.cancelled(run) {
            return reason;
        }
        tokio::time::sleep(LETTERS).await;
    }
}

/// Performs effects. Every one that starts something answers through the inbox, exactly once.
struct Hands<'a> {
    around: &'a Surroundings,
    run_id: RunId,
    answers: mpsc::UnboundedSender<Input>,
    tasks: JoinSet<()>,
    kill: HashMap<(NodeId, u32), watch::Sender<bool>>,
    abort: HashMap<NodeId, watch::Sender<bool>>,
    queued: HashMap<NodeId, Timestamp>,
    recorder: Recorder,
    rooms: Rooms,
    ears: Ears,
}

impl<'a> Hands<'a> {
    fn new(around: &'a Surroundings, run_id: RunId, plan: &Plan, written: u64) -> Result<(Self, mpsc::UnboundedReceiver<Input>), StateError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded by what is under way: every effect answers once, a deploy twice, a wish for room once; waiting for room could lock up the loop"
        )]
        let (answers, inbox) = mpsc::unbounded_channel();
        let recorder = Recorder::new(around.journal.clone(), Stream::Run(run_id.clone()), written, around.observer.clone());
        let (tasks, kill, abort, queued) = (JoinSet::new(), HashMap::new(), HashMap::new(), HashMap::new());
        let (again, observer) = (answers.clone(), around.observer.clone());
        let tell = move || drop(again.send(Input::Tick));
        let rooms = Rooms::new(&around.state, (run_id.clone(), plan), around.limits, tell, move |why| observer.note(why));
        let ears = Ears::new(&around.state, run_id.clone())?;
        Ok((Self { around, run_id, answers, tasks, kill, abort, queued, recorder, rooms, ears }, inbox))
    }

    /// One turn of the machine. Its rules are made anew for every one: they must not be held while something is waited for.
    fn asking<T>(&mut self, rest: Rest, turn: impl FnOnce(Rules<'_>) -> T) -> T {
        let rooms = RefCell::new(&mut self.rooms);
        let room = |node: &NodeId, attempt: u32| rest == Rest::Run && rooms.borrow_mut().ask(node, attempt);
        let done = turn(Rules { parallel: self.around.parallel, condition: &condition::evaluate, room: &room });
        self.rooms.settle();
        done
    }

    /// The loop.
    async fn drive(
        mut self,
        mut run: Run,
        mut turn: Turn<RunFact, Effect>,
        mut at: Timestamp,
        mut inbox: mpsc::UnboundedReceiver<Input>,
        rest: Rest,
        mut stop: Stop,
    ) -> Result<RunOutcome, DriveError> {
        let mut wake: Option<Timestamp> = None;
        let mut stopping = false;
        loop {
            self.note_queue(at, &turn.facts);
            let answered = ended_invocations(&turn.facts);
            // Whoever follows only what has begun leaves the last word to whoever goes on with all of it, and may have come later.
            if rest == Rest::Leave && self.around.state.is_adopted(&self.run_id)? {
                return Err(DriveError::Adopted);
            }
            self.recorder.record(at, turn.facts.into_iter().map(Fact::Run).collect()).await?;
            self.forget(answered);
            self.ears.answer();
            for effect in turn.effects {
                match effect {
                    Effect::WakeAt(moment) => wake = Some(moment),
                    Effect::Finished { outcome } => {
                        self.ears.end();
                        self.finish().await;
                        return Ok(outcome);
                    }
                    effect => self.perform(&run, effect),
                }
            }
            let input = if rest == Rest::Leave && run.under_way().is_empty() {
                Input::Interrupted
            } else {
                let waiting = words::waiting(&run);
                tokio::select! {
                    Some(answer) = inbox.recv() => answer,
                    said = self.ears.listen(&waiting) => said,
                    () = sleep_until(wake) => { wake = None; Input::Tick }
                    reason = asked_to_stop(&mut stop, self.around.rollouts.mailbox(), &self.run_id, stopping) => { stopping = true; Input::Cancel { reason } }
                }
            };
            at = clock::now();
            turn = match self.asking(rest, |rules| run.handle(input, rules, at)) {
                Ok(turn) => turn,
                // People say what does not count, or too late.
                Err(illegal) if matches!(*illegal.input, Input::Approved { .. } | Input::Rejected { .. }) => {
                    self.around.observer.note(illegal.to_string());
                    Turn::nothing()
                }
                Err(illegal) => return Err(DriveError::Machine(Box::new(illegal))),
            };
        }
    }

    fn note_queue(&mut self, at: Timestamp, facts: &[RunFact]) {
        for fact in facts {
            if let RunFact::NodeQueued { node } = fact {
                self.queued.insert(node.clone(), at);
            }
        }
    }

    fn perform(&mut self, run: &Run, effect: Effect) {
        match effect {
            Effect::Invoke { node, attempt, invocation, deadline } => self.invoke(run, node, attempt, invocation, deadline),
            Effect::Deploy { node } => self.deploy(run, node),
            Effect::Kill { node, attempt } => {
                if let Some(kill) = self.kill.get(&(node, attempt)) {
                    kill.send_replace(true);
                }
            }
            Effect::Abort { node, .. } => {
                if let Some(abort) = self.abort.get(&node) {
                    abort.send_replace(true);
                }
            }
            Effect::WakeAt(_) | Effect::Finished { .. } => {}
        }
    }

    fn invoke(&mut self, run: &Run, node: NodeId, attempt: u32, id: InvocationId, deadline: Timestamp) {
        let queued_us = self.queued.get(&node).map_or(0, |since| micros(clock::now().since(*since)));
        let spec = invocation::spec(run, &node, attempt, id, deadline, &self.around.snapshot);
        let (kill, killed) = watch::channel(false);
        self.kill.insert((node.clone(), attempt), kill);
        let (around, answers) = (self.around.clone(), self.answers.clone());
        let run_id = self.run_id.clone();
        let give_room_back = self.rooms.returning(&node, attempt);
        self.tasks.spawn(async move {
            let mut result = match spec {
                Ok(spec) => {
                    let watcher = Watcher { log: Box::new(StepLog { node: node.clone(), observer: around.observer.clone() }), cancel: killed };
                    around.executor.invoke(spec, &around.state.log(&run_id, &node, attempt), watcher).await
                }
                Err(reason) => failed(reason),
            };
            result.record.phases.queued_us = queued_us;
            found::read(around.state.root(), &mut result.record.found).await;
            give_room_back();
            // A closed inbox means that the loop has ended with an error: nobody is left to tell.
            let _ = answers.send(Input::InvocationEnded { node, attempt, result: Box::new(result) });
        });
    }

    fn resume(&mut self, node: NodeId, attempt: u32) {
        let (kill, killed) = watch::channel(false);
        self.kill.insert((node.clone(), attempt), kill);
        let (around, answers) = (self.around.clone(), self.answers.clone());
        let run_id = self.run_id.clone();
        self.tasks.spawn(async move {
            let watcher = Watcher { log: Box::new(StepLog { node: node.clone(), observer: around.observer.clone() }), cancel: killed };
            let mut result = around.executor.resume(&run_id, &node, attempt, &around.state.log(&run_id, &node, attempt), watcher).await;
            found::read(around.state.root(), &mut result.record.found).await;
            let _ = answers.send(Input::InvocationEnded { node, attempt, result: Box::new(result) });
        });
    }

    /// A rollout that recovery goes on with, or has ended.
    fn follow(&mut self, node: NodeId, rollout: RolloutId) {
        let (abort, aborted) = watch::channel(false);
        self.abort.insert(node.clone(), abort);
        let (around, answers) = (self.around.clone(), self.answers.clone());
        self.rooms.take_over(&node, 1);
        let leave_environment = self.rooms.returning(&node, 1);
        self.tasks.spawn(async move {
            let outcome = rollout_end(&around, &rollout, aborted).await;
            leave_environment();
            let _ = answers.send(Input::RolloutEnded { node, outcome });
        });
    }

    fn deploy(&mut self, run: &Run, node: NodeId) {
        let wanted = match invocation::deployment(run, &node) {
            Ok(wanted) => wanted,
            Err(reason) => {
                self.rooms.returning(&node, 1)();
                let _ = self.answers.send(Input::RolloutEnded { node, outcome: RolloutOutcome::Failed { reason } });
                return;
            }
        };
        let (abort, aborted) = watch::channel(false);
        self.abort.insert(node.clone(), abort);
        let (rollouts, answers, run_id) = (self.around.rollouts.clone(), self.answers.clone(), self.run_id.clone());
        let leave_environment = self.rooms.returning(&node, 1);
        self.tasks.spawn(async move {
            let attached = |rollout| {
                let _ = answers.send(Input::RolloutAttached { node: node.clone(), rollout });
            };
            let outcome = rollouts
                .deploy(wanted, Some(run_id), attached, aborted)
                .await
                .unwrap_or_else(|error| RolloutOutcome::Failed { reason: error.to_string() });
            leave_environment();
            let _ = answers.send(Input::RolloutEnded { node: node.clone(), outcome });
        });
    }

    /// Their ends are in the journal.
    fn forget(&mut self, invocations: Vec<(NodeId, u32)>) {
        for (node, attempt) in invocations {
            self.kill.remove(&(node.clone(), attempt));
            let (executor, run) = (self.around.executor.clone(), self.run_id.clone());
            self.tasks.spawn_blocking(move || executor.forget(&run, &node, attempt));
        }
    }

    async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn ended_invocations(facts: &[RunFact]) -> Vec<(NodeId, u32)> {
    let ended = |fact: &RunFact| if let RunFact::InvocationEnded { node, attempt, .. } = fact { Some((node.clone(), *attempt)) } else { None };
    facts.iter().filter_map(ended).collect()
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn failed(reason: String) -> InvocationResult {
    InvocationResult {
        outcome: Outcome::Failed { exit: Exit::None, reason },
        record: crate::model::invocation::InvocationRecord::default(),
        artifacts: Vec::new(),
        values: std::collections::BTreeMap::new(),
        layer: None,
    }
}
