//! Reports: what a run has come to is said where its repository lives. Level-triggered.
//!
//! ```text
//!  wake(run) ─▶ one task a run ─▶ gather: facts, log tails, findings ─▶ report::github::said ─▶ say: what differs from what was said last
//!                    ▲                                                                                       │
//!                    └──────────────── later, with a backoff that grows ◀── trouble, limits ─────────────────┘
//! ```
//! Who wakes says nothing of what has happened: it stands in the journal. So wakes can be lost, doubled and late; many that come together are one; and after a death
//! everything that is not said to its end is looked at anew. What was made without its id having been written down is looked for before it is made again.

mod gather;
mod say;
mod thing;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, broadcast, watch};

use crate::adapters::forge::github::{Github, Manners};
use crate::adapters::forge::reports::{Store, StoreError};
use crate::adapters::forge::{ForgeError, reports};
use crate::adapters::journal::{AnyJournal, Journal as _, JournalError};
use crate::adapters::scan::{Masker, ScanError};
use crate::adapters::state::StateFolder;
use crate::model::fact::{Entry, Fact, RolloutFact, Stream};
use crate::model::id::{RolloutId, RunId};
use crate::model::settings::Settings;
use crate::model::time::Timestamp;
use crate::report::github::{House, Name, Templates};

use super::clock;
use super::hub::Told;
use super::observer::Observer;

/// Runs and requests that a start looks at, besides the unfinished.
const RECENT: usize = 1_000;
/// Whatever was not said of one that ended longer ago is not said any more.
const OLD: Duration = Duration::from_secs(7 * 24 * 3600);
/// What was said of one that ended longer ago is forgotten: more than [`OLD`], so that nothing is said twice.
const FORGOTTEN: Duration = Duration::from_secs(90 * 24 * 3600);
/// Runs that are spoken of at once. GitHub wants to be told one thing after another.
const AT_ONCE: usize = 4;
/// So long what is being said when it closes may take. GitHub's pace can make it wait much longer.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Bytes of a template.
const MOST_TEMPLATE: u64 = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub enum ReportsError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Forge(#[from] ForgeError),
    #[error(transparent)]
    Rules(#[from] ScanError),
    #[error("{0}")]
    Templates(String),
}

/// How often and how patiently.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// At least between two looks at one run.
    pub refresh: Duration,
    /// Before the first new try; each one doubles it, up to `longest`.
    pub first: Duration,
    pub longest: Duration,
    pub manners: Manners,
}

impl Default for Pace {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { refresh: 2 * second, first: second, longest: 300 * second, manners: Manners::default() }
    }
}

/// Clones share it.
#[derive(Debug, Clone)]
pub struct Reports {
    inner: Arc<Inner>,
    runtime: tokio::runtime::Handle,
}

#[derive(Debug)]
struct Inner {
    journal: AnyJournal,
    state: StateFolder,
    store: Store,
    github: Github,
    house: House,
    masker: Masker,
    /// Whether findings go to code scanning as well.
    code_scanning: bool,
    observer: Observer,
    pace: Pace,
    /// Runs with a task; `true`: something has happened since it looked.
    open: Mutex<HashMap<RunId, bool>>,
    /// How many there are.
    busy: watch::Sender<usize>,
    turns: Semaphore,
    /// Held by those who speak: for whoever closes.
    speaking: tokio::sync::RwLock<()>,
    closing: watch::Sender<bool>,
    /// Whose rollout it is.
    rollouts: Mutex<HashMap<RolloutId, RunId>>,
    /// One comment holds the lines of several runs.
    comments: tokio::sync::Mutex<()>,
}

impl Reports {
    /// `None` where the settings name no login at GitHub: then nothing is reported. Looks at once at all that may not have been said to its end.
    ///
    /// To be called within a runtime, once for a state folder: two that report the same runs at the same time would make things twice.
    pub async fn start(
        settings: &Settings,
        journal: AnyJournal,
        state: StateFolder,
        observer: Observer,
        pace: Pace,
    ) -> Result<Option<Self>, ReportsError> {
        let Some(forge) = &settings.github else { return Ok(None) };
        let Some(github) = Github::open(forge, pace.manners)? else { return Ok(None) };
        let templates = forge.templates.as_deref().map(templates).transpose().map_err(ReportsError::Templates)?.unwrap_or_default();
        let house = House { templates, prices: settings.prices.clone(), url: settings.server.url.clone() };
        let store = reports::Store::open(&state.root().join("reports.db"))?;
        store.forget(before(clock::now(), FORGOTTEN)).await?;
        let inner = Inner {
            journal,
            state,
            store,
            github,
            house,
            masker: Masker::new()?,
            code_scanning: forge.code_scanning,
            observer,
            pace,
            open: Mutex::default(),
            busy: watch::Sender::new(0),
            turns: Semaphore::new(AT_ONCE),
            speaking: tokio::sync::RwLock::default(),
            closing: watch::Sender::new(false),
            rollouts: Mutex::default(),
            comments: tokio::sync::Mutex::default(),
        };
        let reports = Self { inner: Arc::new(inner), runtime: tokio::runtime::Handle::current() };
        for run in reports.inner.perhaps_unsaid().await? {
            reports.wake(&run);
        }
        Ok(Some(reports))
    }

    /// The client that reports are made with: for whoever asks for permissions, heads of pull requests and logins for git.
    pub fn github(&self) -> &Github {
        &self.inner.github
    }

    /// Something may have happened to this run, or to its request. Returns at once.
    pub fn wake(&self, run: &RunId) {
        let mut open = lock(&self.inner.open);
        if let Some(stirred) = open.get_mut(run) {
            *stirred = true;
            return;
        }
        open.insert(run.clone(), true);
        self.inner.busy.send_modify(|busy| *busy += 1);
        self.runtime.spawn(Arc::clone(&self.inner).follow(run.clone()));
    }

    /// The same, of a fact that is on disk: it knows which run is meant.
    pub fn heard(&self, entry: &Entry) {
        match (&entry.stream, &entry.fact) {
            (Stream::Run(run) | Stream::Request(run), _) => self.wake(run),
            (Stream::Rollout(rollout), fact) => {
                let mut known = lock(&self.inner.rollouts);
                if let Fact::Rollout(RolloutFact::Started { run: Some(run), .. }) = fact {
                    known.insert(rollout.clone(), run.clone());
                }
                let run = if matches!(fact, Fact::Rollout(RolloutFact::Ended { .. })) { known.remove(rollout) } else { known.get(rollout).cloned() };
                drop(known);
                if let Some(run) = run {
                    self.wake(&run);
                }
            }
        }
    }

    /// Hears all that happens in a server, until its hub is gone. Who has missed something looks at all that may not have been said to its end.
    pub async fn listen(&self, mut told: broadcast::Receiver<Told>) {
        loop {
            match told.recv().await {
                Ok(Told::Fact(entry)) => self.heard(&entry),
                Ok(Told::Log { .. } | Told::Note(_)) => {}
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(_)) => match self.inner.perhaps_unsaid().await {
                    Ok(unsaid) => unsaid.iter().for_each(|run| self.wake(run)),
                    Err(error) => self.inner.observer.note(format!("reports may be late: {error}")),
                },
            }
        }
    }

    /// Runs of which something may still have to be said: for metrics.
    pub fn pending(&self) -> usize {
        *self.inner.busy.borrow()
    }

    /// Returns when there is nothing left to be said. With a forge that is down that can take as long as it is.
    pub async fn idle(&self) {
        // The sender is ours: it lives.
        let _ = self.inner.busy.subscribe().wait_for(|busy| *busy == 0).await;
    }

    /// Begins nothing more, and returns when nothing is being said: that is given a moment to come to its end. The next process goes on; it looks for what was made
    /// without its answer having been seen.
    pub async fn close(&self) {
        self.inner.turns.close();
        self.inner.closing.send_replace(true);
        drop(self.inner.speaking.write().await);
    }
}

impl Inner {
    /// In the order of their beginnings.
    async fn perhaps_unsaid(&self) -> Result<Vec<RunId>, ReportsError> {
        let now = clock::now();
        let mut found: Vec<RunId> = Vec::new();
        for (first, last) in self.journal.runs(RECENT).await?.into_iter().chain(self.journal.requests(RECENT).await?) {
            if now.since(last.at) < OLD {
                found.extend(run_of(&first.stream));
            }
        }
        found.reverse();
        found.extend(self.journal.unfinished().await?.iter().filter_map(|unfinished| run_of(&unfinished.stream)));
        let mut seen = std::collections::HashSet::new();
        found.retain(|run| seen.insert(run.clone()));
        Ok(self.store.unfinished(found).await?)
    }

    /// As long as there is something to say about a run.
    async fn follow(self: Arc<Self>, run: RunId) {
        let mut failed = 0;
        loop {
            self.stir(&run, false);
            let Ok(turn) = self.turns.acquire().await else { break };
            let speaking = self.speaking.read().await;
            if self.turns.is_closed() {
                break;
            }
            // Boxed: thousands may wait for their turn, and only who looks needs room for it.
            let looked = tokio::select! {
                looked = Box::pin(self.look(&run)) => looked,
                () = self.silenced() => break,
            };
            drop((speaking, turn));
            let pause = match looked {
                Ok(say::Rest::Over) => break,
                Ok(say::Rest::Going) => {
                    failed = 0;
                    self.pace.refresh
                }
                Err(trouble) => {
                    if failed == 0 {
                        self.observer.note(format!("the report of run {run} will be late: {}", trouble.why));
                    }
                    failed += 1;
                    self.stir(&run, true);
                    self.pause(failed, trouble.after)
                }
            };
            tokio::time::sleep(pause).await;
            // Looked at and left in one: whoever wakes it in between finds it there, or begins anew.
            let mut open = lock(&self.open);
            if open.get(&run) != Some(&true) {
                open.remove(&run);
                drop(open);
                self.busy.send_modify(|busy| *busy -= 1);
                return;
            }
        }
        // Over, or closing: nothing more is said, whoever wakes it.
        lock(&self.open).remove(&run);
        self.busy.send_modify(|busy| *busy -= 1);
    }

    /// It closes, and has waited.
    async fn silenced(&self) {
        // The sender is ours: it lives.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
        tokio::time::sleep(LAST_WORDS).await;
    }

    fn stir(&self, run: &RunId, stirred: bool) {
        if let Some(known) = lock(&self.open).get_mut(run) {
            *known = stirred;
        }
    }

    /// Doubles, and differs a little from one to the next, so that they do not all come back at once. What the forge asks for counts in any case.
    fn pause(&self, failed: u32, asked: Option<Duration>) -> Duration {
        let grown = self.pace.first.saturating_mul(1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX)).min(self.pace.longest);
        let jitter = self.pace.first.mul_f64(fastrand::f64());
        match asked {
            Some(asked) => asked + jitter,
            None => grown.mul_f64(0.75 + fastrand::f64() / 2.0),
        }
    }
}

fn before(now: Timestamp, duration: Duration) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
}

fn run_of(stream: &Stream) -> Option<RunId> {
    match stream {
        Stream::Run(run) | Stream::Request(run) => Some(run.clone()),
        Stream::Rollout(_) => None,
    }
}

/// Those that are in the folder; the others stay as they are built in.
fn templates(folder: &Path) -> Result<Templates, String> {
    use std::io::Read as _;
    let mut own = Vec::new();
    for name in Name::ALL {
        let path = folder.join(name.file());
        let unreadable = |error: std::io::Error| format!("the template {} can not be read: {error}", path.display());
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => continue,
            Err(error) => return Err(unreadable(error)),
        };
        let mut text = String::new();
        file.take(MOST_TEMPLATE + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MOST_TEMPLATE {
            return Err(format!("the template {} is longer than {MOST_TEMPLATE} bytes", path.display()));
        }
        own.push((name, text));
    }
    Templates::with(&own)
}

/// What is in these maps is whole whatever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
