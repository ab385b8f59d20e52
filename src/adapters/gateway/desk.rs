//! Where one instance and the gateway meet: the gateway lays an invocation on the desk, the runtime takes it, and answers it.
//!
//! ```text
//! Starting ──next──▶ Waiting ──offer──▶ Offered ──next──▶ Running ──response|error──▶ Answering ──body read──▶ Answered ─┐
//!     │                 ▲                  ▲                                                             │ offer (early) │
//!     └─init/error─▶ Failed                └───────────────────────────────────────────────────────◀─────┘        next ──┴─▶ Waiting
//! ```
//! From everywhere the process may go: `Gone`. An answer is taken only for the id that is running here, once: there is no way to answer anything else.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};

/// One invocation, as the runtime gets it.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    pub event: Bytes,
    /// Milliseconds since 1970.
    pub deadline_ms: u64,
    pub trace: String,
}

/// What came of an offered job.
#[derive(Debug)]
pub enum Answer {
    Response {
        body: Bytes,
        streamed: bool,
    },
    /// The function said that it failed.
    Error {
        kind: String,
        body: Bytes,
    },
    TooLarge,
    /// The runtime broke the protocol in the middle of its answer.
    Broken(&'static str),
    /// The process ended before it took the job: it is safe to give it to another instance.
    Untouched,
    /// The process ended with the job in its hands.
    Crashed,
}

/// How an instance stands, as far as starting goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Starting,
    Ready,
    Failed { kind: String, body: String },
    Gone,
}

enum Stage {
    Starting,
    Waiting,
    Offered(Job, oneshot::Sender<Answer>),
    Running(Job, oneshot::Sender<Answer>),
    Answering(oneshot::Sender<Answer>),
    Answered,
    Failed,
    Gone,
}

/// Why the Runtime API refuses a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not the invocation that runs here.
    WrongId,
    /// Not now: the names of where it is and where it wanted to go.
    Transition { from: &'static str, to: &'static str },
}

pub struct Desk {
    stage: Mutex<Stage>,
    offered: Notify,
    standing: watch::Sender<Standing>,
}

impl Desk {
    pub fn new() -> Self {
        Self { stage: Mutex::new(Stage::Starting), offered: Notify::new(), standing: watch::Sender::new(Standing::Starting) }
    }

    fn lock(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub fn is_free(&self) -> bool {
        matches!(*self.lock(), Stage::Waiting | Stage::Answered)
    }

    pub fn is_waiting(&self) -> bool {
        matches!(*self.lock(), Stage::Waiting)
    }

    /// The gateway's side: gives the instance its next invocation. `None` when it can not take one.
    pub fn offer(&self, job: Job) -> Option<oneshot::Receiver<Answer>> {
        let mut stage = self.lock();
        if !matches!(*stage, Stage::Waiting | Stage::Answered) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        *stage = Stage::Offered(job, sender);
        drop(stage);
        self.offered.notify_one();
        Some(receiver)
    }

    /// The runtime's side: waits for the next invocation. Asked again while one runs, it gets the same once more, as its connection may have broken.
    pub async fn next(&self) -> Result<Job, Refusal> {
        loop {
            {
                let mut stage = self.lock();
                *stage = match std::mem::replace(&mut *stage, Stage::Gone) {
                    Stage::Starting | Stage::Waiting | Stage::Answered => {
                        self.standing.send_if_modified(|standing| std::mem::replace(standing, Standing::Ready) != Standing::Ready);
                        Stage::Waiting
                    }
                    Stage::Offered(job, sender) | Stage::Running(job, sender) => {
                        let given = job.clone();
                        *stage = Stage::Running(job, sender);
                        return Ok(given);
                    }
                    other => {
                        let from = other.name();
                        *stage = other;
                        return Err(Refusal::Transition { from, to: "Ready" });
                    }
                };
            }
            self.offered.notified().await;
        }
    }

    /// The runtime begins to answer `id`. Whoever holds the slip must finish it; dropping it is a crash in the middle.
    pub fn begin(&self, id: &str, to: &'static str) -> Result<Slip<'_>, Refusal> {
        let mut stage = self.lock();
        match std::mem::replace(&mut *stage, Stage::Gone) {
            Stage::Running(job, sender) if job.id == id => {
                *stage = Stage::Answering(sender);
                Ok(Slip { desk: self, done: false })
            }
            other => {
                let wrong_id = matches!(other, Stage::Running(..));
                let from = other.name();
                *stage = other;
                Err(if wrong_id { Refusal::WrongId } else { Refusal::Transition { from, to } })
            }
        }
    }

    /// The runtime says that it could not start.
    pub fn init_failed(&self, kind: String, body: String) -> Result<(), Refusal> {
        let mut stage = self.lock();
        if !matches!(*stage, Stage::Starting) {
            return Err(Refusal::Transition { from: stage.name(), to: "InitError" });
        }
        *stage = Stage::Failed;
        self.standing.send_replace(Standing::Failed { kind, body });
        Ok(())
    }

    /// The process has ended.
    pub fn gone(&self) {
        let before = std::mem::replace(&mut *self.lock(), Stage::Gone);
        // Nobody may be waiting any more: then there is nobody to tell.
        let _ = match before {
            Stage::Offered(_, sender) => sender.send(Answer::Untouched),
            Stage::Running(_, sender) | Stage::Answering(sender) => sender.send(Answer::Crashed),
            _ => Ok(()),
        };
        self.standing.send_if_modified(|standing| {
            let starting = matches!(standing, Standing::Starting | Standing::Ready);
            if starting {
                *standing = Standing::Gone;
            }
            starting
        });
    }
}

impl Stage {
    fn name(&self) -> &'static str {
        match self {
            Self::Starting => "Started",
            Self::Waiting | Self::Offered(..) => "Ready",
            Self::Running(..) => "Running",
            Self::Answering(_) => "InvocationResponse",
            Self::Answered => "ResponseSent",
            Self::Failed => "InitError",
            Self::Gone => "Gone",
        }
    }
}

/// The right to answer the running invocation, once.
#[must_use = "an invocation that was begun to be answered must be answered"]
pub struct Slip<'a> {
    desk: &'a Desk,
    done: bool,
}

impl Slip<'_> {
    pub fn finish(mut self, answer: Answer) {
        self.settle(answer);
    }

    fn settle(&mut self, answer: Answer) {
        self.done = true;
        let mut stage = self.desk.lock();
        match std::mem::replace(&mut *stage, Stage::Answered) {
            // Nobody may be waiting any more: then there is nobody to tell.
            Stage::Answering(sender) => drop(sender.send(answer)),
            other => *stage = other,
        }
    }
}

impl Drop for Slip<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.settle(Answer::Broken("its connection broke in the middle of the answer"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str) -> Job {
        Job { id: id.to_owned(), event: Bytes::from_static(b"{}"), deadline_ms: 0, trace: String::new() }
    }

    fn ok() -> Answer {
        Answer::Response { body: Bytes::from_static(b"1"), streamed: false }
    }

    #[tokio::test]
    async fn an_invocation_goes_round() {
        let desk = std::sync::Arc::new(Desk::new());
        assert!(desk.offer(job("early")).is_none(), "nothing is given to an instance that has not come up");
        let runtime = tokio::spawn({
            let desk = desk.clone();
            async move { desk.next().await }
        });
        desk.standing().wait_for(|standing| *standing == Standing::Ready).await.unwrap();
        let answer = desk.offer(job("a")).unwrap();
        assert_eq!(runtime.await.unwrap().unwrap().id, "a");
        assert!(desk.offer(job("b")).is_none(), "one at a time");
        desk.begin("a", "InvocationResponse").unwrap().finish(ok());
        assert!(matches!(answer.await.unwrap(), Answer::Response { .. }));
        assert!(desk.is_free());
    }

    #[tokio::test]
    async fn nobody_answers_for_another() {
        let desk = Desk::new();
        assert_eq!(desk.begin("a", "InvocationResponse").err(), Some(Refusal::Transition { from: "Started", to: "InvocationResponse" }));
        *desk.lock() = Stage::Waiting;
        let mut answer = desk.offer(job("a")).unwrap();
        desk.next().await.unwrap();
        assert_eq!(desk.begin("b", "InvocationResponse").err(), Some(Refusal::WrongId));
        assert!(answer.try_recv().is_err(), "a wrong id leaves the right one waiting");
        assert_eq!(desk.next().await.unwrap().id, "a", "asked again, it is the same invocation");
        desk.begin("a", "InvocationResponse").unwrap().finish(ok());
        assert!(matches!(desk.begin("a", "InvocationResponse"), Err(Refusal::Transition { from: "ResponseSent", .. })), "and once only");
    }

    #[tokio::test]
    async fn the_end_of_the_process_tells_whether_the_job_was_touched() {
        for (taken, broken) in [(false, false), (true, false), (true, true)] {
            let desk = Desk::new();
            *desk.lock() = Stage::Waiting;
            let answer = desk.offer(job("a")).unwrap();
            if taken {
                desk.next().await.unwrap();
            }
            if broken {
                drop(desk.begin("a", "InvocationResponse").unwrap());
            }
            desk.gone();
            match answer.await.unwrap() {
                Answer::Untouched => assert!(!taken),
                Answer::Crashed => assert!(taken && !broken),
                Answer::Broken(_) => assert!(broken),
                other => panic!("{other:?}"),
            }
            assert!(desk.next().await.is_err());
        }
    }
}
