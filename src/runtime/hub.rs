//! What happens in a server, for everybody who wants to know: reports, live events, metrics. Facts are told after they are on disk.
//!
//! Nobody is waited for. Who does not keep up is told that it has missed something, and looks into the journal instead.

use tokio::sync::broadcast;

use super::observer::{Observer, Shown};
use crate::model::fact::Entry;
use crate::model::id::{NodeId, RunId};

/// How much may wait for the slowest.
const PENDING: usize = 4096;

#[derive(Debug, Clone)]
pub enum Told {
    Fact(Box<Entry>),
    Log { run: RunId, node: NodeId, bytes: Vec<u8> },
    Note(String),
}

#[derive(Debug, Clone)]
pub struct Hub {
    sender: broadcast::Sender<Told>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(PENDING) }
    }
}

impl Hub {
    pub fn listen(&self) -> broadcast::Receiver<Told> {
        self.sender.subscribe()
    }

    pub fn tell(&self, told: Told) {
        // Nobody listens: nobody is missing anything.
        let _ = self.sender.send(told);
    }

    /// What the loop of a run, or of a rollout, tells.
    pub fn observer(&self, run: Option<RunId>) -> Observer {
        let hub = self.clone();
        Observer::calling(move |shown| match (shown, &run) {
            (Shown::Fact(entry), _) => hub.tell(Told::Fact(entry)),
            (Shown::Log { node, bytes }, Some(run)) => hub.tell(Told::Log { run: run.clone(), node, bytes }),
            (Shown::Log { .. }, None) => {}
            (Shown::Note(note), _) => hub.tell(Told::Note(note)),
        })
    }
}
