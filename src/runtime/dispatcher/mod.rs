//! The one who decides which runs begin: the queue, around `core::queue`.
//!
//! ```text
//!   ask, approve, cancel, void ──▶ journal (requests) ──▶ core::queue ──next──▶ begin: a task that drives the run ──ended──┐
//!                                                             ▲                                                            │
//!                                                             └────────────────────────────────────────────────────────────┘
//! ```
//! A request is on disk before it is in the queue. A run's `Started` is on disk before its request's `Begun`: where a process died between the two, the run is there, and
//! the request is known to have begun. So nothing is begun twice, and nothing that was asked for is forgotten.

mod begin;
mod errors;
mod replay;
mod standing;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::adapters::forge::github::Github;
use crate::adapters::journal::JournalError;
use crate::adapters::source::mirror::Mirrors;
use crate::adapters::workspace::Store;
use crate::core::queue::{Asking, Queue, Room, Supersedes};
use crate::model::event::Event;
use crate::model::fact::{Fact, RunFact, Stream};
use crate::model::id::{CommitId, RunId};
use crate::model::request::{Dropped, RequestFact};
use crate::model::trust::Approval;

use super::clock;
use super::drive_run::Surroundings;
use super::hub::{Hub, Told};
use super::recorder::Recorder;
use super::recover::Follower;

pub use errors::ControlError;
use standing::Standing;

/// What the queue works with.
#[derive(Debug, Clone)]
pub struct Means {
    pub around: Surroundings,
    pub store: Store,
    pub mirrors: Mirrors,
    pub hub: Hub,
    pub room: Room,
    /// Asked right before a pull request's run begins whether it is still its head; `None`: what was heard of last counts.
    pub github: Option<Github>,
}

/// Which requests are void.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Of a branch or tag.
    Reference { repository: String, reference: String },
    /// Of a pull request, but for this head, if there is one.
    Pull { repository: String, number: u64, but: Option<CommitId> },
}

/// What of all that waits or runs is cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    Which(Which),
}

#[derive(Debug)]
enum Command {
    Ask(Box<RequestFact>, oneshot::Sender<Result<bool, JournalError>>),
    Reject(Box<RequestFact>, String, oneshot::Sender<Result<bool, JournalError>>),
    Approve(RunId, Approval, oneshot::Sender<Result<(), ControlError>>),
    TurnDown(RunId, Approval, oneshot::Sender<Result<(), ControlError>>),
    Cancel(RunId, String, oneshot::Sender<Result<(), ControlError>>),
    Void(Which, String, oneshot::Sender<Vec<RunId>>),
    CancelAll(Meant, String, oneshot::Sender<Vec<RunId>>),
    /// Nothing more will come of a run.
    Ended(RunId),
    /// Its `Started` is on disk.
    Begun(RunId),
    /// It could not begin.
    Failed(RunId, String),
    Stop(oneshot::Sender<()>),
}

/// How others speak with the one who decides. Clones speak with the same one.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    commands: mpsc::Sender<Command>,
    waiting: watch::Receiver<Numbers>,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    pub waiting: usize,
    pub running: usize,
}

/// Commands that may wait; past it, whoever gives one waits.
const COMMANDS: usize = 1024;

impl Dispatcher {
    /// Nothing begins before [`Deciding::run`].
    pub fn new(means: Means) -> (Self, Deciding) {
        let (commands, orders) = mpsc::channel(COMMANDS);
        let (numbers, waiting) = watch::channel(Numbers::default());
        let queue = Queue::new(means.room);
        let means = Arc::new(means);
        let me = Self { commands, waiting };
        let deciding = Deciding {
            means,
            queue,
            requests: HashMap::new(),
            running: HashMap::new(),
            begun: HashMap::new(),
            begun_before: HashMap::new(),
            orders,
            numbers,
            dispatcher: me.clone(),
        };
        (me, deciding)
    }

    /// Durable when it returns. `false`: it was asked for before.
    pub async fn ask(&self, asked: RequestFact) -> Result<bool, JournalError> {
        let (answer, answered) = oneshot::channel();
        let gone = |_| JournalError::Write("the queue has stopped".to_owned());
        self.commands.send(Command::Ask(Box::new(asked), answer)).await.map_err(|_| gone(()))?;
        answered.await.map_err(|_| gone(()))?
    }

    /// Asked for, and known not to begin: so that somebody hears why. Durable when it returns; `false`: it was said before.
    pub async fn reject(&self, asked: RequestFact, why: String) -> Result<bool, JournalError> {
        let (answer, answered) = oneshot::channel();
        let gone = |_| JournalError::Write("the queue has stopped".to_owned());
        self.commands.send(Command::Reject(Box::new(asked), why, answer)).await.map_err(|_| gone(()))?;
        answered.await.map_err(|_| gone(()))?
    }

    /// Of what waits for it. Approving is bound to the commit that was looked at.
    pub async fn approve(&self, run: RunId, approval: Approval) -> Result<(), ControlError> {
        self.control(|answer| Command::Approve(run, approval, answer)).await
    }

    /// What waits for approval is dropped, by somebody who might have approved it; bound to the commit in the same way.
    pub async fn turn_down(&self, run: RunId, no: Approval) -> Result<(), ControlError> {
        self.control(|answer| Command::TurnDown(run, no, answer)).await
    }

    /// What waits is dropped, what runs is told to stop.
    pub async fn cancel(&self, run: RunId, by: String) -> Result<(), ControlError> {
        self.control(|answer| Command::Cancel(run, by, answer)).await
    }

    /// Everything that waits for it is dropped. Answers what that was.
    pub async fn void(&self, which: Which, because: String) -> Vec<RunId> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::Void(which, because, answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Everything that waits for it or runs. Answers what that was.
    pub async fn cancel_all(&self, meant: Meant, by: String) -> Vec<RunId> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::CancelAll(meant, by, answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Nothing begins any more. What runs goes on as long as the process does, and is gone on with by the next one.
    pub async fn stop(&self) {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::Stop(answer)).await;
        let _ = answered.await;
    }

    pub fn numbers(&self) -> watch::Receiver<Numbers> {
        self.waiting.clone()
    }

    async fn control(&self, command: impl FnOnce(oneshot::Sender<Result<(), ControlError>>) -> Command) -> Result<(), ControlError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| ControlError::Stopped)?;
        answered.await.map_err(|_| ControlError::Stopped)?
    }
}

/// The one who decides.
#[derive(Debug)]
pub struct Deciding {
    means: Arc<Means>,
    queue: Queue,
    /// What waits.
    requests: HashMap<RunId, Standing>,
    /// What runs in this process, and how it is told to stop.
    running: HashMap<RunId, watch::Sender<Option<String>>>,
    /// What is known of those among them that were asked for here.
    begun: HashMap<RunId, Standing>,
    begun_before: HashMap<RunId, Asking>,
    orders: mpsc::Receiver<Command>,
    numbers: watch::Sender<Numbers>,
    dispatcher: Dispatcher,
}

impl Deciding {
    /// A run that had begun before, and is gone on with: it counts, and can be told to stop.
    pub fn adopt(&mut self, run: &crate::core::run::Run) -> Follower {
        let (stop, stopped) = watch::channel(None);
        let id = run.id().clone();
        self.running.insert(id.clone(), stop);
        self.queue.runs(self.begun_before.remove(&id).unwrap_or_else(|| standing::adopted(run)));
        let dispatcher = self.dispatcher.clone();
        let ended = {
            let id = id.clone();
            move || drop(tokio::spawn(async move { dispatcher.commands.send(Command::Ended(id)).await }))
        };
        Follower { observer: self.means.hub.observer(Some(id)), stop: stopped, ended: Box::new(ended) }
    }

    /// Until nobody is left who could say something, or somebody says stop.
    pub async fn run(mut self) {
        loop {
            self.begin_who_may();
            self.numbers.send_replace(Numbers { waiting: self.queue.waiting(), running: self.queue.running() });
            let Some(command) = self.orders.recv().await else { return };
            match command {
                Command::Ask(asked, answer) => drop(answer.send(self.ask(*asked).await)),
                Command::Reject(asked, why, answer) => drop(answer.send(self.reject(*asked, why).await)),
                Command::Approve(run, approval, answer) => drop(answer.send(self.approve(&run, approval).await)),
                Command::TurnDown(run, no, answer) => drop(answer.send(self.turn_down(&run, no).await)),
                Command::Cancel(run, by, answer) => drop(answer.send(self.cancel(&run, by).await)),
                Command::Void(which, because, answer) => drop(answer.send(self.void(&which, &because).await)),
                Command::CancelAll(Meant::Which(which), by, answer) => drop(answer.send(self.cancel_all(&which, &by).await)),
                Command::Begun(run) => self.begun(&run).await,
                Command::Failed(run, why) => {
                    self.close(&run, RequestFact::Dropped { why: Dropped::Failed { why } }).await;
                    self.queue.remove(&run);
                }
                Command::Ended(run) => {
                    self.running.remove(&run);
                    self.begun.remove(&run);
                    self.queue.remove(&run);
                }
                Command::Stop(answer) => {
                    let _ = answer.send(());
                    return;
                }
            }
        }
    }

    fn begin_who_may(&mut self) {
        while let Some(run) = self.queue.begin_next() {
            let (stop, stopped) = watch::channel(None);
            self.running.insert(run.clone(), stop);
            tokio::spawn(begin::begin(self.means.clone(), self.dispatcher.clone(), run, stopped));
        }
    }

    async fn ask(&mut self, asked: RequestFact) -> Result<bool, JournalError> {
        let Some((run, standing)) = Standing::asked(&asked) else { return Ok(false) };
        match self.write(&run, 0, asked).await {
            Ok(()) => {}
            Err(JournalError::Conflict { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.enter(run, standing).await;
        Ok(true)
    }

    async fn reject(&mut self, asked: RequestFact, why: String) -> Result<bool, JournalError> {
        let RequestFact::Asked { run, .. } = &asked else { return Ok(false) };
        let stream = Stream::Request(run.clone());
        let mut recorder = Recorder::new(self.means.around.journal.clone(), stream, 0, self.means.hub.observer(None));
        let facts = vec![Fact::Request(asked), Fact::Request(RequestFact::Dropped { why: Dropped::Failed { why } })];
        match recorder.record(clock::now(), facts).await {
            Ok(()) => Ok(true),
            Err(JournalError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Into the queue, with all that follows for others.
    async fn enter(&mut self, run: RunId, standing: Standing) {
        let asking = standing.asking.clone();
        self.requests.insert(run, standing);
        let superseded = self.queue.ask(asking.clone());
        self.supersede(superseded, &asking.run).await;
    }

    async fn supersede(&mut self, superseded: Vec<Supersedes>, by: &RunId) {
        for over in superseded {
            match over {
                Supersedes::Drop(run) => {
                    // Who was let in late is dropped by the newer one that waits: by itself, in the words of the queue.
                    let why = if run == *by {
                        Dropped::Void { because: "a newer run of its group waits already".to_owned() }
                    } else {
                        Dropped::Superseded { by: by.clone() }
                    };
                    self.close(&run, RequestFact::Dropped { why }).await;
                    self.queue.remove(&run);
                }
                Supersedes::Cancel(run) => {
                    if let Some(stop) = self.running.get(&run) {
                        stop.send_replace(Some(format!("run {by} of the same group is newer")));
                    }
                }
            }
        }
    }

    /// What waits for somebody's word about this commit.
    fn held(&mut self, run: &RunId, commit: &CommitId) -> Result<&mut Standing, ControlError> {
        let Some(standing) = self.requests.get_mut(run) else { return Err(ControlError::NotWaiting(run.clone())) };
        if standing.commit != *commit {
            return Err(ControlError::OtherCommit { run: run.clone(), commit: standing.commit.clone() });
        }
        if standing.asking.held { Ok(standing) } else { Err(ControlError::NeedsNone(run.clone())) }
    }

    async fn turn_down(&mut self, run: &RunId, no: Approval) -> Result<(), ControlError> {
        let written = self.held(run, &no.commit)?.written;
        self.write(run, written, RequestFact::Dropped { why: Dropped::Rejected { by: no.by } }).await?;
        self.requests.remove(run);
        self.queue.remove(run);
        Ok(())
    }

    async fn approve(&mut self, run: &RunId, approval: Approval) -> Result<(), ControlError> {
        let standing = self.held(run, &approval.commit)?;
        let written = standing.written;
        standing.asking.held = false;
        standing.written += 1;
        self.write(run, written, RequestFact::Approved { approval }).await?;
        let superseded = self.queue.let_in(run);
        self.supersede(superseded, run).await;
        Ok(())
    }

    async fn cancel(&mut self, run: &RunId, by: String) -> Result<(), ControlError> {
        if let Some(stop) = self.running.get(run) {
            stop.send_replace(Some(by));
            return Ok(());
        }
        if !self.requests.contains_key(run) {
            return Err(ControlError::NotHere(run.clone()));
        }
        self.close(run, RequestFact::Dropped { why: Dropped::Cancelled { by } }).await;
        self.queue.remove(run);
        Ok(())
    }

    async fn void(&mut self, which: &Which, because: &str) -> Vec<RunId> {
        // What has begun is not void any more: its group, or a person, decides about it.
        let is_void = |(run, standing): &(&RunId, &Standing)| standing.is_void(which) && !self.running.contains_key(*run);
        let void: Vec<RunId> = self.requests.iter().filter(is_void).map(|(run, _)| run.clone()).collect();
        for run in &void {
            self.close(run, RequestFact::Dropped { why: Dropped::Void { because: because.to_owned() } }).await;
            self.queue.remove(run);
        }
        void
    }

    async fn begun(&mut self, run: &RunId) {
        let standing = self.requests.get(run).cloned();
        self.close(run, RequestFact::Begun).await;
        self.begun.extend(standing.map(|standing| (run.clone(), standing)));
    }

    async fn cancel_all(&mut self, which: &Which, by: &str) -> Vec<RunId> {
        let known = self.requests.iter().chain(&self.begun);
        let meant: Vec<RunId> = known.filter(|(_, standing)| standing.is_meant(which)).map(|(run, _)| run.clone()).collect();
        for run in &meant {
            let _ = self.cancel(run, by.to_owned()).await;
        }
        meant
    }

    /// The last word about a request. One that can not be written is said again by the next start, which finds it as it was.
    async fn close(&mut self, run: &RunId, last: RequestFact) {
        let Some(standing) = self.requests.remove(run) else { return };
        if let Err(error) = self.write(run, standing.written, last).await {
            self.means.hub.tell(Told::Note(format!("the end of the request for run {run} could not be written: {error}")));
        }
    }

    async fn write(&self, run: &RunId, written: u64, fact: RequestFact) -> Result<(), JournalError> {
        let journal = self.means.around.journal.clone();
        let mut recorder = Recorder::new(journal, Stream::Request(run.clone()), written, self.means.hub.observer(None));
        recorder.record(clock::now(), vec![Fact::Request(fact)]).await
    }
}

/// Whether this is the first fact of a run.
fn is_start(fact: &Fact) -> bool {
    matches!(fact, Fact::Run(RunFact::Started { .. }))
}

/// Runs of different circles are never of one group: an outsider's pull request has its own.
fn circle(event: &Event, trust: crate::model::trust::Trust) -> String {
    use crate::model::trust::Trust;
    match (trust, &event.context.pull) {
        (Trust::Trusted, _) => String::new(),
        (Trust::Untrusted, Some(pull)) => format!("pull request {} of {}", pull.number, pull.head.repository),
        (Trust::Untrusted, None) => "untrusted".to_owned(),
    }
}
