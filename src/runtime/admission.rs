//! Room outside for what a run wants to begin: a task that stands in the queue for it.
//!
//! ```text
//!   Run::handle ──asks──▶ Rooms ──what was refused──▶ the task: draws tickets, looks, takes ──▶ Rooms: granted ──Tick──▶ Run::handle asks again
//! ```
//! A run stands in the queue only with what it could begin at once (one invocation of each step, and none while it has `parallel` of its own): whoever is held up
//! by itself takes no room from others. Who waits looks again after at most 50 ms, as nobody says when a process has died.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::adapters::admission::{Admission, Ticket};
use crate::adapters::state::StateFolder;
use crate::core::admission::admitted;
use crate::core::plan::{Node, Plan, Work};
use crate::model::id::{NodeId, RunId};
use crate::model::settings::{Limits, Scope};

/// An invocation of the run.
type Key = (NodeId, u32);

/// How long who waits does not look: from the first to the last of these, ever longer.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// What an invocation needs room in, from the innermost.
///
/// An environment lies across the others: one at a time, whatever pipeline or step it is of. That starves nobody either, as whoever needs it needs all that is around as
/// well, and of those who need the same the one who came first goes first. A deploy needs nothing else: it mostly waits.
pub fn scopes(limits: Limits, plan: &Plan, node: &Node) -> Vec<Scope> {
    let repository = plan.event.repository.as_str();
    let named = |kind: &str, parts: &[&str], limit: Option<u32>| limit.map(|limit| Scope { name: format!("{kind}:{}", digest(parts)), limit });
    let environment = node.environment.as_ref().and_then(|gate| named("environment", &[repository, &gate.environment], Some(1)));
    if let Work::Deploy(_) = node.work {
        return environment.into_iter().collect();
    }
    [
        environment,
        // Counted apart: who is not trusted does not hold up who is.
        named(if plan.trust.is_trusted() { "step" } else { "untrusted-step" }, &[repository, &plan.file, &node.step], node.concurrency),
        named("pipeline", &[repository, &plan.file], limits.pipeline),
        named("repository", &[repository], limits.repository),
        limits.machine.map(|limit| Scope { name: "machine".to_owned(), limit }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Names come from outside and may hold anything.
fn digest(parts: &[&str]) -> String {
    let mut whole = Sha256::new();
    for part in parts {
        whole.update((part.len() as u64).to_le_bytes());
        whole.update(part);
    }
    whole.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// What of a run has been asked for and is not there yet.
#[derive(Debug, Clone, PartialEq)]
struct Wish {
    key: Key,
    scopes: Vec<Scope>,
    life: PathBuf,
}

#[derive(Debug, Default)]
struct Given {
    /// There is room, and the run does not know yet.
    granted: HashMap<Key, Ticket>,
    /// It has begun.
    held: HashMap<Key, Ticket>,
}

/// The run's side. Dropped, everything that it stands in the queue with is given back.
#[derive(Debug)]
pub struct Rooms {
    run: RunId,
    state: StateFolder,
    scopes: HashMap<NodeId, Vec<Scope>>,
    given: Arc<Mutex<Given>>,
    wishes: watch::Sender<Vec<Wish>>,
    /// Of this turn.
    refused: Vec<Wish>,
}

impl Rooms {
    /// `tell` is called when there is room for something: the run shall ask again. `complain` when the queue can not be used. Needs a tokio runtime around it.
    pub fn new(
        state: &StateFolder,
        (run, plan): (RunId, &Plan),
        limits: Limits,
        tell: impl Fn() + Send + Sync + 'static,
        complain: impl Fn(String) + Send + Sync + 'static,
    ) -> Self {
        let (wishes, wished) = watch::channel(Vec::new());
        let given = Arc::new(Mutex::new(Given::default()));
        tokio::spawn(Waiter { state: state.clone(), given: given.clone(), waiting: Vec::new() }.wait(wished, tell, complain));
        let scopes = plan.nodes.iter().map(|node| (node.id.clone(), scopes(limits, plan, node))).collect();
        Self { run, state: state.clone(), scopes, given, wishes, refused: Vec::new() }
    }

    /// Whether there is room for this; if not, it stands in the queue from the end of the turn on.
    pub fn ask(&mut self, node: &NodeId, attempt: u32) -> bool {
        let Some(scopes) = self.scopes.get(node).filter(|scopes| !scopes.is_empty()) else { return true };
        let key = (node.clone(), attempt);
        let mut given = lock(&self.given);
        if let Some(ticket) = given.granted.remove(&key) {
            given.held.insert(key, ticket);
            return true;
        }
        let life = self.state.life(&self.run, node, attempt);
        self.refused.push(Wish { key, scopes: scopes.clone(), life });
        false
    }

    /// Takes room that somebody who is dead had, for what goes on: without asking, as it is there.
    pub fn take_over(&self, node: &NodeId, attempt: u32) {
        let Some(scopes) = self.scopes.get(node).filter(|scopes| !scopes.is_empty()) else { return };
        let life = self.state.life(&self.run, node, attempt);
        let taken = Admission::open(&self.state).ok().and_then(|admission| {
            let mut turn = (0..100).find_map(|_| admission.turn().ok().flatten())?;
            let mut ticket = turn.draw(scopes, &life).ok()?;
            turn.take(&mut ticket).ok()?;
            Some(ticket)
        });
        lock(&self.given).held.extend(taken.map(|ticket| ((node.clone(), attempt), ticket)));
    }

    /// The turn is over: what was not asked for in it is not wanted now.
    pub fn settle(&mut self) {
        let wanted = std::mem::take(&mut self.refused);
        let unwanted = |key: &Key, _: &mut Ticket| !wanted.iter().any(|wish| wish.key == *key);
        lock(&self.given).granted.extract_if(unwanted).for_each(|(_, ticket)| ticket.give_back());
        self.wishes.send_if_modified(|wishes| {
            let changed = *wishes != wanted;
            *wishes = wanted;
            changed
        });
    }

    /// How an invocation gives its room back.
    pub fn returning(&self, node: &NodeId, attempt: u32) -> impl FnOnce() + Send + use<> {
        let (given, key) = (self.given.clone(), (node.clone(), attempt));
        move || {
            if let Some(ticket) = lock(&given).held.remove(&key) {
                ticket.give_back();
            }
        }
    }
}

/// A panic while it was held can not have left half of anything.
fn lock(given: &Mutex<Given>) -> MutexGuard<'_, Given> {
    given.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Waiter {
    state: StateFolder,
    given: Arc<Mutex<Given>>,
    waiting: Vec<(Key, Ticket)>,
}

impl Waiter {
    /// Until the run is over.
    async fn wait(mut self, mut wished: watch::Receiver<Vec<Wish>>, tell: impl Fn(), complain: impl Fn(String)) {
        let mut patience = PATIENCE.0;
        let mut complained = false;
        loop {
            let wishes = wished.borrow_and_update().clone();
            if wishes.is_empty() {
                self.waiting.clear();
                if wished.changed().await.is_err() {
                    return;
                }
                patience = PATIENCE.0;
                continue;
            }
            let looked = tokio::task::spawn_blocking(move || {
                let looked = self.look(&wishes);
                (self, looked)
            });
            let Ok((me, looked)) = looked.await else { return };
            self = me;
            match looked {
                Ok(0) => {}
                Ok(_) => tell(),
                Err(why) if !complained => {
                    complained = true;
                    complain(format!("steps wait, as the queue for room in {} can not be used: {why}", self.state.root().display()));
                }
                Err(_) => {}
            }
            tokio::select! {
                changed = wished.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    patience = PATIENCE.0;
                }
                () = tokio::time::sleep(patience) => patience = (patience * 2).min(PATIENCE.1),
            }
        }
    }

    /// Draws for what is new, gives back what is not wanted any more, takes what there is room for. Answers how many got room.
    fn look(&mut self, wishes: &[Wish]) -> Result<usize, String> {
        self.waiting.retain(|(key, _)| wishes.iter().any(|wish| wish.key == *key));
        let admission = Admission::open(&self.state).map_err(|error| error.to_string())?;
        let Some(mut turn) = admission.turn().map_err(|error| error.to_string())? else { return Ok(0) };
        for Wish { key, scopes, life } in wishes {
            let has = |given: &Given| given.granted.contains_key(key) || given.held.contains_key(key);
            if !has(&lock(&self.given)) && !self.waiting.iter().any(|(waiting, _)| waiting == key) {
                self.waiting.push((key.clone(), turn.draw(scopes, life).map_err(|error| error.to_string())?));
            }
        }
        if self.waiting.is_empty() {
            return Ok(0);
        }
        let may = admitted(&turn.standing().map_err(|error| error.to_string())?);
        let mut got = 0;
        for (key, mut ticket) in std::mem::take(&mut self.waiting) {
            if may.contains(&ticket.number()) && turn.take(&mut ticket).is_ok() {
                lock(&self.given).granted.insert(key, ticket);
                got += 1;
            } else {
                self.waiting.push((key, ticket));
            }
        }
        Ok(got)
    }
}
